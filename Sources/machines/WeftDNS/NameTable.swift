package import WeftModel
package import WeftNet
package import WeftWire

/// Who holds which name on which network: all that names are answered from on one node.
///
/// Built from what the manager assigns and from the node's own endpoints, as a whole or by changes; the order of the
/// changes does not matter to the result. Endpoints of peers that are down stay in the table and out of answers, so
/// that they are back at once when the peer is.
package struct NameTable: Equatable, Sendable {
    /// The node this table serves. Only its sandboxes ask, and its own endpoints are never taken for down: a node that
    /// a manager has lost sight of goes on resolving its own names.
    package let node: NodeID

    private var endpoints: [EndpointID: Endpoint] = [:]
    private var scopes: [NetworkID: Scope] = [:]
    /// Every overlay address, on any network: what PTR asks for.
    private var addresses: [IPAddress: Few<EndpointID>] = [:]
    /// The endpoints of this node's sandboxes.
    private var sandboxes: [SandboxID: Few<EndpointID>] = [:]
    private var downNodes: Set<NodeID> = []
    /// Subnets of all networks, ascending. Subnets do not overlap.
    private var subnets: [AnyIPPrefix] = []

    /// One network's names. It exists as soon as the network or one of its endpoints is known.
    private struct Scope: Equatable, Sendable {
        var network: Network?
        /// The network's name, nil when DNS cannot express it.
        var name: DNSName?
        var holders: [DNSName: Few<EndpointID>] = [:]
        var endpointCount = 0
    }

    package init(node: NodeID) { self.node = node }

    package init(node: NodeID, networks: [Network], endpoints: [Endpoint], peers: [Peer]) {
        self.node = node
        self.endpoints.reserveCapacity(endpoints.count)
        addresses.reserveCapacity(endpoints.count)
        insert(networks)
        for peer in peers { insert(peer) }
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
                node: node, networks: assignments.networks, endpoints: assignments.endpoints, peers: assignments.peers)
            return
        }
        for id in assignments.removedEndpoints { removeEndpoint(id) }
        for id in assignments.removedNetworks { removeNetwork(id) }
        for id in assignments.removedPeers { removePeer(id) }
        insert(assignments.networks)
        for peer in assignments.peers { insert(peer) }
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
        if scopes[id]?.endpointCount == 0 { scopes[id] = nil }
        indexSubnets()
    }

    /// Adds an endpoint, or replaces the one with the same identifier.
    package mutating func insert(_ endpoint: Endpoint) {
        guard endpoints[endpoint.id] != endpoint else { return }
        removeEndpoint(endpoint.id)
        endpoints[endpoint.id] = endpoint
        for address in endpoint.addresses { addresses[address, default: Few()].insert(endpoint.id) }
        if endpoint.node == node { sandboxes[endpoint.sandbox, default: Few()].insert(endpoint.id) }
        scopes[endpoint.network, default: Scope()].endpointCount += 1
        for name in Self.names(of: endpoint) {
            scopes[endpoint.network]?.holders[name, default: Few()].insert(endpoint.id)
        }
    }

    /// Removes an endpoint. Unknown identifiers are ignored.
    package mutating func removeEndpoint(_ id: EndpointID) {
        guard let endpoint = endpoints.removeValue(forKey: id) else { return }
        for address in endpoint.addresses { Self.remove(id, at: address, from: &addresses) }
        if endpoint.node == node { Self.remove(id, at: endpoint.sandbox, from: &sandboxes) }
        for name in Self.names(of: endpoint) {
            scopes[endpoint.network]?.holders[name]?.remove(id)
            if scopes[endpoint.network]?.holders[name]?.isEmpty == true {
                scopes[endpoint.network]?.holders[name] = nil
            }
        }
        scopes[endpoint.network]?.endpointCount -= 1
        if let scope = scopes[endpoint.network], scope.network == nil, scope.endpointCount == 0 {
            scopes[endpoint.network] = nil
        }
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

    private static func remove<Key: Hashable>(
        _ id: EndpointID, at key: Key, from index: inout [Key: Few<EndpointID>]
    ) {
        index[key]?.remove(id)
        if index[key]?.isEmpty == true { index[key] = nil }
    }

    /// The endpoint's names as DNS knows them, each once. One that DNS cannot express, with a label of more than 63
    /// octets for instance, has no entry.
    private static func names(of endpoint: Endpoint) -> [DNSName] {
        var names: [DNSName] = []
        for text in [endpoint.name] + endpoint.aliases {
            if let name = DNSName(text), !name.isRoot, !names.contains(name) { names.append(name) }
        }
        return names
    }

    private mutating func indexSubnets() {
        subnets = scopes.values.compactMap(\.network)
            .flatMap { network in network.subnets.compactMap { network.subnet($0.family) } }.sorted()
    }
}

// MARK: Lookups

extension NameTable {
    /// What a sandbox sees: its networks, ascending by identifier.
    package struct View: Sendable {
        package let networks: [NetworkID]
        /// Every network the sandbox is on lets nothing out.
        package let isInternal: Bool
    }

