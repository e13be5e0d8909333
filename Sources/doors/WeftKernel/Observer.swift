internal import Synchronization
internal import WeftBPF
package import WeftDatapath
internal import WeftLinux
internal import WeftModel
internal import WeftNet
internal import WeftWire

extension KernelDatapath {
    package func observe(for host: HostConfiguration) throws -> ObservedState {
        var state = ObservedState(host: host)
        let links = try netlink.dump(.dumpLinks(), "list interfaces") { LinkMessage($0) }
        let roles = try programs.attachedInterfaces()
        let entries = try programs.endpoints()
        let hostEnds = links.filter { isHostEnd($0) }
        state.parts = try intactParts(host, links, roles)
        state.endpoints = try endpoints(hostEnds, roles, entries)

        let indexes = Set(hostEnds.map(\.index))
        state.strayEntries = Set(entries.keys).subtracting(indexes)
        let underlay = try underlayIndex(host)
        let vxlan = links.first { $0.name == Self.vxlanName }?.index
        state.strayPrograms = Set(
            roles.filter { interface, role in
                switch role {
                case .endpoint: !indexes.contains(interface)
                case .underlay: interface != underlay
                case .vxlan: interface != vxlan
                }
            }.keys)

        var ids: [UInt32: EndpointID] = [:]
        for link in hostEnds { ids[link.index] = EndpointAlias(link.alias)?.id }
        let known = ids
        interfaces.withLock { $0 = known.reduce(into: [:]) { $0[$1.value] = $1.key } }
        for (key, target) in try programs.forward() {
            state.locations[OverlayAddress(vni: key.vni, address: key.address)] =
                switch target {
                case .remote(let vtep, let mac, let mtu): .remote(vtep: vtep, mac: mac, mtu: mtu)
                case .local(let interface, let mac): ids[interface].map { .local($0, mac: mac) } ?? .stale
                }
        }
        state.members = Set(try programs.vteps().map { Membership(vni: $0.vni, vtep: $0.vtep) })
        state.subnets = try programs.subnets()
        return state
    }

    /// The interface that has the data-path address.
    func underlayIndex(_ host: HostConfiguration) throws -> UInt32? {
        try netlink.dump(.dumpAddresses(), "list addresses") { AddressMessage($0) }
            .first { $0.address == host.dataPathAddress }?.interface
    }

    private func intactParts(
        _ host: HostConfiguration, _ links: [LinkMessage], _ roles: [UInt32: AttachmentRole]
    ) throws -> Set<HostPart> {
        var parts: Set<HostPart> = []
        let addresses = try netlink.dump(.dumpAddresses(), "list addresses") { AddressMessage($0) }
        if try Sysctl(in: namespace).read("net.ipv4.ip_forward") == "1" { parts.insert(.forwarding) }
        if let loopback = links.first(where: { $0.name == "lo" }), loopback.isUp,
            addresses.contains(AddressMessage(interface: loopback.index, address: Self.resolverAddress, prefixLength: 32))
        {
            parts.insert(.resolverAddress)
        }
        if try netlink.dump(.dumpRules(), "list routing rules", { RuleMessage($0) }).contains(Self.routingRule) {
            parts.insert(.routingRule)
        }
        let routes = try netlink.dump(.dumpRoutes(), "list routes") { RouteMessage($0) }
        let surroundings = Surroundings(host: host, links: links, addresses: addresses, routes: routes)
        if try firewall.isIntact(surroundings) { parts.insert(.firewall) }
        let underlay = addresses.first { $0.address == host.dataPathAddress }?.interface
        if let underlay,
            try programs.config()
                == DatapathConfig(underlayInterface: underlay, vtep: host.dataPathAddress, port: host.dataPathPort)
        {
            parts.insert(.configuration)
        }
        if let link = links.first(where: { $0.name == Self.vxlanName }), link.isUp, link.vxlan?.collectsMetadata == true,
            link.vxlan?.port == host.dataPathPort
        {
            parts.insert(.vxlanDevice)
            if roles[link.index] == .vxlan { parts.insert(.vxlanProgram) }
        }
        if let underlay, roles[underlay] == .underlay { parts.insert(.underlayProgram) }
        return parts
    }

    private func endpoints(
        _ links: [LinkMessage], _ roles: [UInt32: AttachmentRole], _ entries: [UInt32: LocalEndpoint]
    ) throws -> [String: ObservedEndpoint] {
        var routes: [UInt32: Set<IPv4Address>] = [:]
        for route in try routesToEndpoints() {
            if let interface = route.interface, route.destination.length == 32 {
                routes[interface, default: []].insert(route.destination.network)
            }
        }
        var neighbours: [UInt32: [IPv4Address: MACAddress]] = [:]
        for neighbour in try netlink.dump(.dumpNeighbours(), "list neighbours", { NeighbourMessage($0) })
        where neighbour.isPermanent {
            neighbours[neighbour.interface, default: [:]][neighbour.address] = neighbour.mac
        }
        var result: [String: ObservedEndpoint] = [:]
        for link in links {
            let alias = EndpointAlias(link.alias)
            result[link.name] = ObservedEndpoint(
                id: alias?.id, routesInside: alias?.routes ?? SandboxRoutes(isDefault: false, toResolver: false),
                // A reverse path filter would drop what the maps allow; the repair of "up" takes it off, and IPv6 too.
                isUp: link.isUp && link.reversePathFilter == 0 && link.hasIPv6 != true, mtu: link.mtu ?? 0,
                entry: entries[link.index].flatMap { entry in
                    entry.gateway.map {
                        EndpointEntry(
                            vni: entry.vni, address: entry.address, mac: entry.mac, subnet: entry.subnet, gateway: $0,
                            isInternal: entry.isInternal, isNoExit: entry.isNoExit, ipv6: entry.ipv6.map { EndpointIPv6($0) })
                    }
                },
                hasProgram: roles[link.index] == .endpoint, hostRoutes: routes[link.index] ?? [],
                neighbours: neighbours[link.index] ?? [:])
        }
        return result
    }

    private func routesToEndpoints() throws -> [RouteMessage] {
        do throws(SystemError) {
            return try netlink.dump(.dumpRoutes(table: Self.routingTable), "list routes") { RouteMessage($0) }
        } catch {
            // There is no table before its first route.
            guard error.isNotFound else { throw error }
            return []
        }
    }
}

/// A veth named `wv` and eight hex digits.
func isHostEnd(_ link: LinkMessage) -> Bool {
    link.kind == "veth" && link.name.utf8.count == 10 && link.name.hasPrefix("wv")
        && link.name.dropFirst(2).allSatisfy(\.isHexDigit)
}

/// The alias of a finished host end: `weft:ID`, then what its sandbox's routes are, which is not seen from outside.
struct EndpointAlias {
    let id: EndpointID
    let routes: SandboxRoutes

    init(id: EndpointID, routes: SandboxRoutes) {
        self.id = id
        self.routes = routes
    }

    init?(_ text: String?) {
        guard let words = text?.split(separator: " "), let first = words.first, first.hasPrefix("weft:"), first.count > 5
        else { return nil }
        self.init(
            id: EndpointID(String(first.dropFirst(5))),
            routes: SandboxRoutes(isDefault: words.contains("default"), toResolver: words.contains("resolver")))
    }

    var text: String {
        "weft:\(id)" + (routes.isDefault ? " default" : "") + (routes.toResolver ? " resolver" : "")
    }
}
