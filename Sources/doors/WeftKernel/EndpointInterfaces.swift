internal import Synchronization
internal import WeftBPF
internal import WeftDatapath
internal import WeftLinux
internal import WeftModel
internal import WeftNet
internal import WeftWire

/// The veth pairs of the endpoints here, and what belongs to each: its program and entry, addresses and routes inside and outside.
final class EndpointInterfaces: Sendable {
    let namespace: NetworkNamespace
    let netlink: NetlinkSocket
    let programs: DatapathPrograms
    /// Of what is to be set in engines' containers.
    let visitors: EngineVisits
    /// The host ends of finished endpoints.
    private let known = Mutex(Indexes())

    private struct Indexes {
        var interfaces: [EndpointID: UInt32] = [:]
        var endpoints: [UInt32: EndpointID] = [:]

        mutating func set(_ endpoint: EndpointID, _ interface: UInt32) {
            if let former = interfaces.updateValue(interface, forKey: endpoint) { endpoints[former] = nil }
            endpoints[interface] = endpoint
        }

        mutating func remove(_ interface: UInt32) {
            // Another interface may have taken the endpoint over meanwhile.
            guard let endpoint = endpoints.removeValue(forKey: interface), interfaces[endpoint] == interface else { return }
            interfaces[endpoint] = nil
        }
    }

    init(namespace: NetworkNamespace, netlink: NetlinkSocket, programs: DatapathPrograms) {
        self.namespace = namespace
        self.netlink = netlink
        self.programs = programs
        visitors = EngineVisits(netlink: netlink, programs: programs)
    }

    func interface(of endpoint: EndpointID) -> UInt32? { known.withLock { $0.interfaces[endpoint] } }

    /// The same, of one that a former weftd made as well, before there was a look at the kernel.
    func findInterface(of endpoint: EndpointID) throws -> UInt32? {
        if let known = interface(of: endpoint) { return known }
        let links = try netlink.dump(.dumpLinks(), "list interfaces") { LinkMessage($0) }
        return links.first { isHostEnd($0) && EndpointAlias($0.alias)?.id == endpoint }?.index
    }

    func endpoint(at interface: UInt32) -> EndpointID? { known.withLock { $0.endpoints[interface] } }

    func existingInterface(of endpoint: EndpointID) throws -> UInt32 {
        guard let interface = interface(of: endpoint) else {
            throw KernelDatapathError("endpoint \(endpoint) has no interface on this host")
        }
        return interface
    }

    /// Takes over what was observed.
    func note(_ found: [(EndpointID, UInt32)]) {
        known.withLock { known in
            known = Indexes()
            for (endpoint, interface) in found { known.set(endpoint, interface) }
        }
    }

    /// Makes the veth pair with its far end where it belongs, then everything around it; the alias, last, says that it is
    /// finished.
    func create(_ endpoint: DesiredEndpoint, hostInterface name: String) throws {
        let operation = "make interface \(endpoint.interfaceName) for endpoint \(endpoint.id)"
        // Left by an attempt that was interrupted after the last observation.
        try remove(hostInterface: name)
        if endpoint.placement == .host, let stray = try netlink.link(named: endpoint.interfaceName) {
            try netlink.remove(.deleteLink(index: stray.index), "remove interface \(endpoint.interfaceName)")
        }
        let host = VethEnd(name: name, mac: KernelDatapath.gatewayMAC, mtu: endpoint.mtu.bytes)
        let peer = VethEnd(name: endpoint.interfaceName, mac: endpoint.entry.mac, mtu: endpoint.mtu.bytes)
        switch endpoint.placement {
        case .namespace(let path):
            let descriptor = try NetworkNamespace(path: path).open()
            try netlink.change(.createVeth(host: host, peer: peer, peerNamespace: descriptor.rawValue), operation)
        case .engine, .host:
            try netlink.change(.createVeth(host: host, peer: peer, peerNamespace: nil), operation)
        }
        do {
            let index = try netlink.existingLink(name).index
            try programs.putEndpoint(endpoint.entry, interface: index)
            try programs.attachEndpoint(interface: index)
            // The end that is set up last has its queue at once. The other's waits for the kernel's link watch, and drops what is sent
            // until then: hardly anything, as packets from other endpoints do not pass the host end's queue.
            try configureHostEnd(endpoint, name, index)
            try configureInside(endpoint, index)
            try finish(endpoint, index)
        } catch {
            // What is half made would be removed by the next observation; the error is worth more than a failure here.
            try? remove(hostInterface: name)
            throw error
        }
    }

