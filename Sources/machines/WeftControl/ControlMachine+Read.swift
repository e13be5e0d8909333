package import WeftModel
import WeftNet

/// What the API shows. Everything is sorted by id.
extension ControlMachine {
    /// The newest commit that the machine knows of.
    package var revision: Version { state.revision }
    package var cluster: Cluster? { state.cluster }
    package var nodes: [Node] { state.nodes.values.sorted { $0.id < $1.id } }
    package var networks: [Network] { state.networks.values.sorted { $0.id < $1.id } }
    package var endpoints: [Endpoint] { state.endpoints.values.sorted { $0.id < $1.id } }
    /// By network, then by block.
    package var leases: [AddressLease] {
        state.leases.values.sorted { ($0.network, $0.block) < ($1.network, $1.block) }
    }
    package var peers: [Peer] { nodes.map(Peer.init) }

    /// Objects of all kinds, and one of them.
    package var objectCount: Int { state.tables.count }
    package func object(_ key: StoreKey) -> StoredObject? { state.tables.object(key) }
    package func node(_ id: NodeID) -> Node? { state.nodes[id] }
    package func network(_ id: NetworkID) -> Network? { state.networks[id] }
    package func endpoint(_ id: EndpointID) -> Endpoint? { state.endpoints[id] }
    package func lease(_ id: String) -> AddressLease? { state.leases[id] }
    /// True while the node has a session and said hello in it.
    package func isConnected(_ id: NodeID) -> Bool { sessions[id]?.isOpen ?? false }

    /// Finds a network by id, name, or unique beginning of an id, in this order.
    package func network(matching text: String) throws(ControlError) -> Network {
        if let network = state.networks[NetworkID(text)] { return network }
        if let id = state.networkNames[text], let network = state.networks[id] { return network }
        let matches = text.isEmpty ? [] : state.networks.values.filter { $0.id.rawValue.hasPrefix(text) }
        guard let match = matches.first else { throw ControlError(.notFound, "network \(text) not found") }
        guard matches.count == 1 else {
            throw ControlError(
                .invalid, "network \(text) is ambiguous (\(matches.count) matches found): give more of its id")
        }
        return match
    }

    /// Finds a node by id, host name, or unique beginning of an id, in this order.
    package func node(matching text: String) throws(ControlError) -> Node {
        if let node = state.nodes[NodeID(text)] { return node }
        var matches = state.nodes.values.filter { $0.description?.hostname == text && !text.isEmpty }
        if matches.isEmpty, !text.isEmpty { matches = state.nodes.values.filter { $0.id.rawValue.hasPrefix(text) } }
        guard let match = matches.first else { throw ControlError(.notFound, "node \(text) not found") }
        guard matches.count == 1 else {
            throw ControlError(.invalid, "node \(text) is ambiguous (\(matches.count) matches found): give its id")
        }
        return match
    }
}
