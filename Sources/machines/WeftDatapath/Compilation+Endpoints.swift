import WeftModel
import WeftNet

// MARK: Endpoints here

extension Compilation {
    /// Puts an attachment in place, if its network is known.
    mutating func derive(_ attachment: SandboxAttachment) {
        let endpoint = attachment.endpoint
        guard let network = networks[endpoint.network] else { return }
        if attachment.namespacePath.isEmpty {
            // Routes inside an engine's containers are the engine's, and the host has its own.
            describe(attachment, SandboxRoutes(isDefault: false, toResolver: false))
        } else {
            namespaces[attachment.namespacePath, default: []].insert(endpoint.id)
            deriveEndpoints(in: attachment.namespacePath)
        }
        for address in addresses(endpoint.ipv4, endpoint.ipv6, on: network) { claim(address, for: endpoint.id) }
    }

    /// Takes it out again; its addresses go by `withdrawAddresses`.
    mutating func retract(_ attachment: SandboxAttachment) {
        let id = attachment.endpoint.id
        guard networks[attachment.endpoint.network] != nil else { return }
        desired.endpoints[id] = nil
        touched.endpoints.insert(id)
        guard !attachment.namespacePath.isEmpty else { return }
        namespaces[attachment.namespacePath]?.remove(id)
        if namespaces[attachment.namespacePath]?.isEmpty == true { namespaces[attachment.namespacePath] = nil }
        deriveEndpoints(in: attachment.namespacePath)
    }

    mutating func withdrawAddresses(of attachment: SandboxAttachment) {
        let endpoint = attachment.endpoint
        guard let network = networks[endpoint.network] else { return }
        for address in addresses(endpoint.ipv4, endpoint.ipv6, on: network) { withdraw(endpoint.id, from: address) }
    }

    /// The first of a namespace leads to the resolver, the first that may to the outside.
    private mutating func deriveEndpoints(in namespace: String) {
        var isFirst = true
        var hasDefault = false
        let members = (namespaces[namespace] ?? []).compactMap { attachments[$0] }
        for attachment in members.sorted(by: { $0.place < $1.place }) {
            let isDefault =
                !hasDefault && attachment.takesDefaultRoute
                && networks[attachment.endpoint.network]?.spec.isInternal == false
            describe(attachment, SandboxRoutes(isDefault: isDefault, toResolver: isFirst))
            isFirst = false
            hasDefault = hasDefault || isDefault
        }
    }

    mutating func describe(_ attachment: SandboxAttachment, _ routes: SandboxRoutes) {
        let endpoint = attachment.endpoint
        guard let network = networks[endpoint.network] else { return }
        let entry = EndpointEntry(
            vni: network.vni, address: endpoint.ipv4, mac: endpoint.mac, subnet: network.subnet,
            gateway: network.gateway, isInternal: network.spec.isInternal,
            // An engine gives its containers a bridge of its own for the way out.
            isNoExit: attachment.namespacePath.isEmpty, isBackend: endpoint.task != nil, isIngress: network.spec.ingress,
            ipv6: EndpointIPv6(endpoint, on: network))
        var routes = routes
        routes.udpPorts = udpPorts(of: endpoint, on: network)
        desired.endpoints[endpoint.id] = DesiredEndpoint(
            id: endpoint.id, entry: entry, mtu: mtu(of: network, underlay: underlayMTU), placement: attachment.placement,
            interfaceName: attachment.interfaceNameInside,
            routes: routes)
        touched.endpoints.insert(endpoint.id)
    }
}

// MARK: Who is where

extension Compilation {
    func isLocal(_ network: NetworkID) -> Bool { presence[network].map { !$0.locals.isEmpty } ?? false }

    mutating func enter(_ network: NetworkID, _ id: EndpointID) {
        guard presence[network, default: Presence()].locals.insert(id).inserted, presence[network]?.locals.count == 1 else {
            return
        }
        for id in presence[network]?.remotes ?? [] { if let remote = remotes[id] { reveal(id, remote) } }
        publishServices(on: network)
    }

    mutating func leave(_ network: NetworkID, _ id: EndpointID) {
        if presence[network]?.locals == [id] {
            unpublishServices(on: network)
            for id in presence[network]?.remotes ?? [] { if let remote = remotes[id] { conceal(id, remote) } }
        }
        presence[network]?.locals.remove(id)
        forgetIfEmpty(network)
    }

    mutating func forgetIfEmpty(_ network: NetworkID) {
        if let present = presence[network], present.locals.isEmpty, present.remotes.isEmpty { presence[network] = nil }
    }

    /// How what is for a member of the network goes, and is to come.
    private func way(to member: Membership, of network: Network) -> MemberTunnel {
        let kind = TunnelKind(of: network)
        return MemberTunnel(mtu: pathMTU(to: member.vtep, by: kind), kind: kind)
    }

    /// The right to send that an endpoint gives its node; nil while its network or its node is not known.
    private func member(_ remote: Remote) -> Membership? {
        guard let network = networks[remote.network], let vtep = tunnels[remote.node]?.vtep,
            vtep != desired.host.dataPathAddress
        else { return nil }
        return Membership(vni: network.vni, vtep: vtep)
    }

