package import WeftModel
import WeftNet
import WeftWire

/// Who holds which name on which network: all that names are answered from on one node.
///
/// Built from what the manager assigns and from the node's own endpoints, as a whole or by changes; the order of the
/// changes does not matter to the result. Endpoints of peers that are down stay in the table and out of answers, so
/// that they are back at once when the peer is.
package struct NameTable: Equatable, Sendable {
    /// The node this table serves. Only its sandboxes ask, and its own endpoints are never taken for down: a node that
    /// a manager has lost sight of goes on resolving its own names.
    package let node: NodeID

    private(set) var endpoints: [EndpointID: Endpoint] = [:]
    var scopes: [NetworkID: Scope] = [:]
    /// Every overlay address of an endpoint, on any network: what PTR asks for.
    private(set) var addresses: [IPAddress: Few<EndpointID>] = [:]
    /// The endpoints of this node's sandboxes.
    private(set) var sandboxes: [SandboxID: Few<EndpointID>] = [:]
    var services: [ServiceID: ServiceView] = [:]
    /// The services' own addresses.
    var virtualAddresses: [IPAddress: Few<ServiceID>] = [:]
    private(set) var downNodes: Set<NodeID> = []
    /// Subnets of all networks, ascending. Subnets do not overlap.
    private(set) var subnets: [AnyIPPrefix] = []

    /// One network's names. It exists as soon as the network, one of its endpoints or a service on it is known.
    struct Scope: Equatable, Sendable {
        var network: Network?
        /// The network's name, nil when DNS cannot express it.
        var name: DNSName?
        var holders: [DNSName: Few<EndpointID>] = [:]
        /// What a name means besides.
        var services: [DNSName: Few<ServiceName>] = [:]
        /// The endpoints here that are tasks of a service, whose backends they are while they serve.
        var tasks: [ServiceID: Few<EndpointID>] = [:]
        /// Of endpoints and services.
        var userCount = 0
    }

    /// What a name of a service's leads to.
    enum ServiceName: Hashable, Sendable {
        /// To the service as a whole.
        case service(ServiceID)
        /// To its backends: `tasks.…`.
        case tasks(ServiceID)
    }

    package init(node: NodeID) { self.node = node }

    package init(
        node: NodeID, networks: [Network], endpoints: [Endpoint], peers: [Peer], services: [ServiceView] = []
    ) {
        self.node = node
        self.endpoints.reserveCapacity(endpoints.count)
        addresses.reserveCapacity(endpoints.count)
        insert(networks)
        for peer in peers { insert(peer) }
        for service in services { insert(service) }
        for endpoint in endpoints { insert(endpoint) }
    }

    /// How many endpoints the table holds, those of peers that are down among them.
    package var endpointCount: Int { endpoints.count }
}

// MARK: Changes

extension NameTable {
    /// Lays a delta over the table, or replaces everything by a full set.
    package mutating func apply(_ assignments: Assignments) {
        guard !assignments.isFull else {
            self = NameTable(
                node: node, networks: assignments.networks, endpoints: assignments.endpoints, peers: assignments.peers,
                services: assignments[ServiceView.self].put)
            return
        }
        for id in assignments.removedEndpoints { removeEndpoint(id) }
        for id in assignments[ServiceView.self].removed { removeService(id) }
        for id in assignments.removedNetworks { removeNetwork(id) }
        for id in assignments.removedPeers { removePeer(id) }
        insert(assignments.networks)
        for peer in assignments.peers { insert(peer) }
        for service in assignments[ServiceView.self].put { insert(service) }
        for endpoint in assignments.endpoints { insert(endpoint) }
    }

    /// Adds networks, or replaces those with the same identifiers. Their endpoints stay.
    package mutating func insert(_ networks: [Network]) {
        for network in networks {
            scopes[network.id, default: Scope()].network = network
            scopes[network.id]?.name = DNSName(network.spec.name)
        }
        if !networks.isEmpty { indexSubnets() }
    }

    /// Removes a network; its endpoints go by themselves. Unknown identifiers are ignored.
    package mutating func removeNetwork(_ id: NetworkID) {
        guard scopes[id]?.network != nil else { return }
        scopes[id]?.network = nil
        scopes[id]?.name = nil
        forgetScopeIfEmpty(id)
        indexSubnets()
    }

    /// Adds an endpoint, or replaces the one with the same identifier.
    package mutating func insert(_ endpoint: Endpoint) {
        guard endpoints[endpoint.id] != endpoint else { return }
        removeEndpoint(endpoint.id)
        endpoints[endpoint.id] = endpoint
        for address in endpoint.addresses { addresses[address, default: Few()].insert(endpoint.id) }
        if endpoint.node == node { sandboxes[endpoint.sandbox, default: Few()].insert(endpoint.id) }
        scopes[endpoint.network, default: Scope()].userCount += 1
        if let task = endpoint.task { scopes[endpoint.network]?.tasks[task.service, default: Few()].insert(endpoint.id) }
        for name in Self.names(of: endpoint) {
            scopes[endpoint.network]?.holders[name, default: Few()].insert(endpoint.id)
        }
    }

    /// Removes an endpoint. Unknown identifiers are ignored.
    package mutating func removeEndpoint(_ id: EndpointID) {
        guard let endpoint = endpoints.removeValue(forKey: id) else { return }
        for address in endpoint.addresses { Self.remove(id, at: address, from: &addresses) }
        if endpoint.node == node { Self.remove(id, at: endpoint.sandbox, from: &sandboxes) }
        if var scope = scopes.removeValue(forKey: endpoint.network) {
            for name in Self.names(of: endpoint) { Self.remove(id, at: name, from: &scope.holders) }
            if let task = endpoint.task { Self.remove(id, at: task.service, from: &scope.tasks) }
            scope.userCount -= 1
            scopes[endpoint.network] = scope
        }
        forgetScopeIfEmpty(endpoint.network)
    }

    mutating func forgetScopeIfEmpty(_ id: NetworkID) {
        if let scope = scopes[id], scope.network == nil, scope.userCount == 0 { scopes[id] = nil }
    }

    /// Notes whether a peer is down.
    package mutating func insert(_ peer: Peer) {
        if peer.state == .down {
            downNodes.insert(peer.id)
        } else {
            downNodes.remove(peer.id)
        }
    }

    /// Forgets a peer's state; its endpoints go by themselves.
    package mutating func removePeer(_ id: NodeID) { downNodes.remove(id) }

    static func remove<Key: Hashable, Value: Equatable & Sendable>(
        _ value: Value, at key: Key, from index: inout [Key: Few<Value>]
    ) {
        index[key]?.remove(value)
        if index[key]?.isEmpty == true { index[key] = nil }
    }

    /// The endpoint's names as DNS knows them, each once. One that DNS cannot express, with a label of more than 63
    /// octets for instance, has no entry.
    private static func names(of endpoint: Endpoint) -> [DNSName] {
        distinct([endpoint.name] + endpoint.aliases)
    }

    static func distinct(_ texts: [String]) -> [DNSName] {
        var names: [DNSName] = []
        for text in texts {
            if let name = DNSName(text), !name.isRoot, !names.contains(name) { names.append(name) }
        }
        return names
    }

    private mutating func indexSubnets() {
        subnets = scopes.values.compactMap(\.network)
            .flatMap { network in network.subnets.compactMap { network.subnet($0.family) } }.sorted()
    }
}
