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
        state.parts = try setting.intactParts(host, links, roles)
        let hostEnds = links.filter { isHostEnd($0) }
        try endpoints.observe(hostEnds, roles, into: &state)
        try tables.observe(into: &state, endpoints: endpoints)
        state.published = try entrances.published()

        let indexes = Set(hostEnds.map(\.index))
        let underlay = try setting.underlayIndex(host)
        let vxlan = links.first { $0.name == Self.vxlanName }?.index
        let tunnel = links.first { $0.name == Self.tunnelName }?.index
        state.strayPrograms = Set(
            roles.filter { interface, role in
                switch role {
                case .endpoint: !indexes.contains(interface)
                case .underlay: interface != underlay
                case .vxlan: interface != vxlan
                case .tunnel: interface != tunnel
                // Entrances has just looked after these.
                case .outside, .bare: false
                }
            }.keys)
        return state
    }
}

extension EndpointInterfaces {
    /// Reads what there is of the endpoints with these host ends.
    func observe(_ links: [LinkMessage], _ roles: [UInt32: AttachmentRole], into state: inout ObservedState) throws {
        let entries = try programs.endpoints()
        state.strayEntries = Set(entries.keys).subtracting(links.map(\.index))
        note(links.compactMap { link in EndpointAlias(link.alias).map { ($0.id, link.index) } })
        let around = HostEntries(netlink)
        for link in links {
            let alias = EndpointAlias(link.alias)
            let routes = try around.routes(at: link.index).filter { $0.destination.length == 32 }
            let neighbours = try around.neighbours(at: link.index)
            state.endpoints[link.name] = ObservedEndpoint(
                id: alias?.id, routesInside: alias?.routes ?? SandboxRoutes(isDefault: false, toResolver: false),
                // A reverse path filter would drop what the maps allow; the repair of "up" takes it off, and IPv6 too.
                isUp: link.isUp && link.reversePathFilter == 0 && link.hasIPv6 != true, mtu: link.mtu ?? 0,
                entry: entries[link.index], hasProgram: roles[link.index] == .endpoint,
                hostRoutes: Set(routes.map(\.destination.network)),
                neighbours: neighbours.reduce(into: [:]) { $0[$1.address] = $1.mac },
                hasKnownNamespace: programs.knowsNamespace(of: link.index))
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
            routes: SandboxRoutes(
                isDefault: words.contains("default"), toResolver: words.contains("resolver"),
                udpPorts: words.first { $0.hasPrefix("udp:") }?.dropFirst(4).split(separator: ",").compactMap { UInt16($0) } ?? []))
    }

    var text: String {
        "weft:\(id)" + (routes.isDefault ? " default" : "") + (routes.toResolver ? " resolver" : "")
            + (routes.udpPorts.isEmpty ? "" : " udp:" + routes.udpPorts.map(String.init).joined(separator: ","))
    }
}
