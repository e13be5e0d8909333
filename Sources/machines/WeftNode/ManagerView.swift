import WeftModel
import WeftNet

/// What the manager said, of all kinds that nodes are told of: the cluster, and everybody's networks, peers and endpoints, this
/// node's among them, and its leases.
struct ManagerView: Sendable {
    /// Where this knowledge ends.
    var revision: Version = .none
    /// Of some kinds nothing is known, whatever the revision: it was saved by a version that had none of them.
    var lacksKinds = false
    /// What is never saved is missing, and something needs it: a manager must say all of it again.
    var lacksSecrets = false
    private(set) var tables = Tables()
    private var interfaces = InterfaceIndex()

    var cluster: ClusterView? { tables[ClusterView.self].values.first }
    var networks: Table<Network> { tables[Network.self] }
    var peers: Table<Peer> { tables[Peer.self] }
    var endpoints: Table<Endpoint> { tables[Endpoint.self] }
    var leases: Table<AddressLease> { tables[AddressLease.self] }

    /// Whether an endpoint of the network that meets the condition has the MAC address.
    func has(_ mac: MACAddress, on network: NetworkID, where condition: (Endpoint) -> Bool) -> Bool {
        let endpoints = endpoints
        return interfaces.has(mac, on: network) { endpoints[$0].map(condition) ?? false }
    }

    /// What a session begins from: 0 has everything told.
    var greetingRevision: Version { lacksSecrets ? .none : appliedRevision }

    /// Up to where nothing is missing.
    var appliedRevision: Version { lacksKinds ? .none : revision }

    /// Lays a set over what is known; false when it does not fit.
    mutating func apply(_ assignments: Assignments) -> Bool {
        guard assignments.isFull || assignments.baseRevision == appliedRevision && appliedRevision != .none else { return false }
        overlay(assignments)
        return true
    }

    /// Lays a set over what is known, whatever that was.
    mutating func overlay(_ assignments: Assignments) {
        if assignments.isFull { self = ManagerView() }
        revision = assignments.revision
        for delta in assignments.deltas { overlay(delta) }
    }

    private mutating func overlay(_ delta: some ErasedDelta) { overlay(delta.typed) }

    private mutating func overlay<Value: AssignedValue>(_ delta: Delta<Value>) {
        guard let endpoints = delta as? Delta<Endpoint> else { return Value.lay(delta, over: &tables[Value.self]) }
        for old in known(endpoints.ids) { interfaces.remove(old) }
        Value.lay(delta, over: &tables[Value.self])
        for endpoint in endpoints.put {
            // Once, even where it was told twice.
            interfaces.remove(endpoint)
            interfaces.insert(endpoint)
        }
    }

    private func known(_ ids: [EndpointID]) -> [Endpoint] {
        let endpoints = endpoints
        return ids.compactMap { endpoints[$0] }
    }

    mutating func put<Value: AssignedValue>(_ value: Value) { overlay(Delta(put: [value])) }

    /// Everything but what is kept with the node's own, sorted.
    var assignments: Assignments {
        var all = Assignments(isFull: true, baseRevision: .none, revision: appliedRevision)
        for table in tables.all { all.save(table) }
        return all
    }

    /// What is different of these objects, as they are.
    func changes(_ ids: [StoreKind: Set<String>]) -> Assignments {
        var changes = Assignments(isFull: false, baseRevision: .none, revision: appliedRevision)
        for (kind, ids) in ids { if let table = tables[kind] { changes.save(table, ids) } }
        return changes
    }
}

extension Assignments {
    /// All of a table that has rows in the node's file; with `ids`, what became of those.
    fileprivate mutating func save(_ table: some ErasedTable, _ ids: Set<String>? = nil) {
        if let type = type(of: table).Value as? any AssignedValue.Type, type.rows != nil { save(type, table, ids) }
    }

    private mutating func save<Value: AssignedValue>(_ type: Value.Type, _ table: some ErasedTable, _ ids: Set<String>?) {
        if let table = table as? Table<Value> { self[Value.self] = Value.kept(Value.content(of: table, ids)) }
    }
}
