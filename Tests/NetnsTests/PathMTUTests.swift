import Glibc
import Testing
import WeftBPF
import WeftDatapath
import WeftKernel
import WeftLinux
import WeftModel
import WeftNet

/// Two hosts, one of which sends by an interface with a smaller MTU; the drawing is in KernelTopology.swift.
@Suite(.serialized, .enabled(if: getuid() == 0, "needs root: makes network namespaces"), .timeLimit(.minutes(2)))
struct PathMTUTests {
    private let topology: KernelTopology
    private let a: NetworkNamespace
    private let b: NetworkNamespace
    private var swarm = TestSwarm()
    private let first: KernelDatapath
    private let second: KernelDatapath

    init() throws {
        topology = try KernelTopology()
        let (host, _) = try topology.twoHosts()
        try run(in: host, "ip link set eth0 mtu 1400")
        (a, b) = (try topology.namespace("a"), try topology.namespace("b"))
        swarm.underlayMTUs[0] = try #require(MTU(1400))
        let net = try swarm.network("net", "10.77.20.0/24", vni: 4120, subnet6: "fd77:20::/64")
        try swarm.endpoint("a", on: 0, net, number: 2, in: a)
        try swarm.endpoint("b", on: 1, net, number: 3, in: b)
        (first, second) = (try topology.datapath("h1"), try topology.datapath("h2"))
        try converge(first, swarm.desired(0))
        try converge(second, swarm.desired(1))
    }

    @Test("packets of any size arrive, or their sender is told how large they may be", arguments: ["10.77.20.2", "fd77:20::2"])
    func ping(address: String) throws {
        let headers = address.contains(":") ? 48 : 28
        #expect(try run(in: b, "ping -c 2 -W 2 -M do -s \(1350 - headers) \(address)").contains("2 received"))
        // What fits b's own interface and not the tunnel: the first is told of, and the next is cut by its sender.
        let refused = try run(in: b, "ping -c 1 -W 2 -M do -s \(1351 - headers) \(address) 2>&1 || true")
        #expect(refused.contains("mtu = 1350") || refused.contains("mtu=1350"), "\(refused)")
        #expect(try run(in: b, "ip route get \(address)").contains("mtu 1350"))
        #expect(try run(in: b, "ping -c 2 -W 2 -s 1400 \(address)").contains("2 received"))
        #expect(try second.counters()[EndpointID("b")]?.dropped[.tooBig] == 1)
    }

    @Test("a datagram that its sender lets be cut arrives once the sender knows", arguments: ["10.77.20.2", "fd77:20::2"])
    func datagrams(address: String) throws {
        let log = "/tmp/\(getpid())-datagram.log"
        defer { unlink(log) }
        let family = address.contains(":") ? "AF_INET6" : "AF_INET"
        func python(_ lines: String) -> String {
            "timeout 30 python3 -c 'import socket; s = socket.socket(socket.\(family), socket.SOCK_DGRAM); \(lines)'"
        }
        try run(in: a, "\(python("s.bind((\"\(address)\", 7)); print(len(s.recv(9000)))")) >\(log) 2>&1 & echo")
        #expect(try eventually { try run(in: a, "ss -Hlun sport = :7").contains(":7") })
        #expect(
            try eventually {
                _ = try run(in: b, python("s.sendto(bytes(1400), (\"\(address)\", 7))"))
                return try FileSystem.readText(log) == "1400\n"
            })
    }

    @Test("TCP goes on when the underlay of the receiver's host gets smaller", arguments: ["10.77.20.2", "fd77:20::2"])
    func shrinks(address: String) throws {
        var swarm = swarm
        let host = topology.path("h1")
        let report = "/tmp/\(getpid())-iperf.json"
        defer { unlink(report) }
        try run(in: a, "timeout 60 iperf3 -s -1 >/dev/null 2>&1 & echo")
        #expect(try eventually { try run(in: a, "ss -Hltn sport = :5201").contains("5201") })
        try run(in: b, "timeout 60 iperf3 -J -t 3 -c \(address) >\(report) 2>&1 & echo")
        #expect(try eventually { try run(in: a, "ss -Htn state established sport = :5201").contains("5201") })
        let size = 1340
        try run(in: host, "ip link set eth0 mtu \(size)")
        swarm.underlayMTUs[0] = try #require(MTU(size))
        // The peer hears of it in a moment; until then its packets are too big for the wire.
        try converge(first, swarm.desired(0))
        try converge(second, swarm.desired(1))
        #expect(try eventually { try FileSystem.readText(report).contains("\"sum_received\"") })
        let text = try FileSystem.readText(report)
        let speeds = text.split(separator: "\n").filter { $0.contains("\"bits_per_second\"") }
            .compactMap { $0.split(separator: ":").last.flatMap { Double($0.filter { "0123456789.e+".contains($0) }) } }
        // One of each second, twice: per stream and in sum.
        #expect(speeds.count >= 6 && speeds.allSatisfy { $0 > 1e7 }, "no second without traffic: \(speeds)")
        #expect(try run(in: b, "ip route get \(address)").contains("mtu 1290"))
    }
}
