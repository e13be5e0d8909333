import Glibc
import TestSupport
import Testing
import WeftBPF
import WeftDatapath
import WeftKernel
import WeftLinux
import WeftModel
import WeftNet

/// Published ports for the host's own processes: 8080/tcp and 8081/udp, on all of its addresses.
@Suite(
    .serialized,
    .enabled(if: getuid() == 0 && (try? ControlGroups.root()) != nil, "needs root and cgroup2: makes network namespaces"),
    .timeLimit(.minutes(3)))
final class HostSocketTests {
    private let net: ServiceFixture
    private let host: NetworkNamespace

    private static let ports = [port(8080, 80, .tcp), port(8081, 81, .udp)]

    init() throws {
        net = try ServiceFixture(.socket, ports: Self.ports)
        host = net.topology.path("h1")
    }

    private static func port(_ published: UInt16, _ target: UInt16, _ transport: PortConfig.Transport) -> PortConfig {
        var port = PortConfig(target: target)
        port.published = published
        port.transport = transport
        return port
    }

    static let addresses = ["127.0.0.1", "127.8.9.1", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"]

    @Test("connections go to all tasks, which see the node's own address", arguments: addresses)
    func connections(address: String) throws {
        let names = try net.python(
            host,
            """
            asked = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get("\(address)", "\(address)")
            own = "10.77.30.10" if "." in asked else "fd77:30::a"
            r = []
            for i in range(30):
                s = tcp("\(address)", 8080); r.append(ask(s))
                assert s.getpeername()[:2] == (asked, 8080), s.getpeername()
                assert ask(s, b"whose").replace("::ffff:", "") == own
                s.close()
            print("".join(sorted(set(r))))
            """)
        #expect(names == "bc")
    }

    @Test("datagrams, of sockets that are connected and of others", arguments: addresses)
    func datagrams(address: String) throws {
        let names = try net.python(
            host,
            """
            asked = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get("\(address)", "\(address)")
            r = set()
            for i in range(20):
                s = udp("\(address)", 8081); s.send(b"")
                assert s.getpeername()[:2] == (asked, 8081), s.getpeername()
                d, source = s.recvfrom(100); assert source[:2] == (asked, 8081), source
                r.add(d.decode())
                s = socket.socket(family("\(address)"), socket.SOCK_DGRAM); s.settimeout(20)
                for j in range(2):
                    s.sendto(b"", ("\(address)", 8081))
                    d, source = s.recvfrom(100); assert source[:2] == (asked, 8081), source
                    r.add(d.decode())
            print("".join(sorted(r)))
            """)
        #expect(names == "bc")
    }

    @Test("an ingress network without IPv6 is reached by IPv6 as well, by sockets that are connected")
    func withoutIPv6() throws {
        let net = try ServiceFixture(.socket, ports: Self.ports, hasIPv6: false)
        let told = try net.python(
            net.topology.path("h1"),
            """
            s = tcp("::1", 8080); assert s.getpeername()[:2] == ("::1", 8080) and ask(s) in "bc"
            assert ask(s, b"whose") == "::ffff:10.77.30.10"
            u = udp("::1", 8081); u.send(b"x"); d, source = u.recvfrom(9)
            assert u.getpeername()[:2] == source[:2] == ("::1", 8081) and d in (b"bx", b"cx")
            s = socket.socket(socket.AF_INET6); s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            print(told(lambda: s.connect(("::1", 8080))))
            """)
        #expect(told == "OSError")
    }

    @Test("datagrams follow the tasks at once, and without a task both are refused at once")
    func changes() throws {
        let client = try net.background(
            host,
            """
            while True:
                s = udp("127.0.0.1", 8081); s.send(b"")
                if s.recv(10) == b"b": break
            print("ready")
            wait(1); s.send(b""); print(s.recv(10).decode())
            """)
        #expect(try client.tells("ready"))
        net.swarm.turn("b", .draining)
        try net.converge()
        try client.go(1)
        #expect(try client.tells("c"))
        net.swarm.turn("c", .draining)
        try net.converge()
        #expect(
            try net.python(
                host,
                """
                s = udp("127.0.0.1", 8081); s.send(b"x")
                print(told(lambda: tcp("127.0.0.1", 8080)), told(lambda: s.recv(10)))
                """) == "ConnectionRefusedError ConnectionRefusedError")
    }

    @Test("what is not published, and other namespaces' own addresses, are left alone")
    func others() throws {
        #expect(
            try net.python(
                host,
                """
                import threading
                l = socket.socket(); l.bind(("127.0.0.1", 8082)); l.listen()
                s = tcp("127.0.0.1", 8082); c = l.accept()[0]; c.send(b"own"); print(s.recv(10).decode(), s.getpeername()[1])
                print(told(lambda: tcp("127.0.0.1", 8081)), told(lambda: tcp("172.30.0.2", 8082)))
                """) == "own 8082\nConnectionRefusedError ConnectionRefusedError")
        // A task's network namespace is on the ingress network too.
        #expect(try net.python(net.c, #"print(told(lambda: tcp("127.0.0.1", 8080)))"#) == "ConnectionRefusedError")
        // Nor is it for who asks from an address that the host has: the task could not answer there.
        #expect(
            try net.python(
                host, #"s = socket.socket(); s.bind(("127.0.0.1", 0)); print(told(lambda: s.connect(("127.0.0.1", 8080))))"#)
                == "ConnectionRefusedError")
    }
}
