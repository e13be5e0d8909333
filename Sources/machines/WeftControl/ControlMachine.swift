// The manager's machine: all that a manager decides, without anything it does. Inputs and two times in, actions out; no clock, no
// randomness of its own, no `async`. The shell that owns one is `WeftManager`; its contract stands at `ControlMachine`.
import WeftIPAM
package import WeftModel
import WeftNet

/// The manager: desired state, membership, allocation and the dispatcher, as one value.
///
/// Contract with the shell. It takes a checkpoint, runs `handle`, and carries out the actions in their order. The first
/// may be a commit, whose revision is the old one plus one; if it fails, the shell rolls back to the checkpoint, throws the
/// other actions away, and may hand the input in again. Or it makes the machine anew from a snapshot: all sessions live in
/// the machine, so the shell then closes every stream, and the nodes come back.
package struct ControlMachine: Sendable {
    /// Missed heartbeats after which a node is down.
    static let heartbeatsMissed: Int64 = 3
    /// How many commits can be told as deltas to a node that comes back.
    static let logRevisionsMax = 1024

    struct Session: Sendable {
        let id: SessionID
        let address: IPv4Address?
        let since: Instant
        /// False until the node said hello.
        var isOpen = false
        /// The revision the node is at, nil when it must get everything.
        var told: Version?
        /// Up to here nothing concerns the node beyond what it was told.
        var examined: Version = .none
        /// The next assignments go out even when empty.
        var owesAnswer = false
    }

    var state: ControlState
    var sessions: [NodeID: Session] = [:]
    var lastHeard: [NodeID: Instant] = [:]
    /// Sessions in a row that ended soon after they began, of nodes that have such.
    var brokenSessions: [NodeID: Int] = [:]
    /// Addresses from which nodes called, besides those of their sessions.
    var shownAddresses: [NodeID: [IPv4Address]] = [:]
    /// What the clock on the wall says. It may be set: it goes into what is shown, and decides nothing.
    var wallClock = Instant(nanoseconds: 0)
    /// Leases of nodes that left, and when they are free.
    var restingLeases: [String: Instant] = [:]
    /// Requests for addresses that are being asked back from who leases them, oldest first.
    var asks: [AddressAsk] = []
    var nextQuestion: RequestNumber = 1
    /// Something happened that the asks may get on by.
    var asksAreDue = false
    /// Removed networks, and until when other subnets and VNIs than theirs are preferred.
    var retired: [(network: Network, until: Instant)] = []
    /// Commits since `logBase`, oldest first.
    var log: [(revision: Version, changes: Set<ControlState.Change>)] = []
    var logBase: Version
    var started = false
    /// Actions of the running input that follow the commit and the deltas.
    var effects: [ControlAction] = []

    /// Where a machine was before an input. It is small however many objects there are: these are taken back one by one.
    package struct Checkpoint: Sendable {
        fileprivate let revision: Version
        fileprivate let sessions: [NodeID: Session]
        fileprivate let lastHeard: [NodeID: Instant]
        fileprivate let brokenSessions: [NodeID: Int]
        fileprivate let shownAddresses: [NodeID: [IPv4Address]]
        fileprivate let restingLeases: [String: Instant]
        fileprivate let asks: [AddressAsk]
        fileprivate let nextQuestion: RequestNumber
        fileprivate let retired: [(network: Network, until: Instant)]
        fileprivate let logCount: Int
        fileprivate let firstLogged: (revision: Version, changes: Set<ControlState.Change>)?
        fileprivate let logBase: Version
        fileprivate let started: Bool
    }

    package var checkpoint: Checkpoint {
        Checkpoint(
            revision: state.revision, sessions: sessions, lastHeard: lastHeard, brokenSessions: brokenSessions,
            shownAddresses: shownAddresses, restingLeases: restingLeases, asks: asks, nextQuestion: nextQuestion,
            retired: retired, logCount: log.count, firstLogged: log.first, logBase: logBase, started: started)
    }

    /// Undoes the last input. `checkpoint` is of right before it.
    package mutating func rollBack(to checkpoint: Checkpoint) {
        if state.revision != checkpoint.revision {
            log.removeLast()
            if log.count < checkpoint.logCount, let first = checkpoint.firstLogged { log.insert(first, at: 0) }
        }
        state.undo(to: checkpoint.revision)
        sessions = checkpoint.sessions
        lastHeard = checkpoint.lastHeard
        brokenSessions = checkpoint.brokenSessions
        shownAddresses = checkpoint.shownAddresses
        restingLeases = checkpoint.restingLeases
        asks = checkpoint.asks
        nextQuestion = checkpoint.nextQuestion
        asksAreDue = true
        retired = checkpoint.retired
        logBase = checkpoint.logBase
        started = checkpoint.started
    }

    package init(snapshot: StoreSnapshot) {
        state = ControlState(snapshot: snapshot)
        logBase = snapshot.revision
    }

    /// Takes one input in, and returns what is to be done. `now` is of a clock that nobody sets; nil for the other: the
    /// same.
    package mutating func handle(
        _ input: ControlInput, now: Instant, wallClock: Instant? = nil, random: inout some RandomNumberGenerator
    ) -> [ControlAction] {
        self.wallClock = wallClock ?? now
        state.beginRound()
        if !started { start(now: now) }
        switch input {
        case .command(let id, let command):
            let result: Result<ControlReply, ControlError>
            do throws(ControlError) {
                result = .success(try run(command, now: now, random: &random))
            } catch {
                result = .failure(error)
            }
            return finish(now: now, replying: id, result)
        case .nodeConnected(let node, let session, let address):
            connected(node, session, address: address, now: now)
        case .nodeMessage(let node, let session, let message):
            guard sessions[node]?.id == session else { break }
            lastHeard[node] = now
            received(message, from: node, now: now)
        case .nodeDisconnected(let node, let session):
            if sessions[node]?.id == session { end(node, now: now) }
        case .addressShown(let node, let address):
            addressShown(address, by: node)
        case .tick:
            expire(now: now)
            asksAreDue = true
        }
        return finish(now: now)
    }

    /// After a restart every node gets the time to come back before it counts as down.
    private mutating func start(now: Instant) {
        started = true
        for node in state.nodes.values where node.state == .ready { lastHeard[node.id] = now }
        for lease in state.leases.values where state.nodes[lease.node] == nil {
            restingLeases[lease.id] = now + NodeAddresses.rest
        }
    }

    private mutating func run(
        _ command: ControlCommand, now: Instant, random: inout some RandomNumberGenerator
    ) throws(ControlError) -> ControlReply {
        switch command {
        case .createNetwork(let spec):
            .network(try createNetwork(spec, random: &random))
        case .removeNetwork(let text):
            .network(try removeNetwork(text, now: now))
        case .admitNode(let id, let role, let availability):
            .node(try admitNode(id, role: role, availability: availability))
        case .updateNode(let id, let version, let spec):
            .node(try updateNode(id, version: version, spec: spec))
        case .noteRoutes(let id, let routes):
            .node(try noteRoutes(of: id, routes))
        case .removeNode(let id, let force):
            .node(try removeNode(id, force: force, now: now))
        case .updateCluster(let version, let spec, let rotation):
            .cluster(try updateCluster(version: version, spec: spec, rotating: rotation, random: &random))
        case .rotateToken(let role):
            .cluster(try rotateToken(role, random: &random))
        }
    }

    /// Commit first, then what nodes are told, then the rest.
    private mutating func finish(
        now: Instant, replying id: CommandID? = nil, _ result: Result<ControlReply, ControlError>? = nil
    ) -> [ControlAction] {
        advanceAsks(now: now)
        advanceRootRotation()
        var actions: [ControlAction] = []
        if let (transaction, changes) = state.takeTransaction() {
            actions.append(.commit(transaction))
            let events = events(now: wallClock)
            if !events.isEmpty { actions.append(.announce(events)) }
            log.append((state.revision, changes))
            if log.count > Self.logRevisionsMax { logBase = log.removeFirst().revision }
        }
        actions += assignmentsDue()
        actions += effects
        effects = []
        if let id, let result { actions.append(.reply(id, result.map(stamped))) }
        return actions
    }

    /// Replies carry the versions that the commit gave.
    private func stamped(_ reply: ControlReply) -> ControlReply {
        switch reply {
        case .network(let network): .network(state.networks[network.id] ?? network)
        case .node(let node): .node(state.nodes[node.id] ?? node)
        case .cluster(let cluster): .cluster(state.cluster ?? cluster)
        }
    }

    private mutating func expire(now: Instant) {
        let grace = heartbeat * Int(Self.heartbeatsMissed)
        for node in state.nodes.values.sorted(by: { $0.id < $1.id }) where node.state == .ready {
            guard let heard = lastHeard[node.id], now - heard >= grace else { continue }
            setDown(node, because: "nothing was heard of it for \((now - heard).components.seconds) s")
            close(node.id, reason: "no heartbeat came", now: now)
        }
        for (id, session) in sessions.sorted(by: { $0.key < $1.key }) where session.isOpen { settle(id, session, now: now) }
        // A stream without a hello is no session; it must not stay for ever either.
        for (id, session) in sessions.sorted(by: { $0.key < $1.key }) where !session.isOpen {
            if let heard = lastHeard[id], now - heard >= grace { close(id, reason: "no hello came", now: now) }
        }
        for (id, end) in restingLeases.sorted(by: { $0.key < $1.key }) where end <= now {
            restingLeases[id] = nil
            state.delete(AddressLease.key(id))
        }
        retired.removeAll { $0.until <= now }
    }

    /// Ends a node's session, if it has one.
    mutating func close(_ node: NodeID, reason: String, goodbye: Bool = false, now: Instant) {
        guard let session = end(node, now: now) else { return }
        if goodbye { effects.append(.send(node, session.id, .goodbye(reason: reason))) }
        effects.append(.closeSession(node, session.id, reason: reason))
    }

    var heartbeat: Duration { .seconds(ClusterView.heartbeat(of: state.cluster?.spec)) }
}

extension Node {
    /// What messages call the node: its host name, or its id before it told one.
    var label: String { description.map(\.hostname).flatMap { $0.isEmpty ? nil : $0 } ?? id.rawValue }
}
