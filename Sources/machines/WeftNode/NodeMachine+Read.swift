import WeftIPAM
package import WeftModel
import WeftNet

/// What the shell builds the data path, the resolver and the API's answers from. Everything is sorted by id.
extension NodeMachine {
    package var clusterView: ClusterView? { view.cluster }
    package var networks: [Network] { view.networks.sorted }
    /// All nodes, this one among them.
    package var peers: [Peer] { view.peers.sorted }
    /// What the manager said of one kind.
    package func assigned<Value: AssignedValue>(_ type: Value.Type) -> Table<Value> { view.tables[type] }
    package var ownEndpoints: [Endpoint] { own.values.sorted { $0.id < $1.id } }

    /// Why the swarm does not know one of this node's endpoints, nil when it does.
    package func refusal(of endpoint: EndpointID) -> String? { own[endpoint] == nil ? nil : refusals[endpoint] }

    /// Those of this node's endpoints that a container engine made.
    package var engineEndpoints: Set<EndpointID> { Set(engine.keys) }
    /// Endpoints of this node whose attach waits for the data path.
    package var newEndpoints: Set<EndpointID> { Set(unconfirmed.values.filter(\.isAttach).map(\.endpoint.id)) }

    /// Endpoints of all nodes. About its own, this node is right; an endpoint whose network or node is not known is left out.
    package var endpoints: [Endpoint] {
        let (networks, peers) = (view.networks, view.peers)
        let others = view.endpoints.values.filter {
            $0.node != id && networks[$0.network] != nil && peers[$0.node] != nil && own[$0.id] == nil
        }
        return (others + own.values.filter { networks[$0.network] != nil }).sorted { $0.id < $1.id }
    }

    /// What was said last of an endpoint, by this node of its own, by the manager of others; its network and its node may not be known.
    package func lastKnown(_ id: EndpointID) -> Endpoint? {
        own[id] ?? view.endpoints[id].flatMap { $0.node == self.id ? nil : $0 }
    }

    /// All that `lastKnown` knows, in no order.
    package func forEachEndpoint(_ body: (Endpoint) -> Void) {
        for endpoint in own.values { body(endpoint) }
        for endpoint in view.endpoints.values where endpoint.node != id && own[endpoint.id] == nil { body(endpoint) }
    }

    /// True for another node's endpoint with a network and a node that are known.
    func isKnown(_ endpoint: Endpoint) -> Bool {
        endpoint.node != id && view.networks[endpoint.network] != nil && view.peers[endpoint.node] != nil
    }

    /// One of this node's endpoints.
    package func ownEndpoint(_ id: EndpointID) -> Endpoint? { own[id] }
    /// This node's endpoints of a sandbox, sorted by id.
    package func ownEndpoints(of sandbox: SandboxID) -> [Endpoint] {
        (sandboxes[sandbox] ?? []).sorted().compactMap { own[$0] }
    }
    /// Addresses that are kept for endpoints to come.
    package var reservedPlaces: [Place] { reservations.keys.sorted() }

    /// Whether a container engine made an endpoint of this node, and whether its attach waits for the data path still.
    package func engineState(of endpoint: EndpointID) -> (isEngine: Bool, isNew: Bool) {
        (
            engine[endpoint] != nil,
            unconfirmed.values.contains { $0.isAttach && $0.endpoint.id == endpoint }
        )
    }

    /// The endpoints whose names resolve: those on nodes that are not down.
    package var namedEndpoints: [Endpoint] {
        let peers = view.peers
        return endpoints.filter { $0.node == id || peers[$0.node]?.state != .down }
    }

    /// Blocks this node allocates from, by network, then by block.
    package var usableLeases: [AddressLease] {
        let leases = sorted(view.leases.values)
        guard !returned.isEmpty else { return leases }
        let parts = Dictionary(grouping: returned, by: \.lease)
        return leases.flatMap { lease -> [AddressLease] in
            guard let returned = parts[lease.id] else { return [lease] }
            return lease.block.subtracting(returned.map(\.prefix)).map {
                AddressLease(network: lease.network, block: $0, node: lease.node, version: lease.version)
            }
        }
    }

    func sorted(_ leases: some Collection<AddressLease>) -> [AddressLease] {
        leases.sorted { ($0.network, $0.block) < ($1.network, $1.block) }
    }

    package var appliedRevision: Version { view.appliedRevision }
    /// Attaches and reservations that have no address yet.
    package var waitingRequests: Int { waiting.count }
    package var hasSession: Bool { session != .closed }
    /// True once the manager's answer to this session's hello is applied.
    package var isSynchronised: Bool { session == .synchronised }

    package func network(_ id: NetworkID) -> Network? { view.networks[id] }
    package func peer(_ id: NodeID) -> Peer? { view.peers[id] }

    /// Finds a network by id, name, or unique beginning of an id, in this order.
    package func network(matching text: String) throws(AttachError) -> Network {
        if let network = view.networks[NetworkID(text)] { return network }
        let matches = view.networks.values.filter { $0.spec.name == text }
        if let match = matches.first { return match }
        let prefixed = text.isEmpty ? [] : view.networks.values.filter { $0.id.rawValue.hasPrefix(text) }
        guard let match = prefixed.first else { throw .networkNotFound(text) }
        guard prefixed.count == 1 else { throw .networkAmbiguous(text, matches: prefixed.count) }
        return match
    }
}
