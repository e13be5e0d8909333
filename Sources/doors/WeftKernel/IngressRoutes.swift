internal import WeftDatapath
internal import WeftLinux
internal import WeftNet
internal import WeftWire

/// How the answers of a task's sockets find the ingress network, by which its clients' requests come: their addresses are anywhere.
///
/// What is sent from the task's address there goes by it, whatever the default route is. A UDP server that is bound to no address answers
/// from whichever its route has: what it sends from a published port goes by it too, unless it is for a network that the task is on.
struct IngressRoutes {
    static let table: UInt32 = 7701
    /// The first of the rules' priorities, before the main table's.
    private static let priority: UInt32 = 7700

    let entry: EndpointEntry
    let udpPorts: [UInt16]

    /// Sets them where the endpoint's interface is; false if it is not there yet. `socket` is of that namespace.
    func apply(by socket: NetlinkSocket) throws(SystemError) -> Bool {
        let links = try socket.dump(.dumpLinks(), "list interfaces") { LinkMessage($0) }
        guard let link = links.first(where: { $0.mac == entry.mac && $0.isUp }) else { return false }
        let addresses = try socket.dump(.dumpAddresses(), "list addresses") { AddressMessage($0) }
        guard addresses.contains(where: { $0.interface == link.index && $0.address == entry.address }) else { return false }
        if let everything = IPv4Prefix(IPv4Address(rawValue: 0), length: 0) {
            let route = RouteMessage(
                destination: everything, table: Self.table, interface: link.index, gateway: entry.gateway,
                preferredSource: entry.address)
            try socket.change(.replaceRoute(route), "set the route of answers to clients of published ports")
        }
        try set(by: socket, .v4(entry.address))
        if let ipv6 = entry.ipv6 {
            try socket.change(
                .replaceDefaultRoute(table: Self.table, interface: link.index, gateway: ipv6.gateway),
                "set the route of answers to clients of published ports")
            try set(by: socket, .v6(ipv6.address))
        }
        return true
    }

    private func set(by socket: NetlinkSocket, _ address: IPAddress) throws(SystemError) {
        var rules = [PolicyRule(table: Self.table, priority: Self.priority, from: address, family: address.family)]
        for port in udpPorts {
            rules.append(
                PolicyRule(
                    table: RouteMessage.mainTable, priority: Self.priority + 1, udpPort: port, family: address.family,
                    leavesDefault: true))
            rules.append(
                PolicyRule(table: Self.table, priority: Self.priority + 2, udpPort: port, family: address.family))
        }
        // Of ports that are none any more.
        for (table, priority) in [(RouteMessage.mainTable, Self.priority + 1), (Self.table, Self.priority + 2)] {
            let any = PolicyRule(table: table, priority: priority, family: address.family)
            var isLeft = true
            while isLeft {
                do throws(SystemError) { try socket.change(.deleteRule(any), "remove a rule") } catch {
                    guard error.isNotFound else { throw error }
                    isLeft = false
                }
            }
        }
        for rule in rules { try socket.create(.addRule(rule), "add the rule of answers to clients of published ports") }
    }
}
