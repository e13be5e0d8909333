package import WeftModel
package import WeftNet

/// What the kernel of this host should hold.
package struct DesiredState: Hashable, Sendable {
    package var host: HostConfiguration
    package var endpoints: [EndpointID: DesiredEndpoint] = [:]
    /// Where the addresses of the networks that have an endpoint here live.
    package var locations: [OverlayAddress: Location] = [:]
    /// Who may send for these networks, and the way to them.
    package var members: [Membership: MemberTunnel] = [:]
    /// The subnets of all networks of the swarm.
    package var subnets: [AnyIPPrefix: VNI] = [:]
    /// By their addresses of IPv4.
    package var services: [OverlayAddress: VirtualService] = [:]
    /// Ports of the host that are published for services.
    package var published: [PublishedAt: PublishedService] = [:]

    package init(host: HostConfiguration) { self.host = host }
}

/// An address inside a network.
package struct OverlayAddress: Hashable, Sendable, Comparable {
    package let vni: VNI
    package let address: IPAddress

    package init(vni: VNI, address: IPAddress) {
        self.vni = vni
        self.address = address
    }

    package init(vni: VNI, address: IPv4Address) { self.init(vni: vni, address: IPAddress.v4(address)) }
    package init(vni: VNI, address: IPv6Address) { self.init(vni: vni, address: IPAddress.v6(address)) }

    package static func < (left: Self, right: Self) -> Bool { (left.vni, left.address) < (right.vni, right.address) }
}

/// Where an endpoint is, and whether it is a task of a service.
package enum Location: Hashable, Sendable {
    /// `isHost`: it is the node's own, on the ingress network.
    case local(EndpointID, mac: MACAddress, isBackend: Bool = false, isHost: Bool = false)
    /// Behind another node's VTEP, by a tunnel that carries IP packets of this size; nil, observed only: of any.
    case remote(vtep: IPv4Address, mac: MACAddress, mtu: MTU?, tunnel: TunnelKind = .clear, isBackend: Bool = false)
    /// Nowhere: it is a service's own address.
    case service
    /// Observed only: behind an interface that is no endpoint's.
    case stale
}

/// A node's right to send for a network.
package struct Membership: Hashable, Sendable, Comparable {
    package let vni: VNI
    package let vtep: IPv4Address

    package init(vni: VNI, vtep: IPv4Address) {
        self.vni = vni
        self.vtep = vtep
    }

    package static func < (left: Self, right: Self) -> Bool { (left.vni, left.vtep) < (right.vni, right.vtep) }
}

/// The way to a member of a network.
package struct MemberTunnel: Hashable, Sendable {
    /// The largest IP packet that it carries; nil, observed only: any.
    package var mtu: MTU?
    /// What comes from it by another kind is dropped.
    package var kind: TunnelKind

    package init(mtu: MTU?, kind: TunnelKind = .clear) {
        self.mtu = mtu
        self.kind = kind
    }
}

/// How a network's packets go between nodes.
package enum TunnelKind: Hashable, Sendable {
    /// VXLAN.
    case clear
    /// VXLAN in ESP in UDP.
    case encrypted

    package init(of network: Network) { self = network.spec.isEncrypted ? .encrypted : .clear }

    /// The largest IP packet that fits, over an underlay with this MTU.
    package func largestPacket(over underlay: MTU) -> MTU {
        switch self {
        case .clear: underlay.insideVXLAN
        case .encrypted: underlay.insideESP
        }
    }
}

/// What the programs know of a local endpoint.
package struct EndpointEntry: Hashable, Sendable {
    package var vni: VNI
    package var address: IPv4Address
    package var mac: MACAddress
    package var subnet: IPv4Prefix
    package var gateway: IPv4Address
    /// Its network has no way out.
    package var isInternal: Bool
    /// Its container goes out by another interface: by this one it reaches the network and the resolver.
    package var isNoExit: Bool
    /// It is a task of a service.
    package var isBackend: Bool
    /// It is on the ingress network.
    package var isIngress: Bool
    /// Nil where its network has none.
    package var ipv6: EndpointIPv6?

    package init(
        vni: VNI, address: IPv4Address, mac: MACAddress, subnet: IPv4Prefix, gateway: IPv4Address, isInternal: Bool,
        isNoExit: Bool = false, isBackend: Bool = false, isIngress: Bool = false, ipv6: EndpointIPv6? = nil
    ) {
        self.vni = vni
        self.address = address
        self.mac = mac
        self.subnet = subnet
        self.gateway = gateway
        self.isInternal = isInternal
        self.isNoExit = isNoExit
        self.isBackend = isBackend
        self.isIngress = isIngress
        self.ipv6 = ipv6
    }

    /// Of both families.
    package var addresses: [IPAddress] { [.v4(address)] + (ipv6.map { [.v6($0.address)] } ?? []) }
}

