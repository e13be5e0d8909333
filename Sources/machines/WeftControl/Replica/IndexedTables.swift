import WeftIPAM
import WeftModel
import WeftNet

/// The store's objects as a manager sees them, with what must be found quickly.
struct IndexedTables: Sendable {
    private(set) var byKind = Tables()

    private(set) var networkNames: [String: NetworkID] = [:]
    /// Services and tasks by what else they are looked for.
    private(set) var found = ServiceIndex()
    private(set) var subnetLeases: [SubnetID: SubnetLeases] = [:]
    private(set) var addressUsers: [NetworkID: [IPAddress: EndpointID]] = [:]
    private(set) var nodeEndpoints: [NodeID: Set<EndpointID>] = [:]
    /// How many addresses of each subnet the endpoints of each node have.
    private(set) var usedAddresses: [SubnetID: [NodeID: Int]] = [:]

    func object(_ key: StoreKey) -> StoredObject? { byKind.object(key) }

    /// Lays an object over the one with its key.
    mutating func put<Value: StoredValue>(_ value: Value) {
        if let old = byKind[Value.self][value.id] { unindex(old) }
        if let task = value as? ServiceTask {
            byKind.put(found.shared(task))
        } else {
            byKind.put(value)
        }
        index(value)
    }

    /// Takes an object away, if it is there.
    mutating func delete(_ key: StoreKey) {
        guard let old = byKind.object(key) else { return }
        byKind.remove(key)
        unindex(old.value)
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
        case let service as Service: found.insert(service)
        case let task as ServiceTask: found.insert(task)
        default: break
        }
    }

    private mutating func unindex(_ value: some StoredValue) {
        switch value {
        case let network as Network:
            if networkNames[network.spec.name] == network.id { networkNames[network.spec.name] = nil }
            for subnet in network.subnets where subnetLeases[subnet]?.owners.isEmpty ?? false {
                subnetLeases[subnet] = nil
            }
        case let endpoint as Endpoint:
            for address in endpoint.addresses {
                if addressUsers[endpoint.network]?[address] == endpoint.id { addressUsers[endpoint.network]?[address] = nil }
                forgetUse(of: SubnetID(endpoint.network, address.family), by: endpoint.node)
            }
            if addressUsers[endpoint.network]?.isEmpty ?? false { addressUsers[endpoint.network] = nil }
            nodeEndpoints[endpoint.node]?.remove(endpoint.id)
            if nodeEndpoints[endpoint.node]?.isEmpty ?? false { nodeEndpoints[endpoint.node] = nil }
        case let service as Service: found.remove(service)
        case let task as ServiceTask: found.remove(task)
        case let lease as AddressLease:
            subnetLeases[lease.subnet]?.remove(lease.block)
            if networks[lease.network] == nil, subnetLeases[lease.subnet]?.owners.isEmpty ?? false {
                subnetLeases[lease.subnet] = nil
            }
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
extension IndexedTables {
    var cluster: Cluster? { byKind[Cluster.self].values.first }
    var authority: AuthorityKey? { byKind[AuthorityKey.self].values.first }
    var nodes: Table<Node> { byKind[Node.self] }
    var networks: Table<Network> { byKind[Network.self] }
    var endpoints: Table<Endpoint> { byKind[Endpoint.self] }
    var leases: Table<AddressLease> { byKind[AddressLease.self] }
    var services: Table<Service> { byKind[Service.self] }
    var tasks: Table<ServiceTask> { byKind[ServiceTask.self] }
    var statements: Table<SignedStatement> { byKind[SignedStatement.self] }
    var readinesses: Table<KeyReadiness> { byKind[KeyReadiness.self] }
}
