package import WeftModel
package import WeftNet
package import WeftWire

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
    /// with the dot at every place. Nil when nobody holds the name; empty when all holders are on peers that are down, and
    /// for a service by its backends when none of them serves.
    ///
    /// The ingress network, on which all published services see each other, answers only for what no other network knows: a name
    /// means a service on the network that was made for it.
    package func addresses(of name: DNSName, in view: View) -> [IPAddress]? {
        var found: [IPAddress] = []
        var isKnown = false
        let splits = name.splits
        func collect(_ networks: [NetworkID], isIngress: Bool) {
            for network in networks {
                guard let scope = scopes[network], (scope.network?.spec.ingress == true) == isIngress else { continue }
                isKnown = collectHolders(of: name, on: network, into: &found) || isKnown
                for (first, rest) in splits where rest == scope.name {
                    isKnown = collectHolders(of: first, on: network, into: &found) || isKnown
                }
            }
        }
        collect(view.networks, isIngress: false)
        if !isKnown { collect(view.networks, isIngress: true) }
        guard isKnown else { return nil }
        guard found.count > 1 else { return found }
        found.sort()
        return found.indices.filter { $0 == 0 || found[$0] != found[$0 - 1] }.map { found[$0] }
    }

    /// False when nobody on the network holds the name.
    private func collectHolders(of name: DNSName, on network: NetworkID, into found: inout [IPAddress]) -> Bool {
        let (holders, services) = (scopes[network]?.holders[name], scopes[network]?.services[name])
        holders?.forEach { id in
            if let endpoint = endpoints[id], isUp(endpoint) { found += endpoint.addresses }
        }
        services?.forEach { found += addresses(of: $0, on: network) }
        return holders != nil || services != nil
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
        if let name = owner ?? serviceName(of: address, in: view) { return .visible(name) }
        return addresses[address] != nil || isInSubnet(address) ? .hidden : .outside
    }

    func isUp(_ endpoint: Endpoint) -> Bool {
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
