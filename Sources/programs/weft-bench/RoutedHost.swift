import WeftNet

/// One host with two containers whose veths it routes between, and nothing else: the least that containers on networks of
/// their own can cost.
///
///     container ── veth ── host, IP forwarding ── veth ── container
final class RoutedHost {
    private static let host = "weft-bench-r"
    private static let containers = ["weft-bench-r1", "weft-bench-r2"]
    let pair: Pair

    init(mtu: Int) throws {
        let ends = [IPv4Address(rawValue: 0xc612_4e02), IPv4Address(rawValue: 0xc612_4f02)]
        pair = Pair(
            client: "/run/netns/\(Self.containers[0])", server: "/run/netns/\(Self.containers[1])", address: ends[1])
        Self.remove()
        try run(["ip", "netns", "add", Self.host])
        try run(inside("/run/netns/\(Self.host)", ["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]))
        for (container, address) in zip(Self.containers, ends) {
            let gateway = IPv4Address(rawValue: address.rawValue - 1)
            try run(["ip", "netns", "add", container])
            try run([
                "ip", "link", "add", container, "mtu", "\(mtu)", "netns", Self.host, "type", "veth", "peer", "name", "eth0",
                "mtu", "\(mtu)", "netns", container,
            ])
            try run(["ip", "-n", Self.host, "addr", "add", "\(gateway)/24", "dev", container])
            try run(["ip", "-n", Self.host, "link", "set", container, "up"])
            try run(["ip", "-n", container, "addr", "add", "\(address)/24", "dev", "eth0"])
            try run(["ip", "-n", container, "link", "set", "eth0", "up"])
            try run(["ip", "-n", container, "route", "add", "default", "via", "\(gateway)"])
        }
    }

    deinit { Self.remove() }

    private static func remove() {
        for name in containers + [host] { _ = try? run(["ip", "netns", "del", name]) }
    }
}
