internal import NIOCore
internal import WeftModel
internal import WeftNet

/// Who holds how many connections of a manager's port: the decision over each new one, as a value.
struct PortShares {
    typealias ConnectionID = UInt64

    /// Why a connection is not let in.
    enum Refusal: String, Error, Hashable {
        case tooManyOfAddress = "too many connections from one address"
        case tooManyStrangers = "too many connections of strangers"
        case tooFast = "connections come too fast"
    }

    private struct Connection {
        let address: IPv4Address
        /// Nil for a stranger's.
        var node: NodeID?
    }

    private let limits: PortLimits
    private var connections: [ConnectionID: Connection] = [:]
    private var strangers: [IPv4Address: Int] = [:]
    private var strangerCount = 0
    /// Connections of members, oldest first.
    private var nodes: [NodeID: [ConnectionID]] = [:]
    private var arrivals: TokenBucket
    private var arrivalsByAddress: [IPv4Address: TokenBucket] = [:]
    /// Addresses that members came from: strangers elsewhere cost them nothing.
    private var familiar: Set<IPv4Address>
    private var nextID: ConnectionID = 1

    /// So many addresses are remembered; those that may not come at once are among them.
    private static let addressesMax = 8192

    init(limits: PortLimits, familiar: some Sequence<IPv4Address>, now: NIODeadline) {
        self.limits = limits
        self.familiar = Set(familiar)
        arrivals = TokenBucket(limits.arrivals, now: now)
    }

    /// Lets a connection in, as a stranger's.
    mutating func admit(_ address: IPv4Address, now: NIODeadline) -> Result<ConnectionID, Refusal> {
        guard strangers[address, default: 0] < limits.strangersPerAddress else { return .failure(.tooManyOfAddress) }
        let isFamiliar = familiar.contains(address)
        guard isFamiliar || strangerCount < limits.strangers else { return .failure(.tooManyStrangers) }
        forgetAddresses(now: now)
        var bucket = arrivalsByAddress[address] ?? TokenBucket(limits.arrivalsPerAddress, now: now)
        let isInTime = bucket.take(now: now) && (isFamiliar || arrivals.take(now: now))
        arrivalsByAddress[address] = bucket
        guard isInTime else { return .failure(.tooFast) }
        defer { nextID += 1 }
        connections[nextID] = Connection(address: address)
        countStranger(address, isFamiliar: isFamiliar, by: 1)
        return .success(nextID)
    }

    /// The connection is a member's. Returns those of the same member that it has too many of.
    mutating func identify(_ id: ConnectionID, as node: NodeID) -> [ConnectionID] {
        guard let connection = connections[id], connection.node == nil else { return [] }
        countStranger(connection.address, isFamiliar: familiar.contains(connection.address), by: -1)
        if !familiar.contains(connection.address), familiar.count < Self.addressesMax {
            becomeFamiliar(connection.address)
        }
        connections[id]?.node = node
        nodes[node, default: []].append(id)
        return Array(nodes[node, default: []].dropLast(limits.connectionsPerNode))
    }

    mutating func close(_ id: ConnectionID) {
        guard let connection = connections.removeValue(forKey: id) else { return }
        guard let node = connection.node else {
            return countStranger(connection.address, isFamiliar: familiar.contains(connection.address), by: -1)
        }
        nodes[node]?.removeAll { $0 == id }
        if nodes[node]?.isEmpty ?? false { nodes[node] = nil }
    }

    /// What strangers still hold there no longer counts among all strangers'.
    private mutating func becomeFamiliar(_ address: IPv4Address) {
        strangerCount -= strangers[address, default: 0]
        familiar.insert(address)
    }

    private mutating func countStranger(_ address: IPv4Address, isFamiliar: Bool, by change: Int) {
        if !isFamiliar { strangerCount += change }
        let count = strangers[address, default: 0] + change
        strangers[address] = count > 0 ? count : nil
    }

    var rememberedAddresses: Int { arrivalsByAddress.count }

    private mutating func forgetAddresses(now: NIODeadline) {
        guard arrivalsByAddress.count >= Self.addressesMax else { return }
        arrivalsByAddress = arrivalsByAddress.filter { _, bucket in
            var bucket = bucket
            return !bucket.isFull(now: now)
        }
        // All of them came within seconds: there is nobody to be fair to.
        if arrivalsByAddress.count >= Self.addressesMax { arrivalsByAddress = [:] }
    }
}
