package import WeftModel
package import WeftNet

/// Derives what the kernel should hold.
///
/// Networks without an endpoint here get no entries but their subnets, which keeps their addresses from leaving by the host's routes.
/// A peer that is down keeps its endpoints' entries: it may be the managers that do not see it.
package func compile(_ view: NodeView) -> DesiredState { Compilation(view).desired }

/// What the kernel should hold, kept as single endpoints change: a change costs what it changes. Made from a whole view, it
/// is that view's endpoints set one by one, so that there is one way only.
package struct Compilation: Sendable {
    package private(set) var desired: DesiredState
    /// What may be different since it was last taken.
    private var touched = DatapathKeys()

    package let node: NodeID
    package private(set) var underlayMTU: MTU
    private let networks: [NetworkID: Network]
    private let vteps: [NodeID: IPv4Address]
    /// Of the interfaces by which the peers send, of those that tell.
    private let peerMTUs: [IPv4Address: MTU]
    private var attachments: [EndpointID: SandboxAttachment] = [:]
    private var namespaces: [String: Set<EndpointID>] = [:]
    private var remotes: [EndpointID: Remote] = [:]
    private var presence: [NetworkID: Presence] = [:]
    /// Whose an address may be. Two may claim one for a moment.
    private var claims: [OverlayAddress: Few<EndpointID>] = [:]
    private var senders: [Membership: Int] = [:]

    /// An endpoint behind another node's VTEP.
    private struct Remote: Hashable, Sendable {
        let network: NetworkID
        let member: Membership
        let mac: MACAddress
        let addresses: [OverlayAddress]
    }

    /// A network's endpoints.
    private struct Presence: Sendable {
        /// How many are here.
        var locals = 0
        var remotes: Set<EndpointID> = []
    }

    package init(_ view: NodeView) {
        node = view.node
        underlayMTU = view.underlayMTU
        desired = DesiredState(host: view.host)
        networks = Dictionary(view.networks.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        vteps = Dictionary(
            view.peers.compactMap { peer in peer.dataPathAddress.map { (peer.id, $0) } },
            uniquingKeysWith: { first, _ in first })
        peerMTUs = Dictionary(
            view.peers.compactMap { peer in peer.dataPathAddress.flatMap { vtep in peer.underlayMTU.map { (vtep, $0) } } },
            uniquingKeysWith: min)
        desired.host.vteps = Set(vteps.values).union([view.host.dataPathAddress])
        for network in view.networks.sorted(by: { $0.id > $1.id }) {
            desired.subnets[.v4(network.subnet)] = network.vni
            if let subnet = network.subnet6 { desired.subnets[.v6(subnet)] = network.vni }
        }
        for attachment in view.attachments { set(attachment.endpoint.id, attachment: attachment, endpoint: nil) }
        for endpoint in view.endpoints where attachments[endpoint.id] == nil {
            set(endpoint.id, attachment: nil, endpoint: endpoint)
        }
        touched = DatapathKeys()
    }

    /// What may be different since the last call. Not what a new value holds: all of that is.
    package mutating func takeTouched() -> DatapathKeys {
        defer { touched = DatapathKeys() }
        return touched
    }

    /// Sets one endpoint as it is now: of this node with an attachment, of another without; gone with neither.
    package mutating func set(_ id: EndpointID, attachment: SandboxAttachment?, endpoint: Endpoint?) {
        let attachment = attachment.flatMap { networks[$0.endpoint.network] == nil ? nil : $0 }
        let remote = attachment == nil ? endpoint.flatMap { self.remote($0) } : nil
        guard attachments[id] != attachment || remotes[id] != remote else { return }
        // First of all: a network is not to be left and entered again for a change of its only endpoint here.
        if let network = attachment?.endpoint.network { enter(network) }
        remove(id)
        if let attachment { insert(attachment) }
        if let remote { insert(id, remote) }
    }

    /// Sets what the endpoints' and the tunnels' MTU depends on, and the port of the tunnels.
    package mutating func setUnderlay(mtu: MTU, port: UInt16) {
        desired.host.dataPathPort = port
        guard mtu != underlayMTU else { return }
        underlayMTU = mtu
        for (id, endpoint) in desired.endpoints {
            if let attachment = attachments[id] { derive(attachment, endpoint.routes) }
        }
        for remote in remotes.values where isLocal(remote.network) { remote.addresses.forEach { locate($0) } }
    }

    private func remote(_ endpoint: Endpoint) -> Remote? {
        guard endpoint.node != node, let network = networks[endpoint.network], let vtep = vteps[endpoint.node],
            vtep != desired.host.dataPathAddress
        else { return nil }
        return Remote(
            network: network.id, member: Membership(vni: network.vni, vtep: vtep), mac: endpoint.mac,
            addresses: addresses(of: endpoint, on: network))
    }

    private mutating func remove(_ id: EndpointID) {
        if let old = attachments.removeValue(forKey: id), let network = networks[old.endpoint.network] {
            desired.endpoints[id] = nil
            touched.endpoints.insert(id)
            for address in addresses(of: old.endpoint, on: network) { withdraw(id, from: address) }
            namespaces[old.namespacePath]?.remove(id)
            if namespaces[old.namespacePath]?.isEmpty == true { namespaces[old.namespacePath] = nil }
            deriveEndpoints(in: old.namespacePath)
            leave(network.id)
        }
        if let old = remotes.removeValue(forKey: id) {
            presence[old.network]?.remotes.remove(id)
            if isLocal(old.network) { conceal(id, old) }
            forgetIfEmpty(old.network)
        }
    }

    private mutating func insert(_ attachment: SandboxAttachment) {
        let endpoint = attachment.endpoint
        guard let network = networks[endpoint.network] else { return }
        attachments[endpoint.id] = attachment
        if attachment.namespacePath.isEmpty {
            // Routes inside an engine's containers are the engine's.
            derive(attachment, SandboxRoutes(isDefault: false, toResolver: false))
        } else {
            namespaces[attachment.namespacePath, default: []].insert(endpoint.id)
            deriveEndpoints(in: attachment.namespacePath)
        }
        for address in addresses(of: endpoint, on: network) { claim(address, for: endpoint.id) }
    }

    private mutating func insert(_ id: EndpointID, _ remote: Remote) {
        remotes[id] = remote
        presence[remote.network, default: Presence()].remotes.insert(id)
        if isLocal(remote.network) { reveal(id, remote) }
    }
}

// MARK: Endpoints here

extension Compilation {
    /// The first of a namespace leads to the resolver, the first that may to the outside.
    private mutating func deriveEndpoints(in namespace: String) {
        var isFirst = true
        var hasDefault = false
        let members = (namespaces[namespace] ?? []).compactMap { attachments[$0] }
        for attachment in members.sorted(by: { $0.place < $1.place }) {
            let isDefault =
                !hasDefault && attachment.takesDefaultRoute
                && networks[attachment.endpoint.network]?.spec.isInternal == false
            derive(attachment, SandboxRoutes(isDefault: isDefault, toResolver: isFirst))
            isFirst = false
            hasDefault = hasDefault || isDefault
        }
    }

    private mutating func derive(_ attachment: SandboxAttachment, _ routes: SandboxRoutes) {
        let endpoint = attachment.endpoint
        guard let network = networks[endpoint.network] else { return }
        let entry = EndpointEntry(
            vni: network.vni, address: endpoint.ipv4, mac: endpoint.mac, subnet: network.subnet,
            gateway: network.gateway, isInternal: network.spec.isInternal,
            // An engine gives its containers a bridge of its own for the way out.
            isNoExit: attachment.namespacePath.isEmpty, ipv6: EndpointIPv6(endpoint, on: network))
        desired.endpoints[endpoint.id] = DesiredEndpoint(
            id: endpoint.id, entry: entry, mtu: mtu(of: network, underlay: underlayMTU), placement: attachment.placement,
            interfaceName: attachment.namespacePath.isEmpty
                ? engineInterfaceName(endpoint.id) : attachment.interfaceName ?? "eth\(attachment.interfaceNumber)",
            routes: routes)
        touched.endpoints.insert(endpoint.id)
    }
}

// MARK: Who is where

extension Compilation {
    private func isLocal(_ network: NetworkID) -> Bool { presence[network].map { $0.locals > 0 } ?? false }

    private mutating func enter(_ network: NetworkID) {
        presence[network, default: Presence()].locals += 1
        guard presence[network]?.locals == 1 else { return }
        for id in presence[network]?.remotes ?? [] { if let remote = remotes[id] { reveal(id, remote) } }
    }

    private mutating func leave(_ network: NetworkID) {
        presence[network]?.locals -= 1
        guard !isLocal(network) else { return }
        for id in presence[network]?.remotes ?? [] { if let remote = remotes[id] { conceal(id, remote) } }
        forgetIfEmpty(network)
    }

    private mutating func forgetIfEmpty(_ network: NetworkID) {
        if let present = presence[network], present.locals == 0, present.remotes.isEmpty { presence[network] = nil }
    }

    private mutating func reveal(_ id: EndpointID, _ remote: Remote) {
        for address in remote.addresses { claim(address, for: id) }
        senders[remote.member, default: 0] += 1
        guard desired.members.insert(remote.member).inserted else { return }
        touched.members.insert(remote.member)
    }

    private mutating func conceal(_ id: EndpointID, _ remote: Remote) {
        for address in remote.addresses { withdraw(id, from: address) }
        senders[remote.member, default: 0] -= 1
        guard senders[remote.member] == 0 else { return }
        senders[remote.member] = nil
        desired.members.remove(remote.member)
        touched.members.insert(remote.member)
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

    /// An address that two endpoints claim is a local one's, else that of the lowest id, on every node the same.
    private mutating func locate(_ address: OverlayAddress) {
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
            desired.locations[address] = .local(endpoint.id, mac: endpoint.mac)
        } else if let remote = other.flatMap({ remotes[$0] }) {
            desired.locations[address] = .remote(
                vtep: remote.member.vtep, mac: remote.mac, mtu: pathMTU(to: remote.member.vtep))
        } else {
            desired.locations[address] = nil
        }
        touched.addresses.insert(address)
    }
}

extension Compilation {
    /// The largest IP packet for a tunnel: what both ends' interfaces carry.
    private func pathMTU(to vtep: IPv4Address) -> MTU {
        min(underlayMTU, peerMTUs[vtep] ?? underlayMTU).insideVXLAN
    }
}

/// Parts of the desired state that may differ from what they were.
package struct DatapathKeys: Hashable, Sendable {
    package internal(set) var endpoints: Set<EndpointID> = []
    package internal(set) var addresses: Set<OverlayAddress> = []
    package internal(set) var members: Set<Membership> = []

    package init() {}
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

    /// Where it stands among the attachments of all sandboxes.
    fileprivate var place: (String, Int, EndpointID) { (namespacePath, interfaceNumber, endpoint.id) }
}

/// What fits into the tunnel, or less if the network's options ask for less. As in Docker the option names the MTU of the
/// hosts' network, outside the tunnel.
private func mtu(of network: Network, underlay: MTU) -> MTU {
    let asked = network.spec.options["com.docker.network.driver.mtu"].flatMap { Int($0) }.flatMap { MTU($0) }
    return min(asked ?? underlay, underlay).insideVXLAN
}
