internal import WeftModel
internal import WeftNet

/// Derives what the kernel should hold.
///
/// Networks without an endpoint here get no entries but their subnet, which keeps their addresses from leaving by the host's routes.
/// A peer that is down keeps its endpoints' entries: it may be the managers that do not see it.
package func compile(_ view: NodeView) -> DesiredState {
    var state = DesiredState(host: view.host)
    let networks = Dictionary(view.networks.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    for network in view.networks.sorted(by: { $0.id > $1.id }) { state.subnets[network.subnet] = network.vni }

    let attachments = view.attachments.sorted {
        ($0.namespacePath, $0.interfaceNumber, $0.endpoint.id) < ($1.namespacePath, $1.interfaceNumber, $1.endpoint.id)
    }
    var namespacesSeen: Set<String> = []
    var namespacesWithDefault: Set<String> = []
    for attachment in attachments {
        guard let network = networks[attachment.endpoint.network] else { continue }
        // Routes inside an engine's containers are the engine's.
        let namespace = attachment.namespacePath
        let isFirst = !namespace.isEmpty && namespacesSeen.insert(namespace).inserted
        let isDefault =
            !namespace.isEmpty && !network.spec.isInternal && attachment.takesDefaultRoute
            && namespacesWithDefault.insert(namespace).inserted
        let endpoint = attachment.endpoint
        let entry = EndpointEntry(
            vni: network.vni, address: endpoint.ipv4, mac: endpoint.mac, subnet: network.subnet,
            gateway: network.gateway, isInternal: network.spec.isInternal, ipv6: EndpointIPv6(endpoint, on: network))
        state.endpoints[endpoint.id] = DesiredEndpoint(
            id: endpoint.id, entry: entry, mtu: mtu(of: network, underlay: view.underlayMTU), placement: attachment.placement,
            interfaceName: namespace.isEmpty
                ? engineInterfaceName(endpoint.id) : attachment.interfaceName ?? "eth\(attachment.interfaceNumber)",
            routes: SandboxRoutes(isDefault: isDefault, toResolver: isFirst))
        for address in addresses(of: endpoint, on: network) {
            state.locations[address] = .local(endpoint.id, mac: endpoint.mac)
        }
    }

    let localNetworks = Set(attachments.map(\.endpoint.network))
    let vteps = Dictionary(
        view.peers.compactMap { peer in peer.dataPathAddress.map { (peer.id, $0) } },
        uniquingKeysWith: { first, _ in first })
    // An address that two endpoints claim is a local one's, else that of the lowest id, on every node the same.
    for endpoint in view.endpoints.sorted(by: { $0.id < $1.id }) {
        guard endpoint.node != view.node, localNetworks.contains(endpoint.network),
            let network = networks[endpoint.network], let vtep = vteps[endpoint.node],
            vtep != view.host.dataPathAddress
        else { continue }
        for address in addresses(of: endpoint, on: network) where state.locations[address] == nil {
            state.locations[address] = .remote(vtep: vtep, mac: endpoint.mac)
        }
        state.members.insert(Membership(vni: network.vni, vtep: vtep))
    }
    return state
}

private func addresses(of endpoint: Endpoint, on network: Network) -> [OverlayAddress] {
    [OverlayAddress(vni: network.vni, address: endpoint.ipv4)]
        + (EndpointIPv6(endpoint, on: network).map { [OverlayAddress(vni: network.vni, address: $0.address)] } ?? [])
}

extension EndpointIPv6 {
    /// Nil where the network has no IPv6.
    fileprivate init?(_ endpoint: Endpoint, on network: Network) {
        guard let address = endpoint.ipv6, let subnet = network.subnet6, let gateway = network.gateway6 else { return nil }
        self.init(address: address, subnet: subnet, gateway: gateway)
    }
}

extension SandboxAttachment {
    /// Empty for an engine's.
    fileprivate var namespacePath: String {
        if case .namespace(let path) = placement { path } else { "" }
    }
}

/// What fits into the tunnel, or less if the network's options ask for less. As in Docker the option names the MTU of the
/// hosts' network, outside the tunnel.
private func mtu(of network: Network, underlay: MTU) -> MTU {
    let asked = network.spec.options["com.docker.network.driver.mtu"].flatMap { Int($0) }.flatMap { MTU($0) }
    return min(asked ?? underlay, underlay).insideVXLAN
}
