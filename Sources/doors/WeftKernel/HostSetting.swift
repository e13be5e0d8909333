internal import WeftBPF
internal import WeftDatapath
internal import WeftLinux
internal import WeftNet
internal import WeftWire

/// What the host as a whole needs: forwarding, the resolver's address, the firewall, the underlay's program and the vxlan device.
struct HostSetting: Sendable {
    let namespace: NetworkNamespace
    let netlink: NetlinkSocket
    let programs: DatapathPrograms
    let firewall: FirewallTable
    private let tunnel: TunnelInterface

    init(namespace: NetworkNamespace, netlink: NetlinkSocket, programs: DatapathPrograms) {
        self.namespace = namespace
        self.netlink = netlink
        self.programs = programs
        firewall = FirewallTable(in: namespace)
        tunnel = TunnelInterface(namespace: namespace, netlink: netlink, programs: programs)
    }

    /// Makes one part of the host's setting.
    func prepare(_ part: HostPart, _ host: HostConfiguration) throws {
        switch part {
        case .forwarding: try Sysctl(in: namespace).write("net.ipv4.ip_forward", "1")
        case .resolverAddress: try addResolverAddress()
        case .routingRule:
            try netlink.create(.addRule(KernelDatapath.routingRule), "add the routing rule of the endpoints")
        case .firewall: try firewall.apply(surroundings(host))
        case .tunnelDevice: try tunnel.make()
        case .configuration:
            try programs.setConfig(
                DatapathConfig(
                    underlayInterface: try underlay(host), vtep: host.dataPathAddress, port: host.dataPathPort,
                    tunnelInterface: try netlink.link(named: KernelDatapath.tunnelName)?.index ?? 0))
        case .vxlanDevice: try makeVXLANDevice(port: host.dataPathPort)
        case .vxlanProgram:
            try programs.attachVXLAN(interface: netlink.existingLink(KernelDatapath.vxlanName).index)
        case .underlayProgram:
            try programs.attachUnderlay(interface: underlay(host))
        }
    }

    private func surroundings(_ host: HostConfiguration) throws -> Surroundings {
        let interfaces = try HostInterfaces.read(in: namespace)
        return Surroundings(
            host: host, links: interfaces.links, addresses: interfaces.addresses, routes: interfaces.routes)
    }

    private func underlay(_ host: HostConfiguration) throws -> UInt32 {
        guard let index = try underlayIndex(host) else {
            throw KernelDatapathError(
                "No interface of this host has the data-path address \(host.dataPathAddress); "
                    + "give the address back to its interface, or leave the swarm and join it with another --data-path-addr.")
        }
        return index
    }

    private func addResolverAddress() throws {
        let loopback = try netlink.existingLink("lo")
        if !loopback.isUp { try netlink.change(.setLink(index: loopback.index, LinkChange(isUp: true)), "set up lo") }
        let address = AddressMessage(interface: loopback.index, address: KernelDatapath.resolverAddress, prefixLength: 32)
        try netlink.create(.addAddress(address), "give \(KernelDatapath.resolverAddress) to lo")
    }

    private func makeVXLANDevice(port: UInt16) throws {
        let name = KernelDatapath.vxlanName
        try removeLink(name)
        do {
            try netlink.change(
                .createVXLAN(name: name, port: port, mac: KernelDatapath.gatewayMAC), "make the interface \(name)")
            let index = try netlink.existingLink(name).index
            // The socket is opened here: the kernel refuses only now a port that is taken.
            try netlink.change(.setLink(index: index, LinkChange(isUp: true)), "set up the interface \(name)")
        } catch let error as SystemError where error.isPortTaken {
            try? removeLink(name)
            throw KernelDatapathError(try portTaken(port))
        }
    }

    private func portTaken(_ port: UInt16) throws -> String {
        let links = try netlink.dump(.dumpLinks(), "list interfaces") { LinkMessage($0) }
        let other = links.first { $0.vxlan?.port == port && $0.name != KernelDatapath.vxlanName }
        let holder = other.map { "by the interface \($0.name)" } ?? "by another tunnel or program"
        return "UDP port \(port) is in use \(holder) (Docker Swarm's overlay networks use 4789); "
            + "choose another with --data-path-port."
    }

    func removeLink(_ name: String) throws {
        guard let link = try netlink.link(named: name) else { return }
        try netlink.remove(.deleteLink(index: link.index), "remove interface \(name)")
    }

    /// Packets for what encrypts that nobody took.
    func unreadPackets() throws -> UInt64 { try tunnel.unreadPackets() }

    /// The interface that has the data-path address.
    func underlayIndex(_ host: HostConfiguration) throws -> UInt32? {
        try netlink.dump(.dumpAddresses(), "list addresses") { AddressMessage($0) }
            .first { $0.address == host.dataPathAddress }?.interface
    }

    /// The parts that are in place.
    func intactParts(
        _ host: HostConfiguration, _ links: [LinkMessage], _ roles: [UInt32: AttachmentRole]
    ) throws -> Set<HostPart> {
        var parts: Set<HostPart> = []
        let addresses = try netlink.dump(.dumpAddresses(), "list addresses") { AddressMessage($0) }
        if try Sysctl(in: namespace).read("net.ipv4.ip_forward") == "1" { parts.insert(.forwarding) }
        if let loopback = links.first(where: { $0.name == "lo" }), loopback.isUp,
            addresses.contains(AddressMessage(interface: loopback.index, address: KernelDatapath.resolverAddress, prefixLength: 32))
        {
            parts.insert(.resolverAddress)
        }
        if try netlink.dump(.dumpRules(), "list routing rules", { RuleMessage($0) }).contains(KernelDatapath.routingRule) {
            parts.insert(.routingRule)
        }
        let routes = try netlink.dump(.dumpRoutes(), "list routes") { RouteMessage($0) }
        let surroundings = Surroundings(host: host, links: links, addresses: addresses, routes: routes)
        if try firewall.isIntact(surroundings) { parts.insert(.firewall) }
        let device = links.first { $0.name == KernelDatapath.tunnelName }
        if !host.encrypts || tunnel.isIntact(device, roles) { parts.insert(.tunnelDevice) }
        let underlay = addresses.first { $0.address == host.dataPathAddress }?.interface
        if let underlay,
            try programs.config()
                == DatapathConfig(
                    underlayInterface: underlay, vtep: host.dataPathAddress, port: host.dataPathPort, tunnelInterface: device?.index ?? 0)
        {
            parts.insert(.configuration)
        }
        if let link = links.first(where: { $0.name == KernelDatapath.vxlanName }), link.isUp, link.vxlan?.collectsMetadata == true,
            link.vxlan?.port == host.dataPathPort
        {
            parts.insert(.vxlanDevice)
            if roles[link.index] == .vxlan { parts.insert(.vxlanProgram) }
        }
        if let underlay, roles[underlay] == .underlay { parts.insert(.underlayProgram) }
        return parts
    }
}