/// What an endpoint has beside its IPv4 address on a network with both.
package struct EndpointIPv6: Hashable, Sendable {
    package var address: IPv6Address
    package var subnet: IPv6Prefix
    /// It answers ping; there is no way out by it.
    package var gateway: IPv6Address

    package init(address: IPv6Address, subnet: IPv6Prefix, gateway: IPv6Address) {
        self.address = address
        self.subnet = subnet
        self.gateway = gateway
    }
}

/// Where the far end of an endpoint's veth pair belongs.
package enum EndpointPlacement: Hashable, Sendable {
    /// Into the network namespace with this path, and configured there.
    case namespace(path: String)
    /// Left beside the host end, bare: a container engine moves, renames and configures it. Made only on the engine's
    /// word (`isNew`): nobody would take one that is made later.
    case engine(isNew: Bool)
    /// The host's own, on the ingress network: its far end stays in the host's namespace, with a route to the network.
    case host
}

/// The device by which the host's own processes reach the ingress network.
package let hostIngressInterface = "weft_ingress"

/// A veth pair into a sandbox, and what belongs to it.
package struct DesiredEndpoint: Hashable, Sendable, Identifiable {
    package let id: EndpointID
    package var entry: EndpointEntry
    package var mtu: MTU
    package var placement: EndpointPlacement
    /// The far end's name as it is made: `eth0`, …
    package var interfaceName: String
    package var routes: SandboxRoutes

    package init(
        id: EndpointID, entry: EndpointEntry, mtu: MTU, placement: EndpointPlacement, interfaceName: String,
        routes: SandboxRoutes
    ) {
        self.id = id
        self.entry = entry
        self.mtu = mtu
        self.placement = placement
        self.interfaceName = interfaceName
        self.routes = routes
    }

    /// The endpoint as it is observed when nothing is left to do.
    package var whenDone: ObservedEndpoint {
        ObservedEndpoint(
            id: id, routesInside: routes, isUp: true, mtu: mtu.bytes, entry: entry, hasProgram: true,
            hostRoutes: [entry.address], neighbours: [entry.address: entry.mac])
    }

    /// Whether nothing is left to do. In which namespace an engine has put its endpoint, no repair could say.
    func isDone(_ observed: ObservedEndpoint?) -> Bool {
        guard var observed else { return false }
        if case .engine = placement { observed.hasKnownNamespace = true }
        return observed == whenDone
    }
}

/// What a sandbox reaches through an endpoint besides its subnet.
package struct SandboxRoutes: Hashable, Sendable {
    /// Everything outside, by the network's gateway.
    package var isDefault: Bool
    package var toResolver: Bool
    /// A task's on the ingress network: ports from which it answers clients of published ports by UDP, ascending.
    package var udpPorts: [UInt16]

    package init(isDefault: Bool, toResolver: Bool, udpPorts: [UInt16] = []) {
        self.isDefault = isDefault
        self.toResolver = toResolver
        self.udpPorts = udpPorts
    }
}

/// The name under which an engine finds an endpoint's far end: `wc` and eight hex digits of a hash of its id.
package func engineInterfaceName(_ id: EndpointID) -> String { "wc" + hostInterfaceName(id).dropFirst(2) }

/// The host end's name: `wv` and eight hex digits of a hash of the endpoint's id. `attempt` gives further names
/// should two ids meet in one.
package func hostInterfaceName(_ id: EndpointID, attempt: UInt8 = 0) -> String {
    // FNV-1a: the same in every process and on every machine, unlike Swift's own hash.
    var hash: UInt32 = 0x811c_9dc5
    for byte in Array(id.rawValue.utf8) + (attempt == 0 ? [] : [attempt]) { hash = (hash ^ UInt32(byte)) &* 0x0100_0193 }
    let digits = String(hash, radix: 16)
    return "wv" + String(repeating: "0", count: 8 - digits.count) + digits
}