    /// Brings an endpoint that is there to what is desired.
    func repair(_ endpoint: DesiredEndpoint, hostInterface name: String, _ entries: HostEntries) throws {
        let link = try netlink.existingLink(name)
        try programs.putEndpoint(endpoint.entry, interface: link.index)
        if try programs.role(at: link.index) != .endpoint { try programs.attachEndpoint(interface: link.index) }
        if link.mtu != endpoint.mtu.bytes {
            try netlink.change(.setLink(index: link.index, LinkChange(mtu: endpoint.mtu.bytes)), "set the MTU of \(name)")
        }
        try configureInside(endpoint, link.index)
        try removeWrongRoutes(endpoint, link.index, entries)
        try configureHostEnd(endpoint, name, link.index)
        try finish(endpoint, link.index)
    }

    /// Removes the pair and what refers to it; entries first, as interface indexes are used again.
    func remove(hostInterface name: String) throws {
        guard let found = try netlink.link(named: name) else { return }
        try programs.removeEndpoint(interface: found.index)
        try programs.removeIngress(interface: found.index)
        // The interface before its program: taking the program off by itself would wait for the kernel once more.
        try netlink.remove(.deleteLink(index: found.index), "remove interface \(name)")
        try programs.detach(interface: found.index)
        if let endpoint = endpoint(at: found.index) { visitors.leave(endpoint) }
        known.withLock { $0.remove(found.index) }
    }

    /// Nothing for an engine's, which does it itself.
    private func configureInside(_ endpoint: DesiredEndpoint, _ hostEnd: UInt32) throws {
        switch endpoint.placement {
        case .namespace(let path): try configure(endpoint, hostEnd, in: path)
        case .engine: if endpoint.entry.isIngress { visitors.visit(endpoint.id) }
        case .host: try configureHostDevice(endpoint, hostEnd)
        }
    }

    private func configure(_ endpoint: DesiredEndpoint, _ hostEnd: UInt32, in path: String) throws {
        let name = endpoint.interfaceName
        let ipv6 = try usableIPv6(endpoint)
        let hasIPv6 = ipv6 != nil
        // One visit for all of it: each takes a thread of its own.
        let (inside, cookie) = try NetworkNamespace(path: path).run {
            try Self.setIPv6(hasIPv6, of: name)
            return (try NetlinkSocket.open(), try NetworkNamespace.current.cookie())
        }
        try programs.putNamespace(cookie: cookie, interface: hostEnd)
        let link = try inside.get(.getLink(name: name), "find interface \(name) in its sandbox") { LinkMessage($0) }
        let address = AddressMessage(
            interface: link.index, address: endpoint.entry.address, prefixLength: endpoint.entry.subnet.length)
        try inside.create(.addAddress(address), "give \(endpoint.entry.address) to \(name)")
        if let ipv6 {
            let address = IPv6AddressMessage(interface: link.index, address: ipv6.address, prefixLength: ipv6.subnet.length)
            try inside.create(.addAddress(address), "give \(ipv6.address) to \(name)")
        }
        let mtu = link.mtu == endpoint.mtu.bytes ? nil : endpoint.mtu.bytes
        try inside.change(.setLink(index: link.index, LinkChange(isUp: true, mtu: mtu)), "set up \(name)")

        if endpoint.entry.isIngress {
            var entry = endpoint.entry
            entry.ipv6 = ipv6
            _ = try IngressRoutes(entry: entry, udpPorts: endpoint.routes.udpPorts).apply(by: inside)
        }
        let toResolver = RouteMessage(
            destination: IPv4Prefix(host: KernelDatapath.resolverAddress), interface: link.index, isLinkScope: true)
        try inside.ensure(toResolver, isWanted: endpoint.routes.toResolver, "the resolver's route by \(name)")
        if let everything = IPv4Prefix(IPv4Address(rawValue: 0), length: 0) {
            let gateway = RouteMessage(destination: everything, interface: link.index, gateway: endpoint.entry.gateway)
            try inside.ensure(gateway, isWanted: endpoint.routes.isDefault, "the default route by \(name)")
        }
    }

    /// The node's own device on the ingress network: its address, and the way to the network in the endpoints' table. The main one is
    /// what other nodes are told not to use for networks.
    private func configureHostDevice(_ endpoint: DesiredEndpoint, _ hostEnd: UInt32) throws {
        let name = endpoint.interfaceName
        var entry = endpoint.entry
        entry.ipv6 = try usableIPv6(endpoint)
        let hasIPv6 = entry.ipv6 != nil
        try namespace.run { try Self.setIPv6(hasIPv6, of: name) }
        let link = try netlink.existingLink(name)
        let address = AddressMessage(interface: link.index, address: entry.address, prefixLength: 32)
        try netlink.create(.addAddress(address), "give \(entry.address) to \(name)")
        if let ipv6 = entry.ipv6 {
            let address = IPv6AddressMessage(interface: link.index, address: ipv6.address, prefixLength: ipv6.subnet.length)
            try netlink.create(.addAddress(address), "give \(ipv6.address) to \(name)")
        }
        let mtu = link.mtu == endpoint.mtu.bytes ? nil : endpoint.mtu.bytes
        try netlink.change(
            .setLink(index: link.index, LinkChange(isUp: true, mtu: mtu, reversePathFilter: 0)), "set up \(name)")
        let route = RouteMessage(
            destination: entry.subnet, table: KernelDatapath.routingTable, interface: link.index,
            preferredSource: entry.address, isLinkScope: true)
        try netlink.change(.replaceRoute(route), "set the route to \(entry.subnet)")
        try programs.setIngress(entry, interface: hostEnd)
        try programs.putNamespace(cookie: namespace.cookie(), interface: hostEnd)
    }

