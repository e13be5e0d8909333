package import WeftModel
package import WeftNet

/// Derives what the kernel should hold.
///
/// Networks without an endpoint here get no entries but their subnets, which keeps their addresses from leaving by the host's routes.
/// A peer that is down keeps its endpoints' entries: it may be the managers that do not see it.
package func compile(_ view: NodeView) -> DesiredState { Compilation(view).desired }

/// What the kernel should hold, kept as single networks, peers and endpoints change: a change costs what it changes, and the order
/// of the changes does not matter to the result. Made from a whole view, it is what the view holds set one by one, so that there is
/// one way only. An endpoint whose network or peer is not known leads nowhere, and counts as soon as it is.
package struct Compilation: Sendable {
    package internal(set) var desired: DesiredState
    /// What may be different since it was last taken.
    var touched = DatapathKeys()

    package let node: NodeID
    package private(set) var underlayMTU: MTU
    var networks: [NetworkID: Network] = [:]
    var tunnels: [NodeID: Tunnel] = [:]
    /// Nodes with the same VTEP: a host that joined anew and what it was before.
    private var nodes: [IPv4Address: Set<NodeID>] = [:]
    private var encryptedNetworks: Set<NetworkID> = []
    /// Networks with the same subnet: for a moment.
    private var subnetHolders: [AnyIPPrefix: Few<NetworkID>] = [:]
    var attachments: [EndpointID: SandboxAttachment] = [:]
    var namespaces: [String: Set<EndpointID>] = [:]
    var remotes: [EndpointID: Remote] = [:]
    /// The remotes, by their nodes.
    private var behind: [NodeID: Set<EndpointID>] = [:]
    var presence: [NetworkID: Presence] = [:]
    var services: [ServiceID: ServiceView] = [:]
    /// Those that have an address on a network.
    var servicesOn: [NetworkID: Set<ServiceID>] = [:]
    /// Addresses of services on networks that have an endpoint here. Two may have one for a moment.
    var virtualHolders: [OverlayAddress: Few<ServicePlace>] = [:]
    /// Services that publish a port at every node, while this one has an endpoint on the ingress network. Two may have one for a moment.
    var publishers: [PublishedAt: Few<ServicePlace>] = [:]
    /// Endpoints that are a service's tasks, serving or not.
    var tasksAt: [ServicePlace: Set<EndpointID>] = [:]
    /// Nodes that managers have lost sight of: new connections do not go there.
    var downNodes: Set<NodeID> = []
    /// Whose an address may be. Two may claim one for a moment.
    var claims: [OverlayAddress: Few<EndpointID>] = [:]
    var senders: [Membership: Int] = [:]

    /// The way to another node.
    struct Tunnel: Hashable, Sendable {
        let vtep: IPv4Address
        /// Of the interface by which the node sends, if it tells.
        let mtu: MTU?
    }

    /// An endpoint on another node.
    struct Remote: Hashable, Sendable {
        let network: NetworkID
        let node: NodeID
        let mac: MACAddress
        let ipv4: IPv4Address
        let ipv6: IPv6Address?
        let task: ServingTask?
    }

    /// A network's endpoints.
    struct Presence: Sendable {
        var locals: Set<EndpointID> = []
        var remotes: Set<EndpointID> = []
    }

    package init(_ view: NodeView) {
        node = view.node
        underlayMTU = view.underlayMTU
        desired = DesiredState(host: view.host)
        desired.host.vteps = [view.host.dataPathAddress]
        for network in view.networks { set(network.id, network: network) }
        for peer in view.peers { set(peer.id, peer: peer) }
        for service in view.services { set(service.id, service: service) }
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
}

// MARK: Changes

extension Compilation {
    /// Sets one endpoint as it is now: of this node with an attachment, of another without; gone with neither.
    package mutating func set(_ id: EndpointID, attachment: SandboxAttachment?, endpoint: Endpoint?) {
        let remote = attachment == nil ? endpoint.flatMap { $0.node == node ? nil : Remote($0) } : nil
        guard attachments[id] != attachment || remotes[id] != remote else { return }
        let formerTask = taskEndpoint(id)
        // First of all: a network is not to be left and entered again for a change of its only endpoint here.
        if let network = attachment?.endpoint.network { enter(network, id) }
        if let old = attachments[id] {
            retract(old)
            attachments[id] = nil
            withdrawAddresses(of: old)
            if old.endpoint.network != attachment?.endpoint.network { leave(old.endpoint.network, id) }
        }
        if let old = remotes[id] {
            conceal(id, old)
            remotes[id] = nil
            forget(id, old)
        }
        if let attachment {
            attachments[id] = attachment
            derive(attachment)
        }
        if let remote {
            remotes[id] = remote
            behind[remote.node, default: []].insert(id)
            presence[remote.network, default: Presence()].remotes.insert(id)
            reveal(id, remote)
        }
        followTask(id, was: formerTask)
    }

    /// Sets one network as it is now; nil when it is gone.
    package mutating func set(_ id: NetworkID, network: Network?) {
        guard networks[id] != network else { return }
        unpublishServices(on: id)
        let present = presence[id] ?? Presence()
        for endpoint in present.remotes { if let remote = remotes[endpoint] { conceal(endpoint, remote) } }
        let locals = present.locals.compactMap { attachments[$0] }
        for local in locals {
            retract(local)
            withdrawAddresses(of: local)
        }
        if let old = networks[id] { setSubnets(of: old, isThere: false) }
        networks[id] = network
        if network?.spec.isEncrypted == true { encryptedNetworks.insert(id) } else { encryptedNetworks.remove(id) }
        desired.host.encrypts = !encryptedNetworks.isEmpty
        if let network { setSubnets(of: network, isThere: true) }
        for local in locals { derive(local) }
        for endpoint in present.remotes { if let remote = remotes[endpoint] { reveal(endpoint, remote) } }
        publishServices(on: id)
    }

    /// Sets one node as it is now; nil when it is gone.
    package mutating func set(_ id: NodeID, peer: Peer?) {
        let (wasThere, wasDown) = (tunnels[id] != nil, downNodes.contains(id))
        if peer?.state == .down { downNodes.insert(id) } else { downNodes.remove(id) }
        setTunnel(id, peer)
        if wasThere != (tunnels[id] != nil) || wasDown != downNodes.contains(id) { followTasks(behind[id] ?? []) }
    }

    private mutating func setTunnel(_ id: NodeID, _ peer: Peer?) {
        let tunnel = peer.flatMap { peer in peer.dataPathAddress.map { Tunnel(vtep: $0, mtu: peer.underlayMTU) } }
        let former = tunnels[id]
        guard former != tunnel else { return }
        let isMoved = former?.vtep != tunnel?.vtep
        let vteps = Set([former?.vtep, tunnel?.vtep].compactMap(\.self))
        let mtus = vteps.map { ($0, underlayMTU(to: $0)) }
        let endpoints = isMoved ? behind[id] ?? [] : []
        for endpoint in endpoints { if let remote = remotes[endpoint] { conceal(endpoint, remote) } }
        tunnels[id] = tunnel
        if isMoved {
            if let old = former?.vtep { setNode(id, at: old, isThere: false) }
            if let new = tunnel?.vtep { setNode(id, at: new, isThere: true) }
        }
        for endpoint in endpoints { if let remote = remotes[endpoint] { reveal(endpoint, remote) } }
        for (vtep, mtu) in mtus where underlayMTU(to: vtep) != mtu { locateEndpoints(behind: vtep) }
    }

    /// Sets what the endpoints' and the tunnels' MTU depends on, and the port of the tunnels.
    package mutating func setUnderlay(mtu: MTU, port: UInt16) {
        desired.host.dataPathPort = port
        guard mtu != underlayMTU else { return }
        underlayMTU = mtu
        for (id, endpoint) in desired.endpoints {
            if let attachment = attachments[id] { describe(attachment, endpoint.routes) }
        }
        for remote in remotes.values where isLocal(remote.network) {
            locateAddresses(of: remote)
            measureTunnel(to: remote)
        }
    }

    private mutating func setSubnets(of network: Network, isThere: Bool) {
        for subnet in [.v4(network.subnet), network.subnet6.map { AnyIPPrefix.v6($0) }].compactMap(\.self) {
            if isThere { subnetHolders[subnet, default: Few()].insert(network.id) } else { subnetHolders[subnet]?.remove(network.id) }
            var holder: NetworkID?
            subnetHolders[subnet]?.forEach { holder = min(holder ?? $0, $0) }
            if holder == nil { subnetHolders[subnet] = nil }
            // The one that goes is known still, the one that comes already.
            desired.subnets[subnet] = holder.flatMap { $0 == network.id ? network.vni : networks[$0]?.vni }
            touched.subnets.insert(subnet)
        }
    }

    private mutating func setNode(_ id: NodeID, at vtep: IPv4Address, isThere: Bool) {
        if isThere { nodes[vtep, default: []].insert(id) } else { nodes[vtep]?.remove(id) }
        let isEmpty = nodes[vtep]?.isEmpty ?? true
        if isEmpty { nodes[vtep] = nil }
        guard vtep != desired.host.dataPathAddress else { return }
        if isEmpty { desired.host.vteps.remove(vtep) } else { desired.host.vteps.insert(vtep) }
    }

    /// Of all that is known of an endpoint elsewhere, after what is derived from it is gone.
    private mutating func forget(_ id: EndpointID, _ remote: Remote) {
        behind[remote.node]?.remove(id)
        if behind[remote.node]?.isEmpty == true { behind[remote.node] = nil }
        presence[remote.network]?.remotes.remove(id)
        forgetIfEmpty(remote.network)
    }

    private mutating func locateEndpoints(behind vtep: IPv4Address) {
        for node in nodes[vtep] ?? [] {
            for id in behind[node] ?? [] {
                guard let remote = remotes[id], isLocal(remote.network) else { continue }
                locateAddresses(of: remote)
                measureTunnel(to: remote)
            }
        }
    }

    /// What both ends' interfaces carry.
    private func underlayMTU(to vtep: IPv4Address) -> MTU {
        (nodes[vtep] ?? []).reduce(underlayMTU) { mtu, node in min(mtu, tunnels[node]?.mtu ?? mtu) }
    }

    /// The largest IP packet for a tunnel.
    func pathMTU(to vtep: IPv4Address, by tunnel: TunnelKind) -> MTU { tunnel.largestPacket(over: underlayMTU(to: vtep)) }
}

/// Parts of the desired state that may differ from what they were.
package struct DatapathKeys: Hashable, Sendable {
    package internal(set) var endpoints: Set<EndpointID> = []
    package internal(set) var addresses: Set<OverlayAddress> = []
    package internal(set) var members: Set<Membership> = []
    package internal(set) var subnets: Set<AnyIPPrefix> = []
    package internal(set) var services: Set<OverlayAddress> = []
    package internal(set) var published: Set<PublishedAt> = []

    package init() {}

    package var count: Int {
        endpoints.count + addresses.count + members.count + subnets.count + services.count + published.count
    }
}

extension Compilation.Remote {
    init(_ endpoint: Endpoint) {
        self.init(
            network: endpoint.network, node: endpoint.node, mac: endpoint.mac, ipv4: endpoint.ipv4, ipv6: endpoint.ipv6,
            task: endpoint.task)
    }
}
