import Glibc
import Testing
import WeftBPF
import WeftDatapath
import WeftKernel
import WeftLinux
import WeftModel
import WeftNet
import WeftTunnel
import WeftTunnelWire

/// A network that is encrypted between two hosts; the drawing is in KernelTopology.swift. `WEFT_ENCRYPTED` makes those of all other suites so.
@Suite(.serialized, .enabled(if: getuid() == 0, "needs root: makes network namespaces"), .timeLimit(.minutes(5)))
final class EncryptedTests {
    private static let addresses = ["10.77.60.3", "fd77:60::3"]
    private static let device = KernelDatapath.tunnelName

    private let topology: KernelTopology
    private let h1, h2, a, b: NetworkNamespace
    private var swarm = TestSwarm()
    private let first, second: KernelDatapath
    private let log = "/tmp/\(getpid())-\(UInt32.random(in: 0 ... .max))-encrypted"

    init() throws {
        topology = try KernelTopology()
        (h1, h2) = try topology.twoHosts()
        (a, b) = (try topology.namespace("a"), try topology.namespace("b"))
        let net = try swarm.network("net", "10.77.60.0/24", vni: 0x12_3456, subnet6: "fd77:60::/64", isEncrypted: true)
        try swarm.endpoint("a", on: 0, net, number: 2, in: a)
        try swarm.endpoint("b", on: 1, net, number: 3, in: b)
        (first, second) = (try topology.datapath("h1"), try topology.datapath("h2"))
        try converge(first, swarm.desired(0))
        try converge(second, swarm.desired(1))
    }

    deinit { _ = try? script("rm -f \(log)*") }

    /// Everything on an interface of a host, from here until `end`.
    private final class Capture {
        let file: String
        private let process: pid_t

        init(_ file: String, in host: NetworkNamespace, interface: String = "eth0") throws {
            self.file = file
            let started = try run(
                in: host, "tcpdump --immediate-mode -Z root -U -s 0 -i \(interface) -w \(file) >\(file).log 2>&1 & echo $!")
            process = try #require(pid_t(started.filter(\.isNumber)))
            try #require(try eventually { (try? FileSystem.readText("\(file).log").contains("listening")) == true })
        }

        func end() throws {
            kill(process, SIGINT)
            try #require(try eventually { try FileSystem.readText("\(file).log").contains("packets captured") })
        }

        func count(_ filter: String) throws -> Int {
            try run(in: .current, "tcpdump -Z root -n -r \(file) '\(filter)' 2>/dev/null | wc -l").split(separator: "\n").first
                .flatMap { Int($0) } ?? 0
        }

        func has(_ marker: String) throws -> Bool { try run(in: .current, "grep -ac \(marker) \(file) || true") != "0\n" }

        deinit { kill(process, SIGKILL) }
    }

    private func packets(_ direction: String, in host: NetworkNamespace) throws -> Int {
        try run(in: host, "awk '/\(Self.device):/ { print $\(direction == "rx" ? 3 : 11) }' /proc/net/dev").split(separator: "\n").first
            .flatMap { Int($0) } ?? 0
    }

