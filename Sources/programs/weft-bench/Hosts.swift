import WeftNet

/// A host of the benchmark: a network namespace with an underlay interface.
struct BenchHost: Sendable {
    /// Path of its network namespace.
    let netns: String
    let interface: String
    let address: IPv4Address
}

/// How the underlay treats large packets.
enum Profile: String, CaseIterable, Codable, Sendable {
    /// Carries 64 KB packets whole, as a card with tunnel offload does.
    case gso
    /// Carries frames of the MTU only, as a plain card does; the receiver merges them (GRO).
    case wire
    /// No underlay: both ends are on one host.
    case local

    /// What the others are compared with.
    var reference: Variant { self == .local ? .routed : .hosts }

    func apply(to host: BenchHost) throws {
        let segmentation = self != .wire ? "on" : "off"
        let features = [
            "tcp-segmentation-offload", segmentation, "tx-udp_tnl-segmentation", segmentation,
            "tx-udp_tnl-csum-segmentation", segmentation, "tx-udp-segmentation", segmentation, "gro",
            self == .wire ? "on" : "off",
        ]
        try run(inside(host.netns, ["ethtool", "-K", host.interface] + features))
    }
}

/// Two hosts of the benchmark's own, joined by a veth pair, for a run without Weft.
final class OwnHosts {
    private static let names = ["weft-bench-h1", "weft-bench-h2"]
    let hosts: [BenchHost]

    init() throws {
        let addresses = ["172.31.77.1", "172.31.77.2"].compactMap { IPv4Address($0) }
        hosts = zip(Self.names, addresses).map { BenchHost(netns: "/run/netns/\($0)", interface: "eth0", address: $1) }
        Self.remove()
        for name in Self.names { try run(["ip", "netns", "add", name]) }
        try run([
            "ip", "link", "add", "eth0", "netns", Self.names[0], "type", "veth", "peer", "name", "eth0", "netns",
            Self.names[1],
        ])
        for (name, host) in zip(Self.names, hosts) {
            try run(["ip", "-n", name, "addr", "add", "\(host.address)/24", "dev", "eth0"])
            try run(["ip", "-n", name, "link", "set", "eth0", "up"])
            try run(["ip", "-n", name, "link", "set", "lo", "up"])
        }
    }

    deinit { Self.remove() }

    private static func remove() {
        for name in names { _ = try? run(["ip", "netns", "del", name]) }
    }
}
