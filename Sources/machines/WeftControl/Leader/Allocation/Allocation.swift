import WeftIPAM
import WeftModel
import WeftNet

/// Subnets and VNIs for networks, blocks of subnets for nodes. Networks are made in `Allocation+Networks`, blocks leased in
/// `Allocation+Leases`, and asked back in `Allocation+Asks`.
struct Allocation: Sendable {
    /// For this long, subnet and VNI of a removed network are not used again while others are free.
    private static let retirement: Duration = .seconds(60)

    /// Requests for addresses that are being asked back from who leases them, oldest first.
    var asks: [AddressAsk] = []
    var nextQuestion: RequestNumber = 1
    /// Something happened that the asks may get on by.
    var asksAreDue = false
    /// Removed networks, and until when other subnets and VNIs than theirs are preferred.
    private(set) var retired: [(network: Network, until: Instant)] = []
    /// Leases of nodes that are gone, and when they are free.
    private var resting: [String: Instant] = [:]
    /// Nodes may have gone or come since `resting` was worked out.
    private var nodesChanged = true
    private var services = ServiceAllocation()
    /// Networks that another manager may have made: not every node was given a block of them.
    private var newNetworks: Set<NetworkID> = []

    /// What was committed, by whomever.
    mutating func noted(_ changes: [Replica.Change], now: Instant) {
        asksAreDue = true
        services.noted(changes)
        for change in changes {
            if change.key.kind == Node.kind { nodesChanged = true }
            if change.key.kind == Service.kind { rest(change.old?.as(Service.self), since: change.new?.as(Service.self), now: now) }
            guard change.key.kind == Network.kind else { continue }
            if let network = change.old?.as(Network.self), change.new == nil {
                retired.append((network, now + Self.retirement))
            } else if change.old == nil {
                newNetworks.insert(NetworkID(change.key.id))
            }
        }
    }

    mutating func startOver() {
        asksAreDue = true
        nodesChanged = true
        services.startOver()
    }

    mutating func advance(_ round: inout Round) {
        for id in newNetworks.sorted() {
            if let network = round.tables.networks[id] { Self.grantFirstBlocks(of: network, in: &round) }
        }
        newNetworks = []
        retired.removeAll { $0.until <= round.now }
        freeRestedLeases(&round)
        services.advance(&round)
        for wish in services.wishes { ask(for: wish, now: round.now) }
        advanceAsks(&round)
    }

    /// A service gave addresses up: who knows them may use them for a while yet.
    private mutating func rest(_ old: Service?, since new: Service?, now: Instant) {
        let kept = Set(new?.leases.map(\.id) ?? [])
        for lease in old?.leases ?? [] where !kept.contains(lease.id) { resting[lease.id] = now + NodeAddresses.rest }
    }

    /// Leases belong to nodes of the swarm, and to services. A node that left or was removed may have had them in use until then: they
    /// rest, as do the addresses that a service gave up.
    private mutating func freeRestedLeases(_ round: inout Round) {
        let (nodes, services) = (round.tables.nodes, round.tables.services)
        func isGone(_ lease: AddressLease) -> Bool {
            if let node = nodes[lease.node] { return node.hasLeft ?? false }
            guard let service = services[ServiceID(lease.node.rawValue)] else { return true }
            return !service.leases.contains { $0.id == lease.id }
        }
        if nodesChanged || round.draft.hasChanged(Node.kind) {
            var left: [String: Instant] = [:]
            for lease in round.tables.leases.values where isGone(lease) {
                left[lease.id] = resting[lease.id] ?? round.now + NodeAddresses.rest
            }
            resting = left
            nodesChanged = false
        }
        for (id, end) in resting.sorted(by: { $0.key < $1.key }) where end <= round.now {
            resting[id] = nil
            if let lease = round.tables.leases[id], isGone(lease) { round.draft.delete(lease.key) }
        }
    }
}