    @Test("endpoints reach each other, and what is between the hosts is encrypted alone")
    func overlay() throws {
        let capture = try Capture("\(log)-capture", in: h1)
        let (one, other) = (try topology.tunnel("h1"), try topology.tunnel("h2"))
        for address in Self.addresses {
            #expect(answers(address, from: a))
            let headers = address.contains(":") ? 48 : 28
            for size in [16, 1000, 1408 - headers] {
                #expect(
                    try run(in: a, "ping -c 2 -i 0.1 -w 30 -M do -s \(size) -p 5745465457454654 \(address)").contains(" 2 received"))
            }
        }
        #expect(try run(in: a, "ip -o link show dev eth0").contains("mtu 1408"))
        try capture.end()
        #expect(one.count(.sent) >= 18 && one.count(.received) == other.count(.sent))
        #expect(try capture.count("udp port 4500") >= 36)
        #expect(try capture.count("ip and not udp port 4500") == 0)
        #expect(try !capture.has("WEFTWEFT"))
        #expect(try first.counters()[nil]?.dropped.isEmpty == true)
    }

    @Test("a capture of all interfaces tells which interface each packet passed, and no endpoint sees a tag")
    func directions() throws {
        _ = (try topology.tunnel("h1"), try topology.tunnel("h2"))
        let (host, endpoint) = (try Capture("\(log)-any", in: h2, interface: "any"), try Capture("\(log)-inside", in: b))
        for address in Self.addresses { #expect(answers(address, from: a)) }
        try host.end()
        try endpoint.end()
        // Interfaces have their names in their host alone.
        let lines = try run(in: h2, "tcpdump -Z root -n -r \(log)-any 2>/dev/null").split(separator: "\n")
        #expect(lines.count { $0.contains(" \(Self.device) ") && $0.contains(" In ") } >= 2)
        #expect(lines.allSatisfy { $0.contains(" In ") || $0.contains(" Out ") || $0.contains(" B ") || $0.contains(" M ") }, "\(lines)")
        #expect(try endpoint.count("icmp or icmp6") >= 4)
        #expect(try endpoint.count("vlan") == 0)
    }

    @Test("much data arrives whole, in packets that the kernel has not cut", arguments: addresses)
    func bulk(address: String) throws {
        let (one, other) = (try topology.tunnel("h1"), try topology.tunnel("h2"))
        try script("head -c 20000000 /dev/urandom >\(log)-file")
        let family = address.contains(":") ? "AF_INET6" : "AF_INET"
        func python(_ lines: String) -> String { "timeout 100 python3 -c 'import socket; s = socket.socket(socket.\(family)); \(lines)'" }
        try run(
            in: b,
            python(
                "s.bind((\"\(address)\", 7)); s.listen(); c = s.accept()[0]; open(\"\(log)-copy\", \"wb\").write(c.makefile(\"rb\").read())"
            )
                + " && touch \(log)-done & echo")
        #expect(try eventually { try run(in: b, "ss -Hltn sport = :7").contains(":7") })
        let before = (try packets("tx", in: h1), try packets("rx", in: h2))
        try run(in: a, python("s.connect((\"\(address)\", 7)); s.sendfile(open(\"\(log)-file\", \"rb\"))"))
        #expect(try eventually { access("\(log)-done", F_OK) == 0 })
        try script("cmp \(log)-file \(log)-copy; rm \(log)-done \(log)-copy")
        let (given, taken) = (try packets("tx", in: h1) - before.0, try packets("rx", in: h2) - before.1)
        #expect(one.count(.sent) > 14_000 && one.count(.sent) > 4 * given, "\(one.count(.sent)) segments in \(given) packets")
        #expect(other.count(.received) > 4 * taken, "\(other.count(.received)) segments in \(taken) packets")
        // Besides these some acknowledgements.
        let counted = Int(try second.counters()[EndpointID("b")]?.receivedPackets ?? 0)
        #expect(counted > other.count(.received) * 95 / 100 && counted < other.count(.received) * 105 / 100, "\(counted)")
    }

    @Test("a congestion mark of the underlay reaches who can bear it, and what cannot is dropped")
    func congestion() throws {
        let (_, other) = (try topology.tunnel("h1"), try topology.tunnel("h2"))
        for address in Self.addresses { #expect(answers(address, from: a)) }
        try run(
            in: h1,
            """
            nft add table ip marks
            nft 'add chain ip marks output { type filter hook output priority 0; }'
            nft add rule ip marks output udp dport 4500 ip ecn set ce
            """)
        let capture = try Capture("\(log)-marks", in: b)
        // ECT(0). IPv6's class goes its own way in ping.
        for address in Self.addresses { #expect(try run(in: a, "ping -c 3 -i 0.1 -w 30 -Q 2 \(address)").contains(" 3 received")) }
        try capture.end()
        #expect(try capture.count("icmp and dst host 10.77.60.3 and ip[1] & 3 == 3") == 3)
        #expect(try capture.count("icmp6 and dst host fd77:60::3 and ip6[1] & 0x30 == 0x30 and ip6[40] == 128") == 3)
        #expect(other.count(.unacceptable) == 0)
        for address in Self.addresses { #expect(isSilent(address, from: a)) }
        #expect(other.count(.unacceptable) >= 6)
    }

    @Test("without what encrypts, or without a key, nothing leaves; with it everything goes on")
    func closed() throws {
        let capture = try Capture("\(log)-closed", in: h1)
        for address in Self.addresses { #expect(isSilent(address, from: a)) }
        #expect(try first.counters()[nil]?.dropped[.tunnelUnread] ?? 0 >= 2)
        let tunnel = try topology.tunnel("h1")
        _ = try topology.tunnel("h2")
        tunnel.setSends(false)
        for address in Self.addresses { #expect(isSilent(address, from: a)) }
        #expect(tunnel.count(.noKey) >= 2)
        #expect(try capture.count("ip") == 0)
        tunnel.setSends(true)
        for address in Self.addresses { #expect(answers(address, from: a)) }
        // Nor where the device has gone.
        try run(in: h1, "ip link del \(Self.device)")
        let sent = tunnel.count(.sent)
        for address in Self.addresses { #expect(isSilent(address, from: a)) }
        #expect(tunnel.count(.sent) == sent)
        try capture.end()
        #expect(try capture.count("ip and not udp port 4500") == 0)
        try converge(first, swarm.desired(0))
        #expect(try run(in: h1, "ip -o link show dev \(Self.device)").contains("mtu 65521"))
    }

    @Test("what comes in the clear for the network is dropped, and what is encrypted for one that is not")
    func otherKind() throws {
        _ = (try topology.tunnel("h1"), try topology.tunnel("h2"))
        var clear = swarm
        clear.networks[0].spec.options = [:]
        try converge(first, clear.desired(0))
        for address in Self.addresses { #expect(isSilent(address, from: a)) }
        #expect(try second.counters()[nil]?.dropped[.wrongTunnel, default: 0] ?? 0 >= 2)
        for address in ["10.77.60.2", "fd77:60::2"] { #expect(isSilent(address, from: b)) }
        #expect(try first.counters()[nil]?.dropped[.wrongTunnel, default: 0] ?? 0 >= 2)
        try converge(first, swarm.desired(0))
        for address in Self.addresses { #expect(answers(address, from: a)) }
    }

    @Test("a second process adopts the device and its program, and no ping is lost")
    func adoption() throws {
        _ = (try topology.tunnel("h1"), try topology.tunnel("h2"))
        // The kernel takes a while to notice that a device has a carrier, and drops what comes before.
        for address in Self.addresses { #expect(answers(address, from: a)) }
        let streams = try Self.addresses.map { try PingStream($0, in: a) }
        for _ in 0..<2 {
            for (name, node) in [("h1", 0), ("h2", 1)] {
                let observed = try topology.datapath(name).observe(for: swarm.desired(node).host)
                let operations = difference(desired: swarm.desired(node), observed: observed)
                #expect(operations.isEmpty, "\(operations)")
            }
        }
        for pings in streams {
            let (answered, lost) = try pings.end()
            #expect(answered > 0 && lost == 0)
        }
    }

    @Test("the device is put right, and what is no tunnel's is told of")
    func device() throws {
        for change in [
            "sysctl -qw net.ipv4.conf.\(Self.device).rp_filter=1", "ip link set \(Self.device) address 02:00:00:00:00:09",
        ] {
            try run(in: h1, change)
            let observed = try first.observe(for: swarm.desired(0).host)
            #expect(!difference(desired: swarm.desired(0), observed: observed).isEmpty, "\(change)")
            try converge(first, swarm.desired(0))
        }
        try run(in: h1, "ip link set \(Self.device) mtu 1500 down; sysctl -qw net.ipv6.conf.\(Self.device).disable_ipv6=0")
        try converge(first, swarm.desired(0))
        let text = try run(in: h1, "ip -o addr show dev \(Self.device); ip -o link show dev \(Self.device)")
        #expect(text.contains("mtu 65521") && text.contains(",UP") && !text.contains("inet"), "\(text)")
        try run(in: h1, "ip link del \(Self.device); ip link add \(Self.device) type veth peer name other")
        var reconciler = DatapathReconciler()
        let failures = try reconciler.reconcile(swarm.desired(0), with: first)
        #expect(failures.first?.reason.contains("ip link delete \(Self.device)") == true, "\(failures)")
        for address in Self.addresses { #expect(isSilent(address, from: a)) }
    }

    @Test("only nodes, and of a node only root, send to the port of what is encrypted")
    func port() throws {
        _ = (try topology.tunnel("h1"), try topology.tunnel("h2"))
        let other = try topology.namespace("other")
        let name = try #require(other.path?.split(separator: "/").last)
        try run(in: h2, "ip link add oth0 type veth peer name eth0 netns \(name)")
        try run(in: h2, "ip addr add 192.0.2.1/24 dev oth0; ip link set oth0 up")
        try run(in: other, "ip addr add 192.0.2.2/24 dev eth0; ip link set eth0 up; ip route add default via 192.0.2.1")
        try run(in: h1, "ip route add 192.0.2.0/24 via 172.30.0.2")
        func send(_ host: NetworkNamespace, _ who: String = "", to address: String) throws {
            try run(
                in: host,
                "\(who) /usr/bin/python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ntry: s.sendto(b\"x\" * 64, (\"\(address)\", 4500))\nexcept PermissionError: pass'"
            )
        }
        let tunnel = try topology.tunnel("h1")
        func strays() -> Int { tunnel.count(.unknownAssociation) }
        try send(other, to: "172.30.0.1")
        try send(other, to: "172.30.0.2")
        try send(h2, "setpriv --reuid 65534", to: "172.30.0.1")
        try send(b, to: "172.30.0.1")
        let after = strays()
        try send(h2, to: "172.30.0.1")
        #expect(try eventually { strays() == 1 })
        #expect(after == 0)
        #expect(try topology.tunnel("h2").count(.unknownAssociation) == 0)
    }
}