    /// Lets this host's endpoints reach one elsewhere, if any of them is on its network.
    mutating func reveal(_ id: EndpointID, _ remote: Remote) {
        guard isLocal(remote.network), let member = member(remote), let network = networks[remote.network] else { return }
        for address in addresses(remote.ipv4, remote.ipv6, on: network) { claim(address, for: id) }
        senders[member, default: 0] += 1
        guard desired.members[member] == nil else { return }
        desired.members[member] = way(to: member, of: network)
        touched.members.insert(member)
    }

    /// What the tunnel to the node carries may have changed.
    mutating func measureTunnel(to remote: Remote) {
        guard let member = member(remote), let network = networks[remote.network], let former = desired.members[member] else { return }
        let tunnel = way(to: member, of: network)
        guard tunnel != former else { return }
        desired.members[member] = tunnel
        touched.members.insert(member)
    }

    /// Takes back what `reveal` did. Network, node and presence must be as they were then.
    mutating func conceal(_ id: EndpointID, _ remote: Remote) {
        guard isLocal(remote.network), let member = member(remote), let network = networks[remote.network] else { return }
        for address in addresses(remote.ipv4, remote.ipv6, on: network) { withdraw(id, from: address) }
        senders[member, default: 0] -= 1
        guard senders[member] == 0 else { return }
        senders[member] = nil
        desired.members[member] = nil
        touched.members.insert(member)
    }

    private mutating func claim(_ address: OverlayAddress, for id: EndpointID) {
        claims[address, default: Few()].insert(id)
        locate(address)
    }

    private mutating func withdraw(_ id: EndpointID, from address: OverlayAddress) {
        claims[address]?.remove(id)
        if claims[address]?.isEmpty == true { claims[address] = nil }
        locate(address)
    }

    mutating func locateAddresses(of remote: Remote) {
        guard let network = networks[remote.network] else { return }
        for address in addresses(remote.ipv4, remote.ipv6, on: network) { locate(address) }
    }

    /// An address that two endpoints claim is a local one's, else that of the lowest id, on every node the same. A service's is
    /// nobody's.
    mutating func locate(_ address: OverlayAddress) {
        var local: SandboxAttachment?
        var other: EndpointID?
        claims[address]?.forEach { id in
            if let attachment = attachments[id] {
                local = local.map { $0.place < attachment.place ? attachment : $0 } ?? attachment
            } else {
                other = min(other ?? id, id)
            }
        }
        if let endpoint = local?.endpoint {
            desired.locations[address] = .local(
                endpoint.id, mac: endpoint.mac, isBackend: endpoint.task != nil, isHost: local?.placement == .host)
        } else if let remote = other.flatMap({ remotes[$0] }), let vtep = tunnels[remote.node]?.vtep, let network = networks[remote.network]
        {
            let kind = TunnelKind(of: network)
            desired.locations[address] = .remote(
                vtep: vtep, mac: remote.mac, mtu: pathMTU(to: vtep, by: kind), tunnel: kind, isBackend: remote.task != nil)
        } else {
            desired.locations[address] = isVirtual(address) ? .service : nil
        }
        touched.addresses.insert(address)
    }
}

private func addresses(_ ipv4: IPv4Address, _ ipv6: IPv6Address?, on network: Network) -> [OverlayAddress] {
    let first = OverlayAddress(vni: network.vni, address: ipv4)
    guard let ipv6, network.hasIPv6 else { return [first] }
    return [first, OverlayAddress(vni: network.vni, address: ipv6)]
}

extension Network {
    fileprivate var hasIPv6: Bool { subnet6 != nil && gateway6 != nil }
}

extension EndpointIPv6 {
    /// Nil where the network has no IPv6.
    fileprivate init?(_ endpoint: Endpoint, on network: Network) {
        guard let address = endpoint.ipv6, let subnet = network.subnet6, let gateway = network.gateway6 else { return nil }
        self.init(address: address, subnet: subnet, gateway: gateway)
    }
}

extension SandboxAttachment {
    fileprivate var interfaceNameInside: String {
        switch placement {
        case .namespace: interfaceName ?? "eth\(interfaceNumber)"
        case .engine: engineInterfaceName(endpoint.id)
        case .host: hostIngressInterface
        }
    }

    /// Empty for an engine's, and for the host's own.
    fileprivate var namespacePath: String {
        if case .namespace(let path) = placement { path } else { "" }
    }

    /// Where it stands among the attachments of all sandboxes.
    fileprivate var place: (String, Int, EndpointID) { (namespacePath, interfaceNumber, endpoint.id) }
}

/// What fits into the tunnel, or less if the network's options ask for less. As in Docker the option names the MTU of the
/// hosts' network, outside the tunnel.
private func mtu(of network: Network, underlay: MTU) -> MTU {
    let asked = network.spec.options["com.docker.network.driver.mtu"].flatMap { Int($0) }.flatMap { MTU($0) }
    return TunnelKind(of: network).largestPacket(over: min(asked ?? underlay, underlay))
}
