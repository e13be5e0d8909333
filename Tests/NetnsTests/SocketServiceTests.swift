import Glibc
import TestSupport
import Testing
import WeftBPF
import WeftDatapath
import WeftKernel
import WeftLinux
import WeftModel
import WeftNet

/// Services where sockets connect. What the kernel itself says of a connection - `ss`, /proc/net/tcp - is whom it goes to; what its
/// process is told is what it asked for.
@Suite(
    .serialized,
    .enabled(if: getuid() == 0 && (try? ControlGroups.root()) != nil, "needs root and cgroup2: makes network namespaces"),
    .timeLimit(.minutes(3)))
final class SocketServiceTests {
    private let net: ServiceFixture

    init() throws { net = try ServiceFixture(.socket) }

    /// The backends' addresses, with what asks the kernel whom a connection of a client's goes to.
    private static let backends = """
        backends = {"10.77.30.3": "b", "10.77.30.4": "c", "fd77:30::3": "b", "fd77:30::4": "c"}
        def goes(s):
            port = s.getsockname()[1]
            line = os.popen("ss -Htn sport = :%d" % port).read().split()
            return line[4].rsplit(":", 1)[0].strip("[]").replace("::ffff:", "")
        """

    @Test("a socket is connected to a backend, and says that it is to the service", arguments: ServiceFixture.service)
    func connections(address: String) throws {
        #expect(net.first.socketsProblem == nil)
        let names = try net.python(
            net.a,
            """
            \(Self.backends)
            r = []
            own = "fd77:30::2" if ":" in "\(address)" else "10.77.30.2"
            for i in range(40):
                s = tcp("\(address)"); r.append(ask(s))
                assert s.getpeername()[:2] == ("\(address)", 80), s.getpeername()
                assert backends[goes(s)] == r[-1]
                assert ask(s, b"whose").replace("::ffff:", "") == own
                s.close()
            print("".join(sorted(set(r))))
            """)
        #expect(names == "bc")
    }

    @Test("whatever way a socket takes to connect")
    func sockets() throws {
        let told = try net.python(
            net.a,
            """
            \(Self.backends)
            vip = "10.77.30.100"
            # IPv4 in a socket of IPv6.
            s = socket.socket(socket.AF_INET6); s.connect(("::ffff:" + vip, 80))
            assert s.getpeername()[0] == "::ffff:" + vip and backends[goes(s)] == ask(s)
            # Without waiting for it.
            import errno, select
            s = socket.socket(); s.setblocking(False)
            assert s.connect_ex((vip, 80)) in (0, errno.EINPROGRESS)
            select.select([], [s], [], 20); s.setblocking(True)
            assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0 and backends[goes(s)] == ask(s)
            # From an address and a port of its own.
            s = socket.socket(); s.bind(("10.77.30.2", 5077)); s.connect((vip, 80))
            assert s.getsockname() == ("10.77.30.2", 5077) and s.getpeername() == (vip, 80) and backends[goes(s)] == ask(s)
            # And the same socket once more, elsewhere: what it was asked before is forgotten.
            import ctypes
            libc = ctypes.CDLL(None)
            assert libc.connect(s.fileno(), struct.pack("H14x", socket.AF_UNSPEC), 16) == 0
            s.connect(("10.77.30.3", 80))
            assert s.getpeername() == ("10.77.30.3", 80) and ask(s) == "b"
            # With data in the first segment.
            s = socket.socket(); s.sendto(b"?", 0x20000000, (vip, 80))
            assert s.getpeername() == (vip, 80) and s.recv(10).decode() == backends[goes(s)]
            # Datagrams are the interface's.
            u = udp(vip); u.send(b""); assert u.recv(10) in (b"b", b"c") and u.getpeername()[0] == vip
            print("as they should")
            """)
        #expect(told == "as they should")
    }

    @Test("a backend reaches its own service, itself among the others", arguments: ServiceFixture.service)
    func ownService(address: String) throws {
        for backend in [net.b, net.c] {
            let names = try net.python(
                backend,
                """
                r = set()
                for i in range(40):
                    s = tcp("\(address)"); r.add(ask(s)); assert s.getpeername()[0] == "\(address)"; r.add(ask(s)); s.close()
                print("".join(sorted(r)))
                """)
            #expect(names == "bc")
        }
        net.swarm.turn("c", .draining)
        try net.converge()
        #expect(
            try net.python(net.b, #"print(ask(tcp("\#(address)")), told(lambda: tcp("\#(address)", 98)))"#)
                == "b ConnectionRefusedError")
    }

    @Test("without a backend everybody is refused at once, and served as soon as there is one", arguments: ServiceFixture.service)
    func refusal(address: String) throws {
        net.swarm.turn("b", .draining)
        net.swarm.turn("c", .waiting)
        try net.converge()
        #expect(try net.python(net.a, #"print(told(lambda: tcp("\#(address)")))"#) == "ConnectionRefusedError")
        #expect(try net.first.counters()[EndpointID("a")]?.dropped[.noBackend] == 1)
        net.swarm.turn("c", .serving)
        try net.converge()
        #expect(try net.python(net.a, #"print(ask(tcp("\#(address)")))"#) == "c")
        #expect(try net.python(net.a, #"print(told(lambda: tcp("\#(address)", 98)))"#) == "ConnectionRefusedError")
    }

