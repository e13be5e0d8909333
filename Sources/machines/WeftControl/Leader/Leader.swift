import WeftModel
import WeftNet

/// The controllers, of which one manager's run at a time. Each compares what is wanted with what is, from any starting
/// state; what they keep besides is about times and conversations, and may be lost with the manager.
///
/// Controllers know nothing of commits. They write into a round's draft, read in it what the others wrote, and are put back
/// to where they were, whole, if the draft does not go through.
struct Leader: Sendable {
    private var membership = Membership()
    private var allocation = Allocation()
    private var orchestration = Orchestration()
    private var keys = KeyRotation()

    /// Takes one input into a round.
    mutating func take(_ input: ControlInput, in round: inout Round, random: inout some RandomNumberGenerator) {
        switch input {
        case .command(let id, let command):
            round.reply(id, attempt(command, in: &round, random: &random))
        case .nodeConnected(let node, let session, let address):
            membership.connected(node, session, address: address, in: &round)
        case .nodeMessage(let node, let session, let message):
            // A node that the same round removed has a session until that is committed: what it says goes nowhere.
            guard round.dispatcher.isCurrent(node, session), round.tables.nodes[node] != nil else { break }
            round.dispatcher.heard(node, now: round.now)
            received(message, from: node, in: &round)
        case .nodeDisconnected(let node, let session):
            if round.dispatcher.isCurrent(node, session) { round.end(node) }
        case .addressShown(let node, let address):
            membership.addressShown(address, by: node, in: round)
        case .tick:
            round.isTick = true
        }
    }

    /// Once per round, after its inputs: what the controllers want on their own.
    mutating func advance(_ round: inout Round, random: inout some RandomNumberGenerator) {
        membership.advance(&round)
        allocation.advance(&round)
        orchestration.advance(&round, random: &random)
        RootController.advance(&round)
        keys.advance(&round)
    }

    /// Whether there is something to do that needs no input.
    var hasMore: Bool { orchestration.hasMore }

    /// The store did not take what the controllers want: they try again when time has passed.
    mutating func pause() { orchestration.pause() }

    /// What was committed, by whomever.
    mutating func noted(_ changes: [Replica.Change], now: Instant) {
        membership.noted(changes)
        allocation.noted(changes, now: now)
        orchestration.noted(changes)
    }

    /// The replica was made anew: what changed meanwhile nobody knows.
    mutating func startOver() {
        allocation.startOver()
        orchestration.startOver()
    }

    /// Runs a command; one that is refused leaves nothing behind, in the draft or here.
    private mutating func attempt(
        _ command: ControlCommand, in round: inout Round, random: inout some RandomNumberGenerator
    ) -> Result<ControlReply, ControlError> {
        let (before, mark) = (self, round.mark)
        do throws(ControlError) {
            return .success(try run(command, in: &round, random: &random))
        } catch {
            self = before
            round.undo(to: mark)
            return .failure(error)
        }
    }

    private mutating func run(
        _ command: ControlCommand, in round: inout Round, random: inout some RandomNumberGenerator
    ) throws(ControlError) -> ControlReply {
        switch command {
        case .createNetwork(let spec): .network(try allocation.createNetwork(spec, in: &round, random: &random))
        case .removeNetwork(let text): .network(try allocation.removeNetwork(text, in: &round))
        case .admitNode(let id, let role, let availability):
            .node(try Membership.admit(id, role: role, availability: availability, in: &round))
        case .updateNode(let id, let version, let spec):
            .node(try Membership.update(id, version: version, spec: spec, in: &round))
        case .noteRoutes(let id, let routes): .node(try Membership.noteRoutes(of: id, routes, in: &round))
        case .removeNode(let id, let force): .node(try Membership.remove(id, force: force, in: &round))
        case .updateCluster(let version, let spec, let rotation):
            .cluster(try Settings.update(version: version, spec: spec, rotating: rotation, in: &round, random: &random))
        case .rotateToken(let role): .cluster(try Settings.rotateToken(role, in: &round, random: &random))
        case .createService(let spec): .service(try Services.create(spec, in: &round, random: &random))
        case .updateService(let id, let version, let spec):
            .service(try Services.update(id, version: version, spec: spec, in: &round))
        case .removeService(let id): .service(try Services.remove(id, in: &round))
        case .createSecret(let spec): .secret(try SharedFiles.create(spec, in: &round, random: &random))
        case .updateSecret(let id, let version, let spec):
            .secret(try SharedFiles.update(id, version: version, spec: spec, in: &round))
        case .removeSecret(let id): .secret(try SharedFiles.remove(id, in: &round))
        case .createConfig(let spec): .config(try SharedFiles.create(spec, in: &round, random: &random))
        case .updateConfig(let id, let version, let spec):
            .config(try SharedFiles.update(id, version: version, spec: spec, in: &round))
        case .removeConfig(let id): .config(try SharedFiles.remove(id, in: &round))
        }
    }

    private mutating func received(_ message: NodeMessage, from node: NodeID, in round: inout Round) {
        if case .hello(let description, let vtep, let applied, let endpoints) = message {
            guard membership.hello(from: node, description, vtep: vtep, in: &round) else { return }
            ObservedEndpoints.synchronise(endpoints, isEmptyHanded: applied == .none && endpoints.isEmpty, of: node, in: &round)
            Allocation.grantFirstBlocks(to: node, in: &round)
            round.open(node, applied: applied)
            return
        }
        guard round.dispatcher.isConnected(node) else {
            round.close(node, reason: "the first message of a session must be hello")
            return
        }
        switch message {
        case .hello: break
        case .heartbeat(let applied): round.dispatcher.acknowledge(node, applied)
        case .endpointsChanged(let added, let removed):
            ObservedEndpoints.change(added: added, removed: removed, of: node, in: &round)
        case .leaseRequest(let number, let subnet, let address, let isSpare):
            allocation.leaseRequested(number, subnet: subnet, address: address, isSpare: isSpare, by: node, in: &round)
        case .leasesReturned(let ids): Allocation.leasesReturned(ids, by: node, in: &round)
        case .addressesReturned(let number, let subnet, let prefix):
            allocation.addressesReturned(number, prefix, of: subnet, by: node, in: &round)
        case .addressesKept(let number, let reason):
            allocation.addressesKept(number, reason: reason, by: node, in: round)
        case .resyncRequest: round.dispatcher.resynchronise(node)
        case .descriptionChanged(let description): Membership.describe(node, description, in: &round)
        case .leaving: Membership.left(node, in: &round)
        case .tasksChanged(let reports): ObservedTasks.take(reports, of: node, in: &round)
        case .awaitsOthers(let number): round.dispatcher.hold(others: number, for: node, now: round.now)
        case .keysStated(let statement): ObservedKeys.take(statement, of: node, in: &round)
        case .keysReady(let readiness): ObservedKeys.take(readiness, of: node, in: &round)
        }
    }
}
