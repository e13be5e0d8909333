import WeftIPAM
import WeftModel
import WeftNet

/// The store's objects as the manager sees them, with what must be found quickly, and what the running input changed.
struct ControlState: Sendable {
    /// A changed object. A lease's node is kept, because only that node is told.
    struct Change: Hashable, Sendable {
        let key: StoreKey
        var leaseHolder: NodeID?
    }

    /// The newest commit.
    var revision: Version
    private(set) var cluster: Cluster?
    private(set) var authority: AuthorityKey?
    private(set) var nodes: [NodeID: Node] = [:]
    private(set) var networks: [NetworkID: Network] = [:]
    private(set) var endpoints: [EndpointID: Endpoint] = [:]
    private(set) var leases: [String: AddressLease] = [:]

    private(set) var networkNames: [String: NetworkID] = [:]
    private(set) var subnetLeases: [SubnetID: SubnetLeases] = [:]
    private(set) var addressUsers: [NetworkID: [IPAddress: EndpointID]] = [:]
    private(set) var nodeEndpoints: [NodeID: Set<EndpointID>] = [:]
    /// How many addresses of each subnet the endpoints of each node have.
    private(set) var usedAddresses: [SubnetID: [NodeID: Int]] = [:]

    /// Keys changed since the last commit, and the version each had before.
    private(set) var pending: [StoreKey: Version] = [:]
    private(set) var pendingChanges: Set<Change> = []
    /// What the running input changed, as it was before.
    private var former: [StoreKey: StoredObject?] = [:]

    init(snapshot: StoreSnapshot) {
        revision = snapshot.revision
        // Networks before what refers to them: leases need their layouts.
        for object in snapshot.objects.sorted(by: { $0.key < $1.key }) { insert(object) }
    }

    /// Writes an object; it gets the version of the commit to come.
    mutating func put(_ object: StoredObject) {
        var object = object
        note(object.key, holder: object.leaseHolder)
        object.version = next
        remove(object.key)
        insert(object)
    }

    mutating func delete(_ key: StoreKey) {
        guard version(of: key) != .none else { return }
        let holder = key.kind == .lease ? leases[key.id]?.node : nil
        note(key, holder: holder)
        remove(key)
    }

    /// Ends a round of changes: the guarded transaction that makes them durable, nil when nothing changed.
    mutating func takeTransaction() -> (Transaction, changes: Set<Change>)? {
        var writes: [StoreWrite] = []
        for (key, before) in pending.sorted(by: { $0.key < $1.key }) {
            if let object = object(key) {
                writes.append(.put(object, expecting: before))
            } else if before != .none {
                writes.append(.delete(key, expecting: before))
            }
        }
        let changes = pendingChanges
        pending = [:]
        pendingChanges = []
        guard !writes.isEmpty else { return nil }
        revision = next
        return (Transaction(writes), changes)
    }

    /// Begins a round of changes that `undo` may take back.
    mutating func beginRound() { former = [:] }

    /// What was changed since `beginRound`, before and now, by key. Nil: there was, or is, no such object.
    var changed: [(key: StoreKey, old: StoredObject?, new: StoredObject?)] {
        former.sorted { $0.key < $1.key }.map { ($0.key, $0.value, object($0.key)) }
    }

    /// Takes back what was changed since `beginRound`.
    mutating func undo(to revision: Version) {
        for key in former.keys { remove(key) }
        // In the order of a snapshot: networks before what refers to them.
        for (_, object) in former.sorted(by: { $0.key < $1.key }) { if let object { insert(object) } }
        former = [:]
        pending = [:]
        pendingChanges = []
        self.revision = revision
    }

    private var next: Version { Version(revision.index + 1) }

    private mutating func note(_ key: StoreKey, holder: NodeID?) {
        if former[key] == nil { former[key] = .some(object(key)) }
        if pending[key] == nil { pending[key] = version(of: key) }
        pendingChanges.insert(Change(key: key, leaseHolder: holder))
    }

    private func version(of key: StoreKey) -> Version { object(key)?.version ?? .none }

