import Glibc
import Testing
import WeftBPF
import WeftDatapath
import WeftKernel
import WeftLinux
import WeftModel
import WeftNet

/// Two hosts, one of which sends by an interface with a smaller MTU; the drawing is in KernelTopology.swift.
@Suite(.serialized, .enabled(if: getuid() == 0, "needs root: makes network namespaces"), .timeLimit(.minutes(5)))
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
        #expect(try run(in: b, "ping -c 2 -w 30 -M do -s \(1350 - headers) \(address)").contains("2 received"))
        // What fits b's own interface and not the tunnel: the first is told of, and the next is cut by its sender.
        let refused = try run(in: b, "ping -c 1 -W 30 -M do -s \(1351 - headers) \(address) 2>&1 || true")
        #expect(refused.contains("mtu = 1350") || refused.contains("mtu=1350"), "\(refused)")
        #expect(try run(in: b, "ip route get \(address)").contains("mtu 1350"))
        #expect(try run(in: b, "ping -c 2 -w 30 -s 1400 \(address)").contains("2 received"))
        #expect(try second.counters()[EndpointID("b")]?.dropped[.tooBig] == 1)
    }

    @Test("a datagram that its sender lets be cut arrives once the sender knows", arguments: ["10.77.20.2", "fd77:20::2"])
    func datagrams(address: String) throws {
        let log = "/tmp/\(getpid())-datagram.log"
        defer { unlink(log) }
        let family = address.contains(":") ? "AF_INET6" : "AF_INET"
        func python(_ lines: String) -> String {
            "timeout 120 python3 -c 'import socket; s = socket.socket(socket.\(family), socket.SOCK_DGRAM); \(lines)'"
        }
        try run(in: a, "\(python("s.bind((\"\(address)\", 7)); print(len(s.recv(9000)))")) >\(log) 2>&1 & echo")
        #expect(try eventually { try run(in: a, "ss -Hlun sport = :7").contains(":7") })
        #expect(
            try eventually {
                _ = try run(in: b, python("s.sendto(bytes(1400), (\"\(address)\", 7))"))
                return try FileSystem.readText(log) == "1400\n"
            })
    }

    /// How much of what b's connections sent has arrived.
    private func acknowledged() throws -> Int {
        try run(in: b, "ss -Htin dport = :5201").split { " \n\t".contains($0) }
            .compactMap { $0.hasPrefix("bytes_acked:") ? Int($0.dropFirst("bytes_acked:".count)) : nil }.max() ?? 0
    }

    @Test("TCP goes on when the underlay of the receiver's host gets smaller", arguments: ["10.77.20.2", "fd77:20::2"])
    func shrinks(address: String) throws {
        var swarm = swarm
        let host = topology.path("h1")
        try run(in: a, "timeout 240 iperf3 -s -1 >/dev/null 2>&1 & echo")
        #expect(try eventually { try run(in: a, "ss -Hltn sport = :5201").contains("5201") })
        let started = try run(in: b, "iperf3 -t 200 -c \(address) >/dev/null 2>&1 & echo $!")
        let sender = try #require(pid_t(started.filter(\.isNumber)))
        defer { kill(sender, SIGKILL) }
        #expect(try eventually { try acknowledged() > 10 << 20 })
        let size = 1340
        try run(in: host, "ip link set eth0 mtu \(size)")
        swarm.underlayMTUs[0] = try #require(MTU(size))
        // The peer hears of it in a moment; until then its packets are too big for the wire.
        try converge(first, swarm.desired(0))
        try converge(second, swarm.desired(1))
        let before = try acknowledged()
        #expect(try eventually { try acknowledged() > before + 50 << 20 })
        #expect(try run(in: b, "ip route get \(address)").contains("mtu 1290"))
    }
}
