internal import WeftBPF
internal import WeftDatapath
internal import WeftLinux
internal import WeftNet
internal import WeftWire

extension KernelDatapath {
    /// Makes one part of the host's setting.
    func prepare(_ part: HostPart, _ host: HostConfiguration) throws {
        switch part {
        case .forwarding: try Sysctl(in: namespace).write("net.ipv4.ip_forward", "1")
        case .resolverAddress: try addResolverAddress()
        case .routingRule:
            try netlink.create(.addRule(Self.routingRule), "add the routing rule of the endpoints")
        case .firewall: try firewall.apply(surroundings(host))
        case .configuration:
            try programs.setConfig(
                DatapathConfig(
                    underlayInterface: try underlay(host), vtep: host.dataPathAddress, port: host.dataPathPort))
        case .vxlanDevice: try makeVXLANDevice(port: host.dataPathPort)
        case .vxlanProgram:
            try programs.attachVXLAN(interface: link(Self.vxlanName).index)
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
        let loopback = try link("lo")
        if !loopback.isUp { try netlink.change(.setLink(index: loopback.index, LinkChange(isUp: true)), "set up lo") }
        let address = AddressMessage(interface: loopback.index, address: Self.resolverAddress, prefixLength: 32)
        try netlink.create(.addAddress(address), "give \(Self.resolverAddress) to lo")
    }

    private func makeVXLANDevice(port: UInt16) throws {
        try removeLink(Self.vxlanName)
        do {
            try netlink.change(
                .createVXLAN(name: Self.vxlanName, port: port, mac: Self.gatewayMAC), "make the interface \(Self.vxlanName)")
            let index = try link(Self.vxlanName).index
            // The socket is opened here: the kernel refuses only now a port that is taken.
            try netlink.change(.setLink(index: index, LinkChange(isUp: true)), "set up the interface \(Self.vxlanName)")
        } catch let error as SystemError where error.isPortTaken {
            try? removeLink(Self.vxlanName)
            throw KernelDatapathError(try portTaken(port))
        }
    }

    private func portTaken(_ port: UInt16) throws -> String {
        let links = try netlink.dump(.dumpLinks(), "list interfaces") { LinkMessage($0) }
        let other = links.first { $0.vxlan?.port == port && $0.name != Self.vxlanName }
        let holder = other.map { "by the interface \($0.name)" } ?? "by another tunnel or program"
        return "UDP port \(port) is in use \(holder) (Docker Swarm's overlay networks use 4789); "
            + "choose another with --data-path-port."
    }

    func removeLink(_ name: String) throws {
        guard let link = try netlink.link(named: name) else { return }
        try netlink.remove(.deleteLink(index: link.index), "remove interface \(name)")
    }
}
