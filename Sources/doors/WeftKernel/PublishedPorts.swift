internal import Synchronization
internal import WeftDatapath
package import WeftLinux
package import WeftModel
package import WeftNet

/// The host's ports that lead into containers which Weft publishes itself: the nftables table `ip weft_ports`.
///
/// It is a table of its own, as `inet weft` is the same whatever containers there are.
package final class PublishedPorts: Sendable {
    package static let table = "ip weft_ports"
    private let firewall: Firewall
    /// What was set, and how `nft` of this host prints it.
    private let applied = Mutex<(body: String, listing: String?)?>(nil)

    private let namespace: NetworkNamespace

    package init(in namespace: NetworkNamespace = .current) {
        self.namespace = namespace
        firewall = Firewall(table: Self.table, in: namespace)
    }

    /// - Parameter source: where what this host sends by its loopback comes from, as a container sees it.
    package func apply(_ ports: [PublishedPort], source: IPv4Address, interfaces: Set<EndpointID>) throws {
        guard !ports.isEmpty else {
            if try firewall.listing() != nil { try firewall.remove() }
            return applied.withLock { $0 = nil }
        }
        let body = Self.body(ports, source: source)
        // Packets of 127.0.0.1 may leave by these, and come back: the rest is dropped by the input chain of `inet weft`.
        for endpoint in interfaces.sorted() {
            // One that has gone with its sandbox is nobody's way any more, and must not be in that of others.
            do { try Sysctl(in: namespace).write("net/ipv4/conf/\(hostInterfaceName(endpoint))/route_localnet", "1") } catch let error
                as SystemError where error.isNotFound
            { continue }
        }
        let known = applied.withLock { $0 }
        if let known, known.body == body, try firewall.listing() == known.listing { return }
        try firewall.apply(body)
        let listing = try firewall.listing()
        applied.withLock { $0 = (body, listing) }
    }

    package func remove() throws { try firewall.remove() }

    /// The output chain's priority is that of `dstnat`, a word which `nft` takes in the prerouting hook alone.
    package static func body(_ ports: [PublishedPort], source: IPv4Address) -> String {
        func rules(_ prefix: String) -> String {
            ports.map { port in
                let wanted = port.wanted
                let address = wanted.hostAddress.map { "ip daddr \($0)" } ?? "fib daddr type local"
                return "\t\t\(prefix)\(address) \(wanted.protocol.rawValue) dport \(port.hostPort) dnat to "
                    + "\(port.target):\(wanted.containerPort)\n"
            }.joined()
        }
        return "\tchain prerouting {\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n"
            + rules("iifname != \"wv*\" ") + "\t}\n"
            + "\tchain output {\n\t\ttype nat hook output priority -100; policy accept;\n" + rules("") + "\t}\n"
            + "\tchain postrouting {\n\t\ttype nat hook postrouting priority srcnat; policy accept;\n"
            + "\t\toifname \"wv*\" ip saddr 127.0.0.0/8 snat to \(source)\n\t}\n"
    }
}
