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

    struct Admission: Hashable {
        let id: ConnectionID
        /// A stranger's that gave way and is no longer known here: it is to be closed.
        var ended: ConnectionID?
    }

    private struct Connection {
        let address: IPv4Address
        let since: NIODeadline
        /// Nil for a stranger's.
        var node: NodeID?
    }

    private let limits: PortLimits
    private var connections: [ConnectionID: Connection] = [:]
    /// Connections of strangers, oldest first.
    private var strangers: [IPv4Address: [ConnectionID]] = [:]
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

    /// Lets a connection in, as a stranger's. A member behind the same address as others is a stranger too until it has
    /// shown who it is: where they hold the address's whole share, the oldest of them gives way.
    mutating func admit(_ address: IPv4Address, now: NIODeadline) -> Result<Admission, Refusal> {
        let isFamiliar = familiar.contains(address)
        let oldest = surplusStranger(of: address)
        if let oldest {
            guard isFamiliar, let since = connections[oldest]?.since, now - since >= limits.strangerGrace else {
                return .failure(.tooManyOfAddress)
            }
        }
        guard isFamiliar || strangerCount < limits.strangers else { return .failure(.tooManyStrangers) }
        guard arrives(address, isFamiliar: isFamiliar, now: now) else { return .failure(.tooFast) }
        if let oldest { close(oldest) }
        defer { nextID += 1 }
        connections[nextID] = Connection(address: address, since: now)
        strangers[address, default: []].append(nextID)
        if !isFamiliar { strangerCount += 1 }
        return .success(Admission(id: nextID, ended: oldest))
    }

    /// The oldest stranger of an address whose share is used up.
    private func surplusStranger(of address: IPv4Address) -> ConnectionID? {
        guard let held = strangers[address], held.count >= limits.strangersPerAddress else { return nil }
        return held.first
    }

    private mutating func arrives(_ address: IPv4Address, isFamiliar: Bool, now: NIODeadline) -> Bool {
        forgetAddresses(now: now)
        let rate = isFamiliar ? limits.arrivalsPerFamiliarAddress : limits.arrivalsPerAddress
        var bucket = arrivalsByAddress[address] ?? TokenBucket(rate, now: now)
        defer { arrivalsByAddress[address] = bucket }
        return bucket.take(now: now) && (isFamiliar || arrivals.take(now: now))
    }

    /// The connection is a member's. Returns those of the same member that it has too many of.
    mutating func identify(_ id: ConnectionID, as node: NodeID) -> [ConnectionID] {
        guard let connection = connections[id], connection.node == nil else { return [] }
        forgetStranger(id, at: connection.address)
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
            return forgetStranger(id, at: connection.address)
        }
        nodes[node]?.removeAll { $0 == id }
        if nodes[node]?.isEmpty ?? false { nodes[node] = nil }
    }

    /// What strangers still hold there no longer counts among all strangers'.
    private mutating func becomeFamiliar(_ address: IPv4Address) {
        strangerCount -= strangers[address]?.count ?? 0
        familiar.insert(address)
        // The next one that comes from there begins with the larger share.
        arrivalsByAddress[address] = nil
    }

    private mutating func forgetStranger(_ id: ConnectionID, at address: IPv4Address) {
        if !familiar.contains(address) { strangerCount -= 1 }
        strangers[address]?.removeAll { $0 == id }
        if strangers[address]?.isEmpty ?? false { strangers[address] = nil }
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