    /// What an address may be to somebody who asks for its name.
    package enum AddressOwner: Hashable, Sendable {
        /// An endpoint that the asker may see: `name.network`.
        case visible(DNSName)
        /// An overlay address that is free, or none of the asker's business.
        case hidden
        /// No overlay address.
        case outside
    }

    /// What the sandbox with this address sees; nil when no sandbox of this node has it.
    ///
    /// Overlay addresses are unique across networks and the data plane lets no endpoint use another's, so that the
    /// source address of a query tells who asks. The resolver's own address is one of IPv4, and so is the asker's.
    package func view(from address: IPv4Address) -> View? {
        guard let sandbox = sandbox(at: address) else { return nil }
        var found: [EndpointID] = []
        sandboxes[sandbox]?.forEach { found.append($0) }
        return view(of: found)
    }

    /// What the holder of these endpoints sees; nil when none of them is one of this node's.
    package func view(of ids: [EndpointID]) -> View? {
        var networks: [NetworkID] = []
        for id in ids {
            guard let endpoint = endpoints[id], endpoint.node == node, !networks.contains(endpoint.network) else { continue }
            networks.append(endpoint.network)
        }
        guard !networks.isEmpty else { return nil }
        networks.sort()
        return View(
            networks: networks, isInternal: networks.allSatisfy { scopes[$0]?.network?.spec.isInternal == true })
    }

    /// The sandbox of this node that has the address.
    package func sandbox(at address: IPv4Address) -> SandboxID? {
        var sandbox: SandboxID?
        addresses[.v4(address)]?.forEach { id in
            // During a replacement two endpoints hold the address for a moment; the greater identifier is as good.
            if let endpoint = endpoints[id], endpoint.node == node {
                sandbox = max(sandbox ?? endpoint.sandbox, endpoint.sandbox)
            }
        }
        return sandbox
    }

    /// The address of the first of these endpoints that is one of this node's.
    package func address(ofFirst ids: [EndpointID]) -> IPv4Address? {
        for id in ids { if let endpoint = endpoints[id], endpoint.node == node { return endpoint.ipv4 } }
        return nil
    }

    /// The address is one of this node's, and nobody has told yet what its endpoint is called.
    package func isNameless(at address: IPv4Address) -> Bool {
        var isNameless = false
        addresses[.v4(address)]?.forEach { id in
            if let endpoint = endpoints[id], endpoint.node == node { isNameless = endpoint.name.isEmpty }
        }
        return isNameless
    }

    /// The addresses behind a name on the networks of a view, ascending, each once: `name` itself, and `name.network`
    /// with the dot at every place. Nil when nobody holds the name; empty when all holders are on peers that are down.
    package func addresses(of name: DNSName, in view: View) -> [IPAddress]? {
        var found: [IPAddress] = []
        var isKnown = false
        func collect(_ name: DNSName, _ scope: Scope) {
            guard let holders = scope.holders[name] else { return }
            isKnown = true
            holders.forEach { id in
                if let endpoint = endpoints[id], isUp(endpoint) { found += endpoint.addresses }
            }
        }
        let splits = name.splits
        for network in view.networks {
            guard let scope = scopes[network] else { continue }
            collect(name, scope)
            for (first, rest) in splits where rest == scope.name { collect(first, scope) }
        }
        guard isKnown else { return nil }
        guard found.count > 1 else { return found }
        found.sort()
        return found.indices.filter { $0 == 0 || found[$0] != found[$0 - 1] }.map { found[$0] }
    }

    /// Whose address it is, to one who sees `view`.
    package func owner(of address: IPAddress, in view: View) -> AddressOwner {
        var owner: DNSName?
        addresses[address]?.forEach { id in
            guard let endpoint = endpoints[id], isUp(endpoint), view.networks.contains(endpoint.network),
                let name = DNSName(endpoint.name)
            else { return }
            let full = scopes[endpoint.network]?.name.flatMap { name.appending($0) } ?? name
            owner = max(owner ?? full, full, by: { $0.description < $1.description })
        }
        if let owner { return .visible(owner) }
        return addresses[address] != nil || isInSubnet(address) ? .hidden : .outside
    }

    private func isUp(_ endpoint: Endpoint) -> Bool {
        downNodes.isEmpty || endpoint.node == node || !downNodes.contains(endpoint.node)
    }

    /// The address is of one of the swarm's networks. Binary search for the last subnet that starts at or before the address.
    package func isInSubnet(_ address: IPAddress) -> Bool {
        var low = 0
        var high = subnets.count
        while low < high {
            let middle = (low + high) / 2
            if subnets[middle].network <= address { low = middle + 1 } else { high = middle }
        }
        return low > 0 && subnets[low - 1].contains(address)
    }
}

private func max<Value>(_ left: Value, _ right: Value, by isBefore: (Value, Value) -> Bool) -> Value {
    isBefore(left, right) ? right : left
}