    @Test(
        "a connection keeps a backend that drains, and is reset when it is gone", arguments: ServiceFixture.service, ["b", "c"])
    func drain(address: String, leaving: String) throws {
        let client = try net.background(
            net.a,
            """
            while True:
                s = tcp("\(address)")
                if ask(s) == "\(leaving)": break
            print("ready")
            wait(1); print(ask(s) + " still")
            wait(2); print(told(lambda: ask(s)))
            """)
        #expect(try client.tells("ready"))
        net.swarm.turn(leaving, .draining)
        try net.converge()
        let names = #"r = set(ask(tcp("\#(address)")) for i in range(20)); print("".join(sorted(r)))"#
        #expect(try net.python(net.a, names) == (leaving == "b" ? "c" : "b"))
        try client.go(1)
        #expect(try client.tells("\(leaving) still"))
        net.swarm.remove(leaving)
        try net.converge()
        // As after hours of silence: where the backend was has to be asked for again.
        try run(in: net.a, "ip neigh flush dev eth0; ip -6 neigh flush dev eth0")
        try client.go(2)
        #expect(try client.tells("ConnectionResetError"))
    }

    @Test("a client's address alone decides, at the socket as at the interface", arguments: ServiceFixture.service)
    func bySource(address: String) throws {
        net.swarm.services = []
        try net.swarm.service("web", net.net, number: 100, isBySource: true)
        try net.converge()
        for client in [net.a, net.b, net.c] {
            let names = try net.python(
                client,
                """
                r = set()
                for i in range(10): s = tcp("\(address)"); r.add(ask(s)); s.close()
                for i in range(10): s = udp("\(address)"); s.send(b""); r.add(s.recv(10).decode())
                print("".join(sorted(r)))
                """)
            #expect(["b", "c"].contains(names))
        }
    }

    @Test("a restart leaves connections and what they are called as they were, with new maps too")
    func restart() throws {
        let client = try net.background(
            net.a,
            """
            s = tcp("10.77.30.100"); print("ready" if ask(s) in "bc" else "")
            for step in range(1, 3):
                wait(step); print(step, s.getpeername()[0], ask(s) in "bc", tcp("10.77.30.100").getpeername()[0])
            """)
        #expect(try client.tells("ready"))
        net.first = try net.topology.datapath("h1")
        try client.go(1)
        #expect(try client.tells("1 10.77.30.100 True 10.77.30.100"))
        // Interfaces alone: connections made before go on, and tell whom they go to.
        net.first = try net.topology.datapath("h1", translation: .interface)
        #expect(net.first.socketsProblem != nil)
        try net.converge()
        #expect(
            try net.python(net.a, "\(Self.backends)\ns = tcp('10.77.30.100'); print(ask(s) in 'bc', goes(s))") == "True 10.77.30.100")
        // Maps of another size are new ones: every endpoint's namespace is told of again.
        var sizes = MapSizes.small
        sizes.endpoints *= 2
        net.first = try net.topology.datapath("h1", sizes: sizes)
        try net.converge()
        #expect(
            try net.python(
                net.a, "\(Self.backends)\ns = tcp('10.77.30.100'); print(backends[goes(s)] == ask(s), s.getpeername()[0])")
                == "True 10.77.30.100")
        try client.go(2)
        #expect(try client.tells("2 10.77.30.100 True 10.77.30.100"))
    }

    @Test("each host's programs are for its own sandboxes, and go without the others'")
    func hosts() throws {
        let lines = "\(Self.backends)\ns = tcp('10.77.30.100'); print(goes(s) in backends, s.getpeername()[0])"
        #expect(try net.python(net.a, lines) == "True 10.77.30.100")
        #expect(try net.python(net.b, lines) == "True 10.77.30.100")
        // The second host's links go; its interfaces' programs stay until its datapath does.
        try run(in: net.topology.path("h2"), "rm \(net.topology.pinDirectory("h2"))/links/cgroup*")
        #expect(try net.python(net.a, lines) == "True 10.77.30.100")
        #expect(try net.python(net.b, lines) == "False 10.77.30.100")
    }

    @Test("where cgroup2 is mounted, by the lines of mountinfo")
    func mountPoints() {
        let lines = """
            25 30 0:23 / /sys rw,nosuid shared:7 - sysfs sysfs rw
            31 25 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:9 master:1 - cgroup2 cgroup2 rw,nsdelegate
            32 25 0:27 / /sys/fs/cgroup/cpu rw,nosuid shared:10 - cgroup cgroup rw,cpu
            33 30 0:26 /a /mnt/two\\040words rw - cgroup2 none rw
            """
        #expect(ControlGroups.mountPoints(in: lines) == ["/sys/fs/cgroup/unified", "/mnt/two words"])
        let both = "33 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:11 - cgroup cgroup rw,cpu,cpuacct"
        let former = ResourceGroups.version1(in: "\(lines)\n\(both)")
        #expect(former["cpu"] == "/sys/fs/cgroup/cpu" && former["cpuacct"] == "/sys/fs/cgroup/cpu,cpuacct" && former["memory"] == nil)
    }
}
