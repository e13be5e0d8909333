import WeftIPAM
package import WeftModel
import WeftNet

/// What the shell builds the data path, the resolver and the API's answers from. Everything is sorted by id.
extension NodeMachine {
    package var clusterView: ClusterView? { view.cluster }
    package var networks: [Network] { view.networks.values.sorted { $0.id < $1.id } }
    /// All nodes, this one among them.
    package var peers: [Peer] { view.peers.values.sorted { $0.id < $1.id } }
    package var ownEndpoints: [Endpoint] { own.values.sorted { $0.id < $1.id } }

    /// Those of this node's endpoints that a container engine made.
    package var engineEndpoints: Set<EndpointID> { Set(engine.keys) }
    /// Endpoints of this node whose attach waits for the data path.
    package var newEndpoints: Set<EndpointID> { Set(unconfirmed.values.filter(\.isAttach).map(\.endpoint.id)) }

    /// Endpoints of all nodes. About its own, this node is right; an endpoint whose network or node is not known is left out.
    package var endpoints: [Endpoint] {
        let others = view.endpoints.values.filter {
            $0.node != id && view.networks[$0.network] != nil && view.peers[$0.node] != nil
        }
        return (others + own.values.filter { view.networks[$0.network] != nil }).sorted { $0.id < $1.id }
    }

    /// The endpoints whose names resolve: those on nodes that are not down.
    package var namedEndpoints: [Endpoint] {
        endpoints.filter { $0.node == id || view.peers[$0.node]?.state != .down }
    }

    /// Blocks this node allocates from, by network, then by block.
    package var usableLeases: [AddressLease] {
        let leases = sorted(view.leases.values)
        return returned.isEmpty ? leases : leases.filter { !returned.contains($0.id) }
    }

    private func sorted(_ leases: some Collection<AddressLease>) -> [AddressLease] {
        leases.sorted { ($0.network, $0.block) < ($1.network, $1.block) }
    }

    package var appliedRevision: Version { view.revision }
    package var hasSession: Bool { session != .closed }
    /// True once the manager's answer to this session's hello is applied.
    package var isSynchronised: Bool { session == .synchronised }

    package func network(_ id: NetworkID) -> Network? { view.networks[id] }

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

    /// What a restart needs; worth writing whenever an action says so.
    package var saved: SavedNode {
        var saved = SavedNode()
        saved.own.endpoints = ownEndpoints
        saved.own.leases = sorted(view.leases.values)
        saved.own.returned = returned.sorted()
        saved.own.isLeaving = isLeaving
        saved.own.engine = engine.map { .init(id: $0.key, since: $0.value) }.sorted { $0.id < $1.id }
        saved.own.reservations =
            reservations
            .map { .init(network: $0.key.network, address: $0.key.address, since: $0.value) }
            .sorted { ($0.network, $0.address) < ($1.network, $1.address) }
        var resting = strayRests
        for (network, allocator) in addresses {
            for (address, until) in allocator.resting {
                resting.append(.init(network: network, address: address, until: until))
            }
        }
        saved.own.resting = resting.sorted { ($0.network, $0.address) < ($1.network, $1.address) }
        saved.view = view.assignments
        return saved
    }
}
