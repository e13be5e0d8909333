import Glibc
import Testing
import WeftBPF
import WeftDatapath
import WeftKernel
import WeftLinux
import WeftModel
import WeftNet

/// Services where the interface alone translates: what holds for any program, whatever it sends.
@Suite(.serialized, .enabled(if: getuid() == 0, "needs root: makes network namespaces"), .timeLimit(.minutes(3)))
final class ServiceTests {
    private let net: ServiceFixture

    init() throws { net = try ServiceFixture(.interface) }

    @Test("connections go to all backends, and answers come from the service", arguments: ServiceFixture.service)
    func connections(address: String) throws {
        let names = try net.python(
            net.a,
            """
            r = []
            for i in range(40): s = tcp("\(address)"); r.append(ask(s)); assert s.getpeername()[0] == "\(address)"; s.close()
            print("".join(sorted(set(r))))
            """)
        #expect(names == "bc")
    }

    @Test("datagrams and their answers, whole and in fragments", arguments: ServiceFixture.service, [1, 4000])
    func datagrams(address: String, size: Int) throws {
        let names = try net.python(
            net.a,
            """
            r = set()
            for i in range(30):
                s = udp("\(address)"); s.send(b"x" * \(size)); d = s.recv(9000); assert len(d) == \(size) + 1; r.add(chr(d[0]))
            print("".join(sorted(r)))
            """)
        #expect(names == "bc")
    }

    @Test("a backend reaches its own service, itself among the others", arguments: ServiceFixture.service)
    func ownService(address: String) throws {
        for backend in [net.b, net.c] {
            let names = try net.python(
                backend,
                """
                r = set()
                for i in range(40): s = tcp("\(address)"); r.add(ask(s)); r.add(ask(s)); s.close()
                for i in range(40): s = udp("\(address)"); s.send(b"x"); r.add(chr(s.recv(9000)[0]))
                print("".join(sorted(r)))
                """)
            #expect(names == "bc")
        }
        // Alone it gets itself, and its own errors.
        net.swarm.turn("c", .draining)
        try net.converge()
        let alone = try net.python(
            net.b,
            """
            s = udp("\(address)", 99); s.send(b"x"); r = [told(lambda: s.recv(10)), told(lambda: tcp("\(address)", 98))]
            print(ask(tcp("\(address)")), *r)
            """)
        #expect(alone == "b ConnectionRefusedError ConnectionRefusedError")
    }

    @Test("much data arrives whole", arguments: ServiceFixture.service)
    func bulk(address: String) throws {
        let count = try net.python(
            net.a,
            """
            s = tcp("\(address)"); n = 0
            for i in range(200): s.sendall(b"x" * 50000)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536): n += 1
            print("whole" if n else "nothing")
            """)
        #expect(count == "whole")
        #expect(try net.first.counters().values.allSatisfy { $0.dropped[.noBackend] == nil })
    }

    @Test("a service answers ping, and its backend's errors are its own", arguments: ServiceFixture.service)
    func control(address: String) throws {
        #expect(answers(address, from: net.a))
        for _ in 0..<6 {
            #expect(
                try net.python(net.a, #"s = udp("\#(address)", 99); s.send(b"x"); print(told(lambda: s.recv(10)))"#)
                    == "ConnectionRefusedError")
        }
        #expect(try net.python(net.a, #"print(told(lambda: tcp("\#(address)", 98)))"#) == "ConnectionRefusedError")
    }

    @Test("without a backend everybody is refused at once, and served as soon as there is one", arguments: ServiceFixture.service)
    func refusal(address: String) throws {
        net.swarm.turn("b", .draining)
        net.swarm.turn("c", .waiting)
        try net.converge()
        #expect(try net.python(net.a, #"print(told(lambda: tcp("\#(address)")))"#) == "ConnectionRefusedError")
        #expect(
            try net.python(net.a, #"s = udp("\#(address)"); s.send(b"x"); print(told(lambda: s.recv(10)))"#) == "ConnectionRefusedError")
        #expect(try run(in: net.a, "ping -c 1 -W 2 \(address) 2>&1 || true").contains("nreachable"))
        #expect(try net.first.counters()[EndpointID("a")]?.dropped[.noBackend] == 3)
        net.swarm.turn("c", .serving)
        try net.converge()
        #expect(try net.python(net.a, #"print(ask(tcp("\#(address)")))"#) == "c")
        #expect(try net.python(net.b, #"print(ask(tcp("\#(address)")))"#) == "c")
    }

    @Test("a connection keeps a backend that drains, and is reset when it is gone", arguments: ServiceFixture.service)
    func drain(address: String) throws {
        let client = try net.background(
            net.a,
            """
            while True:
                s = tcp("\(address)")
                if ask(s) == "b": break
            print("ready")
            wait(1); print(ask(s))
            wait(2); print(told(lambda: ask(s)))
            """)
        #expect(try client.tells("ready"))
        net.swarm.turn("b", .draining)
        try net.converge()
        let names = #"r = set(ask(tcp("\#(address)")) for i in range(20)); print("".join(sorted(r)))"#
        #expect(try net.python(net.a, names) == "c")
        try client.go(1)
        #expect(try client.tells("b"))
        net.swarm.remove("b")
        try net.converge()
        try client.go(2)
        #expect(try client.tells("ConnectionResetError"))
    }

    @Test("datagrams follow the backends at once", arguments: ServiceFixture.service)
    func datagramsFollow(address: String) throws {
        let client = try net.background(
            net.a,
            """
            while True:
                s = udp("\(address)"); s.send(b"")
                if s.recv(10) == b"b": break
            print("ready")
            wait(1); s.send(b""); print(s.recv(10).decode())
            """)
        #expect(try client.tells("ready"))
        net.swarm.turn("b", .draining)
        try net.converge()
        try client.go(1)
        #expect(try client.tells("c"))
    }

    @Test("a connection to the backend itself, from the port of one through the service, is its own")
    func samePort() throws {
        let names = try net.python(
            net.a,
            """
            r = []
            for vip, backends in [("10.77.30.100", {"b": "10.77.30.3", "c": "10.77.30.4"}),
                                  ("fd77:30::64", {"b": "fd77:30::3", "c": "fd77:30::4"})]:
                for port in range(5000, 5006):
                    s = tcp(vip, source=port); name = ask(s); end(s)
                    d = tcp(backends[name], source=port); assert ask(d) == name; end(d)
                    s = tcp(vip, source=port); assert ask(s) == name; end(s)
                    r.append(name)
            print("".join(sorted(set(r))))
            """)
        #expect(names == "bc")
    }

    @Test("thousands of services stand in the kernel as they should, and go")
    func thousands() throws {
        let large = try net.swarm.network("large", "10.79.0.0/16", vni: 4131)
        let d = try net.topology.namespace("d")
        try net.swarm.endpoint("d", on: 0, large, number: 2, in: d)
        for number in 0..<3000 as Range<UInt32> { try net.swarm.service("s\(number)", large, number: 256 + number) }
        try net.converge()
        #expect(try net.first.observe(for: net.swarm.desired(0).host).services.count == 3001)
        #expect(try net.python(net.a, #"print(ask(tcp("10.77.30.100")) in "bc")"#) == "True")
        net.swarm.services.removeAll { $0.name != "web" }
        try net.converge()
        #expect(try net.first.observe(for: net.swarm.desired(0).host).services.count == 1)
    }
}