    private func object(_ key: StoreKey) -> StoredObject? {
        switch key.kind {
        case .cluster: cluster.flatMap { $0.id.rawValue == key.id ? .cluster($0) : nil }
        case .authority: authority.flatMap { $0.id.rawValue == key.id ? .authority($0) : nil }
        case .node: nodes[NodeID(key.id)].map { .node($0) }
        case .network: networks[NetworkID(key.id)].map { .network($0) }
        case .endpoint: endpoints[EndpointID(key.id)].map { .endpoint($0) }
        case .lease: leases[key.id].map { .lease($0) }
        }
    }

    private mutating func insert(_ object: StoredObject) {
        switch object {
        case .cluster(let cluster): self.cluster = cluster
        case .authority(let authority): self.authority = authority
        case .node(let node): nodes[node.id] = node
        case .network(let network):
            networks[network.id] = network
            networkNames[network.spec.name] = network.id
            // A network's layout was checked when it was created, and does not change.
            for subnet in network.subnets where subnetLeases[subnet] == nil {
                if let layout = try? SubnetLayout(network, subnet.family) {
                    subnetLeases[subnet] = SubnetLeases(layout: layout)
                }
            }
        case .endpoint(let endpoint):
            endpoints[endpoint.id] = endpoint
            for address in endpoint.addresses {
                addressUsers[endpoint.network, default: [:]][address] = endpoint.id
                usedAddresses[SubnetID(endpoint.network, address.family), default: [:]][endpoint.node, default: 0] += 1
            }
            nodeEndpoints[endpoint.node, default: []].insert(endpoint.id)
        case .lease(let lease):
            leases[lease.id] = lease
            subnetLeases[lease.subnet]?.insert(lease.block, node: lease.node)
        }
    }

    private mutating func remove(_ key: StoreKey) {
        switch object(key) {
        case .cluster: cluster = nil
        case .authority: authority = nil
        case nil: break
        case .node(let node): nodes[node.id] = nil
        case .network(let network):
            networks[network.id] = nil
            networkNames[network.spec.name] = nil
            for subnet in network.subnets where subnetLeases[subnet]?.owners.isEmpty ?? false {
                subnetLeases[subnet] = nil
            }
        case .endpoint(let endpoint):
            endpoints[endpoint.id] = nil
            for address in endpoint.addresses {
                addressUsers[endpoint.network]?[address] = nil
                forgetUse(of: SubnetID(endpoint.network, address.family), by: endpoint.node)
            }
            if addressUsers[endpoint.network]?.isEmpty ?? false { addressUsers[endpoint.network] = nil }
            nodeEndpoints[endpoint.node]?.remove(endpoint.id)
            if nodeEndpoints[endpoint.node]?.isEmpty ?? false { nodeEndpoints[endpoint.node] = nil }
        case .lease(let lease):
            leases[lease.id] = nil
            subnetLeases[lease.subnet]?.remove(lease.block)
            if networks[lease.network] == nil { subnetLeases[lease.subnet] = nil }
        }
    }

    private mutating func forgetUse(of subnet: SubnetID, by node: NodeID) {
        let count = (usedAddresses[subnet]?[node] ?? 0) - 1
        usedAddresses[subnet]?[node] = count > 0 ? count : nil
        if usedAddresses[subnet]?.isEmpty ?? false { usedAddresses[subnet] = nil }
    }

    /// Whether an endpoint has an address of the prefix.
    func isUsed(_ prefix: AnyIPPrefix, of network: NetworkID) -> Bool {
        guard let users = addressUsers[network] else { return false }
        guard prefix.width - prefix.length <= 8 else { return users.keys.contains(where: prefix.contains) }
        return (0..<1 << (prefix.width - prefix.length)).contains { offset in
            prefix.network.advanced(by: offset).map { users[$0] != nil } ?? false
        }
    }
}

extension StoredObject {
    fileprivate var leaseHolder: NodeID? {
        if case .lease(let lease) = self { lease.node } else { nil }
    }
}
