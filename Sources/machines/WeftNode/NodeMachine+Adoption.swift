package import WeftModel
package import WeftNet

/// A finished interface in the kernel, as a start finds it.
package struct FoundEndpoint: Hashable, Sendable {
    package let id: EndpointID
    package let vni: VNI
    package let ipv4: IPv4Address
    package let ipv6: IPv6Address?
    package let mac: MACAddress
    /// Whose it is; nil for an engine's.
    package var sandbox: SandboxID?
    /// What the sandbox is called, and its interface; empty where that is not known.
    package var name = ""
    package var interface = ""

    package init(id: EndpointID, vni: VNI, ipv4: IPv4Address, ipv6: IPv6Address?, mac: MACAddress) {
        self.id = id
        self.vni = vni
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.mac = mac
    }
}

/// What a node does that has lost its memory while its sandboxes ran on: nothing, until a manager has said what it knows of them.
/// Then what is in the kernel is this node's, with the names that the manager knows; what only the manager knows is gone.
extension NodeMachine {
    /// While it is so the kernel must be left as it is.
    package var isAdopting: Bool { !found.isEmpty }

    var knowsNothing: Bool { view.revision == .none && own.keys.isEmpty }

    mutating func noteFound(_ endpoints: [FoundEndpoint]) {
        guard knowsNothing else { return }
        for endpoint in endpoints { found[endpoint.id] = endpoint }
    }

    /// Takes over what was found, and tells the manager of it, and of what is not there any more.
    mutating func adopt(now: Instant) {
        let networks = Dictionary(view.networks.values.map { ($0.vni, $0.id) }) { first, _ in first }
        for interface in found.values.sorted(by: { $0.id < $1.id }) {
            // The interface of a network that is gone goes with it.
            guard let network = networks[interface.vni] else { continue }
            let endpoint = endpoint(interface, on: network)
            setOwn(endpoint.id, endpoint)
            if interface.sandbox == nil, endpoint.sandbox != .hostIngress { engine[endpoint.id] = now }
            effects.added.append(endpoint)
        }
        found = [:]
        effects.removed += view.endpoints.values.filter { $0.node == id && own[$0.id] == nil }.map(\.id).sorted()
    }

    private func endpoint(_ interface: FoundEndpoint, on network: NetworkID) -> Endpoint {
        let known = view.endpoints[interface.id].flatMap { $0.node == id && $0.network == network ? $0 : nil }
        return Endpoint(
            id: interface.id, network: network, node: id,
            sandbox: interface.sandbox ?? known?.sandbox ?? SandboxID(interface.id.rawValue), ipv4: interface.ipv4,
            ipv6: interface.ipv6, mac: interface.mac, name: known?.name ?? interface.name, aliases: known?.aliases ?? [],
            task: known?.task)
    }
}