    /// What the interface is to have of IPv6: without an address it would only look for routers. A host's default may be either. On the
    /// ingress network, which nobody chose for its tasks, nothing where there is none to be had: what comes by IPv4 is served.
    private func usableIPv6(_ endpoint: DesiredEndpoint) throws -> EndpointIPv6? {
        guard let ipv6 = endpoint.entry.ipv6 else { return nil }
        if endpoint.entry.isIngress, endpoint.mtu.bytes < Self.smallestIPv6MTU || !HostSystem.hasIPv6 { return nil }
        guard endpoint.mtu.bytes >= Self.smallestIPv6MTU else {
            throw KernelDatapathError(
                "An MTU of \(endpoint.mtu.bytes) is too small for IPv6, which needs \(Self.smallestIPv6MTU); "
                    + "make the network without IPv6, or with a larger com.docker.network.driver.mtu.")
        }
        return ipv6
    }

    /// RFC 8200, 5.
    private static let smallestIPv6MTU = 1280

    /// Of an interface in the calling thread's namespace.
    private static func setIPv6(_ isOn: Bool, of interface: String) throws {
        do {
            try Sysctl().write("net/ipv6/conf/\(interface)/disable_ipv6", isOn ? "0" : "1")
        } catch let error as SystemError where error.isNotFound {
            guard isOn else { return }
            // The interface has gone.
            guard !FileSystem.exists("/proc/sys/net/ipv6/conf/all") else { throw error }
            throw UnsupportedKernelFeature(
                "IPv6, which the network of \(interface) needs",
                advice: "start it without ipv6.disable=1, or make the network without IPv6")
        }
    }

    private func configureHostEnd(_ endpoint: DesiredEndpoint, _ name: String, _ index: UInt32) throws {
        let entry = endpoint.entry
        // The host has no part in the overlay's IPv6, and would ask every sandbox for routers.
        try namespace.run { try Self.setIPv6(false, of: name) }
        try netlink.change(
            .setLink(index: index, LinkChange(isUp: true, reversePathFilter: 0)), "set up the interface of \(endpoint.id)")
        try netlink.change(
            .replaceNeighbour(NeighbourMessage(interface: index, address: entry.address, mac: entry.mac)),
            "set the neighbour \(entry.address)")
        try netlink.change(.replaceRoute(hostRoute(entry.address, index)), "set the route to \(entry.address)")
    }

    private func finish(_ endpoint: DesiredEndpoint, _ index: UInt32) throws {
        let alias = EndpointAlias(id: endpoint.id, routes: endpoint.routes).text
        try netlink.change(.setLink(index: index, LinkChange(alias: alias)), "name the interface of \(endpoint.id)")
        known.withLock { $0.set(endpoint.id, index) }
    }

    private func removeWrongRoutes(_ endpoint: DesiredEndpoint, _ index: UInt32, _ entries: HostEntries) throws {
        let address = endpoint.entry.address
        for route in try entries.routes(at: index) where route.destination != IPv4Prefix(host: address) {
            try netlink.ensure(route, isWanted: false, "the route to \(route.destination)")
        }
        for neighbour in try entries.neighbours(at: index) where neighbour.address != address {
            try netlink.remove(.deleteNeighbour(neighbour), "remove the neighbour \(neighbour.address)")
        }
    }

    private func hostRoute(_ address: IPv4Address, _ index: UInt32) -> RouteMessage {
        RouteMessage(
            destination: IPv4Prefix(host: address), table: KernelDatapath.routingTable, interface: index, isLinkScope: true)
    }
}

extension NetlinkSocket {
    /// The interface with this name.
    func existingLink(_ name: String) throws -> LinkMessage {
        guard let link = try link(named: name) else { throw KernelDatapathError("The interface \(name) is gone.") }
        return link
    }

    /// Sets or removes a route.
    fileprivate func ensure(_ route: RouteMessage, isWanted: Bool, _ what: String) throws(SystemError) {
        if isWanted {
            try change(.replaceRoute(route), "set \(what)")
        } else {
            try remove(.deleteRoute(route), "remove \(what)")
        }
    }
}
