package import WeftModel
import WeftNet

/// What the API shows. Everything is sorted by id.
extension Replica {
    package var cluster: Cluster? { tables.cluster }
    package var nodes: [Node] { tables.sortedNodes }
    package var networks: [Network] { tables.sortedNetworks }
    package var endpoints: [Endpoint] { tables.endpoints.sorted }
    /// By network, then by block.
    package var leases: [AddressLease] {
        tables.leases.values.sorted { ($0.network, $0.block) < ($1.network, $1.block) }
    }
    package var peers: [Peer] { nodes.map(Peer.init) }

    /// Who is in the swarm.
    package var members: Set<NodeID> { Set(tables.nodes.keys) }

    package func node(_ id: NodeID) -> Node? { tables.nodes[id] }
    package func network(_ id: NetworkID) -> Network? { tables.networks[id] }
    package func endpoint(_ id: EndpointID) -> Endpoint? { tables.endpoints[id] }
    package func lease(_ id: String) -> AddressLease? { tables.leases[id] }
    /// All of a kind, by their ids, and one of them.
    package func all<Value: StoredValue>(_ type: Value.Type) -> [Value] { tables.byKind[type].sorted }
    package subscript<Value: StoredValue>(_ type: Value.Type, _ id: Value.ID) -> Value? { tables.byKind[type][id] }
    /// Objects of all kinds, and one of them.
    package var objectCount: Int { tables.byKind.count }
    package func object(_ key: StoreKey) -> StoredObject? { tables.object(key) }

    /// Finds a network by id, name, or unique beginning of an id, in this order.
    package func network(matching text: String) throws(ControlError) -> Network { try tables.network(matching: text) }

    /// Finds a node by id, host name, or unique beginning of an id, in this order.
    package func node(matching text: String) throws(ControlError) -> Node { try tables.node(matching: text) }

    /// The root that a member's next certificate is from, with its key; nil while the store holds none.
    package func signingRoot(for role: NodeRole) -> (certificatePEM: String, privateKeyPEM: Secret)? {
        guard let cluster, let authority = tables.authority else { return nil }
        let wanted = cluster.wantedRoot(for: role)
        let key = wanted == cluster.rootCertificatePEM ? authority.privateKeyPEM : authority.nextPrivateKeyPEM
        return key.map { (wanted, $0) }
    }

    /// The root that join tokens name, with its key; nil while the store holds none.
    package var joiningRoot: (certificatePEM: String, privateKeyPEM: Secret)? {
        guard let cluster, let authority = tables.authority else { return nil }
        return (cluster.rootCertificatePEM, authority.privateKeyPEM)
    }
}

extension IndexedTables {
    var sortedNodes: [Node] { nodes.sorted }
    var sortedNetworks: [Network] { networks.sorted }

    /// Finds a network by id, name, or unique beginning of an id, in this order.
    func network(matching text: String) throws(ControlError) -> Network {
        if let network = networks[NetworkID(text)] { return network }
        if let id = networkNames[text], let network = networks[id] { return network }
        let matches = text.isEmpty ? [] : networks.values.filter { $0.id.rawValue.hasPrefix(text) }
        guard let match = matches.first else { throw ControlError(.notFound, "network \(text) not found") }
        guard matches.count == 1 else {
            throw ControlError(
                .invalid, "network \(text) is ambiguous (\(matches.count) matches found): give more of its id")
        }
        return match
    }

    /// Finds a node by id, host name, or unique beginning of an id, in this order.
    func node(matching text: String) throws(ControlError) -> Node {
        if let node = nodes[NodeID(text)] { return node }
        var matches = nodes.values.filter { $0.description?.hostname == text && !text.isEmpty }
        if matches.isEmpty, !text.isEmpty { matches = nodes.values.filter { $0.id.rawValue.hasPrefix(text) } }
        guard let match = matches.first else { throw ControlError(.notFound, "node \(text) not found") }
        guard matches.count == 1 else {
            throw ControlError(.invalid, "node \(text) is ambiguous (\(matches.count) matches found): give its id")
        }
        return match
    }
}
