package import WeftModel
package import WeftNet

/// Parts of the host's setting, in the order in which they are made.
package enum HostPart: Int, Hashable, Sendable, CaseIterable, Comparable {
    /// net.ipv4.ip_forward.
    case forwarding
    /// 169.254.77.53 on lo.
    case resolverAddress
    /// The rule that looks up the endpoints' routes.
    case routingRule
    case firewall
    /// The device of what encrypts, with its program: where the swarm has an encrypted network.
    case tunnelDevice
    /// Own address, port, underlay interface and the tunnel's device in the programs' configuration.
    case configuration
    /// The vxlan device whose socket takes what the programs leave to the stack.
    case vxlanDevice
    case vxlanProgram
    case underlayProgram

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// What the kernel of this host holds.
package struct ObservedState: Hashable, Sendable {
    /// What `parts` was compared with.
    package var host: HostConfiguration
    /// The parts that are in place.
    package var parts: Set<HostPart> = []
    /// By the name of the host end.
    package var endpoints: [String: ObservedEndpoint] = [:]
    package var locations: [OverlayAddress: Location] = [:]
    package var members: [Membership: MemberTunnel] = [:]
    package var subnets: [AnyIPPrefix: VNI] = [:]
    package var services: [OverlayAddress: VirtualService] = [:]
    package var published: [PublishedAt: PublishedService] = [:]
    /// Entries and counters of interfaces that are gone, by index.
    package var strayEntries: Set<UInt32> = []
    /// Interfaces that have a program and should not, by index.
    package var strayPrograms: Set<UInt32> = []

    package init(host: HostConfiguration) { self.host = host }
}

/// A veth pair of ours.
package struct ObservedEndpoint: Hashable, Sendable {
    /// Nil when its making was interrupted.
    package var id: EndpointID?
    package var routesInside: SandboxRoutes
    package var isUp: Bool
    package var mtu: Int
    package var entry: EndpointEntry?
    package var hasProgram: Bool
    /// Addresses that the host routes to it.
    package var hostRoutes: Set<IPv4Address>
    /// Permanent neighbours of the host end.
    package var neighbours: [IPv4Address: MACAddress]
    /// The programs where sockets connect know its network namespace. Of an engine's endpoint they are told when that has one.
    package var hasKnownNamespace: Bool

    package init(
        id: EndpointID?, routesInside: SandboxRoutes = SandboxRoutes(isDefault: false, toResolver: false),
        isUp: Bool = false, mtu: Int = 0, entry: EndpointEntry? = nil, hasProgram: Bool = false,
        hostRoutes: Set<IPv4Address> = [], neighbours: [IPv4Address: MACAddress] = [:],
        hasKnownNamespace: Bool = true
    ) {
        self.id = id
        self.routesInside = routesInside
        self.isUp = isUp
        self.mtu = mtu
        self.entry = entry
        self.hasProgram = hasProgram
        self.hostRoutes = hostRoutes
        self.neighbours = neighbours
        self.hasKnownNamespace = hasKnownNamespace
    }
}

extension ObservedState {
    /// The parts in place that another setting has alike: the nodes of the swarm are told to the firewall alone.
    package func parts(for host: HostConfiguration) -> Set<HostPart> {
        if self.host == host { return parts }
        guard self.host.isSameBut(vtepsOf: host) else { return [] }
        return parts.subtracting(self.host.encrypts == host.encrypts ? [.firewall] : [.firewall, .tunnelDevice, .configuration])
    }

    /// Takes note of an operation that succeeded, so that the next difference needs no new observation.
    package mutating func record(_ operation: DatapathOperation) {
        switch operation {
        case .prepareHost(let part, let host):
            parts = parts(for: host)
            self.host = host
            parts.insert(part)
        case .removeStrayProgram(let interface): strayPrograms.remove(interface)
        case .removeStrayEntry(let interface): strayEntries.remove(interface)
        case .removeLocation(let address): locations[address] = nil
        case .removeMember(let member): members[member] = nil
        case .removeSubnet(let subnet): subnets[subnet] = nil
        case .removeService(let address): services[address] = nil
        case .removePublished(let port): published[port] = nil
        case .removeEndpoint(let name): endpoints[name] = nil
        case .setSubnet(let subnet, let vni): subnets[subnet] = vni
        case .setMember(let member, let tunnel): members[member] = tunnel
        case .createEndpoint(let endpoint, let name), .repairEndpoint(let endpoint, let name):
            endpoints[name] = endpoint.whenDone
        case .setLocation(let address, let location): locations[address] = location
        case .setService(let address, let service): services[address] = service
        case .setPublished(let port, let service): published[port] = service
        }
    }
}
