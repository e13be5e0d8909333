import WeftNet

/// What Docker's overlay driver makes, by hand: on each host a namespace with a bridge and a vxlan device without learning,
/// whose peers are static entries, and a veth pair into the container's namespace.
///
///     container ── veth ── br0 ── vxlan │ UDP socket of the host ── underlay
///     (weft-bench-c1)   (weft-bench-ov1) │ (host)
final class DockerLayout {
    /// Another port than Weft's, so that both work side by side.
    private static let port = 4799
    private static let vni = 7701
    private let devices: [(netns: String, name: String)]
    /// The containers' namespaces and addresses, one on each host.
    let containers: [(netns: String, address: IPv4Address)]

    /// From the container on the first host to the one on the second.
    var pair: Pair {
        Pair(client: containers[0].netns, server: containers[1].netns, address: containers[1].address)
    }

    init(on hosts: [BenchHost], mtu: Int) throws {
        containers = hosts.indices.map {
            ("/run/netns/weft-bench-c\($0 + 1)", IPv4Address(rawValue: 0xc612_4d0a + UInt32($0)))
        }
        devices = hosts.indices.map { ("/run/netns/weft-bench-ov\($0 + 1)", "wbvx\($0 + 1)") }
        Self.remove(hosts.count)
        for (index, host) in hosts.enumerated() { try make(index, host, mtu: mtu) }
        for index in hosts.indices {
            for (other, peer) in hosts.enumerated() where other != index {
                try connect(index, to: other, at: peer.address)
            }
        }
    }

    deinit { Self.remove(containers.count) }

    private static func remove(_ count: Int) {
        for index in 0..<count {
            for kind in ["c", "ov"] { _ = try? run(["ip", "netns", "del", "weft-bench-\(kind)\(index + 1)"]) }
        }
    }

    private static func mac(_ index: Int) -> String { "02:42:c6:12:4d:0\(index + 1)" }

    private func make(_ index: Int, _ host: BenchHost, mtu: Int) throws {
        let (overlay, container) = ("weft-bench-ov\(index + 1)", "weft-bench-c\(index + 1)")
        let device = devices[index].name
        try run(["ip", "netns", "add", overlay])
        try run(["ip", "netns", "add", container])
        // Made on the host, so that its socket stays there, and moved.
        try run(
            inside(
                host.netns,
                [
                    "ip", "link", "add", device, "type", "vxlan", "id", "\(Self.vni)", "local", "\(host.address)",
                    "dstport",
                    "\(Self.port)", "nolearning", "proxy", "l2miss", "l3miss",
                ]))
        try run(inside(host.netns, ["ip", "link", "set", device, "netns", overlay]))
        let inOverlay = ["ip", "-n", overlay]
        try run(inOverlay + ["link", "add", "br0", "mtu", "\(mtu)", "type", "bridge"])
        try run(inOverlay + ["addr", "add", "198.18.77.1/24", "dev", "br0"])
        try run(inOverlay + ["link", "set", device, "mtu", "\(mtu)", "master", "br0", "up"])
        try run(
            inOverlay + [
                "link", "add", "veth0", "mtu", "\(mtu)", "type", "veth", "peer", "name", "eth0", "mtu", "\(mtu)",
                "address",
                Self.mac(index), "netns", container,
            ])
        try run(inOverlay + ["link", "set", "veth0", "master", "br0", "up"])
        try run(inOverlay + ["link", "set", "br0", "up"])
        try run(["ip", "-n", container, "addr", "add", "\(containers[index].address)/24", "dev", "eth0"])
        try run(["ip", "-n", container, "link", "set", "eth0", "up"])
        // On by default wherever br_netfilter is loaded, and Docker loads it.
        let switchOn = "f=/proc/sys/net/bridge/bridge-nf-call-iptables; test ! -e $f || echo 1 > $f"
        try run(inside(devices[index].netns, ["sh", "-c", switchOn]))
    }

    private func connect(_ index: Int, to other: Int, at address: IPv4Address) throws {
        let (netns, device) = devices[index]
        try run(inside(netns, ["bridge", "fdb", "add", Self.mac(other), "dev", device, "dst", "\(address)", "self"]))
        try run(
            inside(
                netns,
                [
                    "ip", "neigh", "add", "\(containers[other].address)", "lladdr", Self.mac(other), "dev", device,
                    "nud",
                    "permanent",
                ]))
    }
}
