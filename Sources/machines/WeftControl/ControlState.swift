import WeftIPAM
import WeftModel
import WeftNet

/// The store's objects as the manager sees them, with what must be found quickly, and what the running input changed.
struct ControlState: Sendable {
    /// An object that changed, and whom it concerns: one entry for before, one for since.
    struct Change: Hashable, Sendable {
        let key: StoreKey
        let audience: Audience
    }

    /// The newest commit.
    var revision: Version
    private(set) var tables = Tables()

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
        for object in snapshot.objects.sorted(by: { $0.key < $1.key }) { insert(object.value) }
    }

    /// Writes an object; it gets the version of the commit to come.
    mutating func put<Value: StoredValue>(_ value: Value) {
        let old = tables[Value.self][value.id]
        note(value.key, old: old)
        pendingChanges.insert(Change(key: value.key, audience: value.audience))
        if let old { unindex(old) }
        var value = value
        value.version = next
        insert(value)
    }

    mutating func delete(_ key: StoreKey) {
        guard let old = tables.object(key) else { return }
        note(key, old: old.value)
        remove(old)
    }

    /// Ends a round of changes: the guarded transaction that makes them durable, nil when nothing changed.
    mutating func takeTransaction() -> (Transaction, changes: Set<Change>)? {
        var writes: [StoreWrite] = []
        for (key, before) in pending.sorted(by: { $0.key < $1.key }) {
            if let object = tables.object(key) {
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
        former.sorted { $0.key < $1.key }.map { ($0.key, $0.value, tables.object($0.key)) }
    }

    /// Takes back what was changed since `beginRound`.
    mutating func undo(to revision: Version) {
        for key in former.keys { if let object = tables.object(key) { remove(object) } }
        // In the order of a snapshot: networks before what refers to them.
        for (_, object) in former.sorted(by: { $0.key < $1.key }) { if let object { insert(object.value) } }
        former = [:]
        pending = [:]
        pendingChanges = []
        self.revision = revision
    }

    private var next: Version { Version(revision.index + 1) }

    private mutating func note(_ key: StoreKey, old: (any StoredValue)?) {
        if former[key] == nil { former[key] = .some(old.map { StoredObject($0) }) }
        if pending[key] == nil { pending[key] = old?.version ?? Version.none }
        if let old { pendingChanges.insert(Change(key: key, audience: old.audience)) }
    }

    private mutating func insert(_ value: some StoredValue) {
        tables.put(value)
        index(value)
    }

    private mutating func remove(_ object: StoredObject) {
        tables.remove(object.key)
        unindex(object.value)
    }

    /// What must be found quickly. Kinds of which nothing is looked up but by id need nothing here.
    private mutating func index(_ value: some StoredValue) {
        switch value {
        case let network as Network:
            networkNames[network.spec.name] = network.id
            // A network's layout was checked when it was created, and does not change.
            for subnet in network.subnets where subnetLeases[subnet] == nil {
                if let layout = try? SubnetLayout(network, subnet.family) {
                    subnetLeases[subnet] = SubnetLeases(layout: layout)
                }
            }
        case let endpoint as Endpoint:
            for address in endpoint.addresses {
                addressUsers[endpoint.network, default: [:]][address] = endpoint.id
                usedAddresses[SubnetID(endpoint.network, address.family), default: [:]][endpoint.node, default: 0] += 1
            }
            nodeEndpoints[endpoint.node, default: []].insert(endpoint.id)
        case let lease as AddressLease:
            subnetLeases[lease.subnet]?.insert(lease.block, node: lease.node)
        default: break
        }
    }

    private mutating func unindex(_ value: some StoredValue) {
        switch value {
        case let network as Network:
            networkNames[network.spec.name] = nil
            for subnet in network.subnets where subnetLeases[subnet]?.owners.isEmpty ?? false {
                subnetLeases[subnet] = nil
            }
        case let endpoint as Endpoint:
            for address in endpoint.addresses {
                addressUsers[endpoint.network]?[address] = nil
                forgetUse(of: SubnetID(endpoint.network, address.family), by: endpoint.node)
            }
            if addressUsers[endpoint.network]?.isEmpty ?? false { addressUsers[endpoint.network] = nil }
            nodeEndpoints[endpoint.node]?.remove(endpoint.id)
            if nodeEndpoints[endpoint.node]?.isEmpty ?? false { nodeEndpoints[endpoint.node] = nil }
        case let lease as AddressLease:
            subnetLeases[lease.subnet]?.remove(lease.block)
            if networks[lease.network] == nil { subnetLeases[lease.subnet] = nil }
        default: break
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

/// The kinds that the controllers work on.
extension ControlState {
    var cluster: Cluster? { tables[Cluster.self].values.first }
    var authority: AuthorityKey? { tables[AuthorityKey.self].values.first }
    var nodes: Table<Node> { tables[Node.self] }
    var networks: Table<Network> { tables[Network.self] }
    var endpoints: Table<Endpoint> { tables[Endpoint.self] }
    var leases: Table<AddressLease> { tables[AddressLease.self] }
}
