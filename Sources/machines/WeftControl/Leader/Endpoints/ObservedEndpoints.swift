import WeftIPAM
import WeftModel
import WeftNet

/// Endpoints, of which each node says what it has: what is its to say goes into the store, the rest is told back.
enum ObservedEndpoints {
    /// The whole truth of a node about its endpoints. A node that knows nothing says nothing by that: it may have lost its
    /// memory, and asks for the swarm's. It tells what it has once it has heard.
    static func synchronise(_ endpoints: [Endpoint], isEmptyHanded: Bool, of node: NodeID, in round: inout Round) {
        let reported = Set(endpoints.map(\.id))
        if !isEmptyHanded {
            for id in (round.tables.nodeEndpoints[node] ?? []).sorted() where !reported.contains(id) {
                round.draft.delete(Endpoint.key(id))
            }
        }
        accept(endpoints, from: node, in: &round)
    }

    static func change(added: [Endpoint], removed: [EndpointID], of node: NodeID, in round: inout Round) {
        for id in removed.sorted() where round.tables.endpoints[id]?.node == node { round.draft.delete(Endpoint.key(id)) }
        accept(added, from: node, in: &round)
    }

    static func forget(of node: NodeID, in round: inout Round) {
        for id in (round.tables.nodeEndpoints[node] ?? []).sorted() { round.draft.delete(Endpoint.key(id)) }
    }

    /// Takes a node's own endpoints in, as far as they are its to make.
    private static func accept(_ endpoints: [Endpoint], from node: NodeID, in round: inout Round) {
        for endpoint in endpoints.sorted(by: { $0.id < $1.id }) {
            if let reason = objection(to: endpoint, from: node, in: round) {
                round.note("endpoint \(endpoint.name) (\(endpoint.id)) of node \(node) is refused: \(reason)")
                tell(node, ofRefused: endpoint.id, reason: reason, in: &round)
                continue
            }
            lease(addressesOf: endpoint, in: &round)
            var known = round.tables.endpoints[endpoint.id]
            known?.version = endpoint.version
            if known != endpoint { round.draft.put(endpoint) }
        }
    }

    /// Nobody's address, in use: the node keeps it (the store is older than the endpoint).
    private static func lease(addressesOf endpoint: Endpoint, in round: inout Round) {
        for address in endpoint.addresses {
            let subnet = SubnetID(endpoint.network, address.family)
            guard round.tables.subnetLeases[subnet]?.lease(holding: address) == nil else { continue }
            round.draft.put(AddressLease(network: endpoint.network, block: AnyIPPrefix(host: address), node: endpoint.node))
        }
    }

    /// A node that does not know the message would end its session over it, and come back with the same endpoint. Nodes
    /// understand it since the version in which they began to return addresses, which is what they announce.
    private static func tell(_ node: NodeID, ofRefused endpoint: EndpointID, reason: String, in round: inout Round) {
        guard let session = round.dispatcher.sessions[node], round.tables.nodes[node]?.description?.returnsAddresses == true
        else { return }
        round.send(node, session.id, .endpointRefused(endpoint, reason: reason))
    }

    private static func objection(to endpoint: Endpoint, from node: NodeID, in round: Round) -> String? {
        guard endpoint.node == node else { return "it says it is node \(endpoint.node)'s" }
        guard round.tables.networks[endpoint.network] != nil else { return "there is no network \(endpoint.network)" }
        if let known = round.tables.endpoints[endpoint.id], known.node != node || known.network != endpoint.network {
            return "its id is another endpoint's"
        }
        if endpoint.mac.isMulticast || endpoint.mac.rawValue == 0 { return "\(endpoint.mac) is no interface's address" }
        return endpoint.addresses.lazy.compactMap { objection(to: $0, of: endpoint, in: round) }.first
    }

    private static func objection(to address: IPAddress, of endpoint: Endpoint, in round: Round) -> String? {
        guard let leases = round.tables.subnetLeases[SubnetID(endpoint.network, address.family)] else {
            return "network \(endpoint.network) has no \(address.family)"
        }
        guard leases.layout.isAssignable(address) else {
            return "\(address) is no address for endpoints of \(leases.layout.subnet)"
        }
        if let user = round.tables.addressUsers[endpoint.network]?[address], user != endpoint.id {
            return "\(address) is endpoint \(user)'s"
        }
        guard let lease = leases.lease(holding: address), lease.node != endpoint.node else { return nil }
        if let service = round.tables.services[ServiceID(lease.node.rawValue)] {
            return "\(address) is the virtual address of service \(service.spec.name)"
        }
        return "\(address) lies in the block \(lease.block) of node \(lease.node)"
    }
}
