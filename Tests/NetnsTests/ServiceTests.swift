import Glibc
import Testing
import WeftBPF
import WeftDatapath
import WeftKernel
import WeftLinux
import WeftModel
import WeftNet

/// A service at .100 with two backends, `b` on the other host and `c` on its client's; the drawing is in KernelTopology.swift.
@Suite(.serialized, .enabled(if: getuid() == 0, "needs root: makes network namespaces"), .timeLimit(.minutes(3)))
final class ServiceTests {
    static let service = ["10.77.30.100", "fd77:30::64"]

    private let topology: KernelTopology
    private let a: NetworkNamespace
    private let b: NetworkNamespace
    private let c: NetworkNamespace
    private let net: NetworkID
    private var swarm = TestSwarm()
    private let first: KernelDatapath
    private let second: KernelDatapath
    private let prefix = "/tmp/\(getpid())-\(UInt32.random(in: 0 ... .max))-service"

    init() throws {
        topology = try KernelTopology()
        _ = try topology.twoHosts()
        (a, b, c) = (try topology.namespace("a"), try topology.namespace("b"), try topology.namespace("c"))
        net = try swarm.network("net", "10.77.30.0/24", vni: 4130, subnet6: "fd77:30::/64")
        try swarm.endpoint("a", on: 0, net, number: 2, in: a)
        try swarm.endpoint("b", on: 1, net, number: 3, in: b, task: Self.task(1))
        try swarm.endpoint("c", on: 0, net, number: 4, in: c, task: Self.task(2))
        try swarm.service("web", net, number: 100)
        (first, second) = (try topology.datapath("h1"), try topology.datapath("h2"))
        try converge()
        try script("cat >\(prefix)-server.py <<'END'\n\(Self.server)\nEND")
        try script("cat >\(prefix)-client.py <<'END'\n\(Self.client)\nEND")
        for (name, namespace) in [("b", b), ("c", c)] {
            try run(in: namespace, "timeout 170 python3 \(prefix)-server.py \(name) >/dev/null 2>&1 & echo $! >>\(prefix)-servers")
            #expect(try eventually { try run(in: namespace, "ss -Hlun sport = :81").contains(":81") })
        }
    }

    deinit {
        _ = try? script("kill $(cat \(prefix)-servers); rm -f \(prefix)-*")
    }

    private static func task(_ slot: UInt64) -> ServingTask {
        ServingTask(service: ServiceID("web"), task: TaskID("web-\(slot)"), slot: slot, rotation: .serving)
    }

    private func converge() throws {
        try NetnsTests.converge(first, swarm.desired(0))
        try NetnsTests.converge(second, swarm.desired(1))
    }

    /// Says who it is for every message over TCP, port 80, and before what it got over UDP, port 81.
    private static let server = """
        import socket, sys, threading
        name = sys.argv[1].encode()
        def serve(c):
            try:
                while c.recv(65536): c.send(name)
            except OSError: pass
            c.close()
        t = socket.socket(socket.AF_INET6); t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        t.bind(("::", 80)); t.listen(100)
        def accept():
            while True: threading.Thread(target=serve, args=(t.accept()[0],), daemon=True).start()
        threading.Thread(target=accept, daemon=True).start()
        u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); u.bind(("::", 81))
        while True:
            data, peer = u.recvfrom(65536); u.sendto(name + data, peer)
        """

    /// What the tests' own lines use.
    private static let client = """
        import os, socket, struct, sys, time
        def family(address): return socket.AF_INET6 if ":" in address else socket.AF_INET
        def tcp(address, port=80, source=0):
            s = socket.socket(family(address)); s.settimeout(20)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if source: s.bind(("", source))
            s.connect((address, port)); return s
        def ask(s): s.sendall(b"?"); return s.recv(100).decode()
        def udp(address, port=81):
            s = socket.socket(family(address), socket.SOCK_DGRAM); s.settimeout(20); s.connect((address, port)); return s
        def told(body):
            try: return body()
            except OSError as e: return type(e).__name__
        def wait(path):
            while not os.path.exists(path): time.sleep(0.02)
        def end(s): s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); s.close()
        """

    /// Runs lines of Python in a namespace and returns what they print.
    @discardableResult
    private func python(_ namespace: NetworkNamespace, _ lines: String) throws -> String {
        let file = "\(prefix)-\(UInt32.random(in: 0 ... .max)).py"
        try script("(cat \(prefix)-client.py; cat <<'END'\n\(lines)\nEND\n) >\(file)")
        return String(try run(in: namespace, "timeout 100 python3 \(file)").dropLast())
    }

    @Test("connections go to all backends, and answers come from the service", arguments: service)
    func connections(address: String) throws {
        let names = try python(
            a,
            """
            r = []
            for i in range(40): s = tcp("\(address)"); r.append(ask(s)); assert s.getpeername()[0] == "\(address)"; s.close()
            print("".join(sorted(set(r))))
            """)
        #expect(names == "bc")
    }

    @Test("datagrams and their answers, whole and in fragments", arguments: service, [1, 4000])
    func datagrams(address: String, size: Int) throws {
        let names = try python(
            a,
            """
            r = set()
            for i in range(30):
                s = udp("\(address)"); s.send(b"x" * \(size)); d = s.recv(9000); assert len(d) == \(size) + 1; r.add(chr(d[0]))
            print("".join(sorted(r)))
            """)
        #expect(names == "bc")
    }

    @Test("a backend reaches its own service, itself among the others", arguments: service)
    func ownService(address: String) throws {
        for backend in [b, c] {
            let names = try python(
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
        swarm.turn("c", .draining)
        try converge()
        let alone = try python(
            b,
            """
            s = udp("\(address)", 99); s.send(b"x"); r = [told(lambda: s.recv(10)), told(lambda: tcp("\(address)", 98))]
            print(ask(tcp("\(address)")), *r)
            """)
        #expect(alone == "b ConnectionRefusedError ConnectionRefusedError")
    }

    @Test("much data arrives whole", arguments: service)
    func bulk(address: String) throws {
        let count = try python(
            a,
            """
            s = tcp("\(address)"); n = 0
            for i in range(200): s.sendall(b"x" * 50000)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536): n += 1
            print("whole" if n else "nothing")
            """)
        #expect(count == "whole")
        #expect(try first.counters().values.allSatisfy { $0.dropped[.noBackend] == nil })
    }

    @Test("a service answers ping, and its backend's errors are its own", arguments: service)
    func control(address: String) throws {
        #expect(answers(address, from: a))
        for _ in 0..<6 {
            #expect(
                try python(a, #"s = udp("\#(address)", 99); s.send(b"x"); print(told(lambda: s.recv(10)))"#)
                    == "ConnectionRefusedError")
        }
        #expect(try python(a, #"print(told(lambda: tcp("\#(address)", 98)))"#) == "ConnectionRefusedError")
    }

    @Test("without a backend everybody is refused at once, and served as soon as there is one", arguments: service)
    func refusal(address: String) throws {
        swarm.turn("b", .draining)
        swarm.turn("c", .waiting)
        try converge()
        #expect(try python(a, #"print(told(lambda: tcp("\#(address)")))"#) == "ConnectionRefusedError")
        #expect(
            try python(a, #"s = udp("\#(address)"); s.send(b"x"); print(told(lambda: s.recv(10)))"#) == "ConnectionRefusedError")
        #expect(try run(in: a, "ping -c 1 -W 2 \(address) 2>&1 || true").contains("nreachable"))
        #expect(try first.counters()[EndpointID("a")]?.dropped[.noBackend] == 3)
        swarm.turn("c", .serving)
        try converge()
        #expect(try python(a, #"print(ask(tcp("\#(address)")))"#) == "c")
        #expect(try python(b, #"print(ask(tcp("\#(address)")))"#) == "c")
    }

    @Test("a connection keeps a backend that drains, and is reset when it is gone", arguments: service)
    func drain(address: String) throws {
        let (log, go) = ("\(prefix)-log", "\(prefix)-go")
        defer { _ = try? script("rm -f \(log) \(go)*") }
        let file = "\(prefix)-drain.py"
        try script(
            """
            (cat \(prefix)-client.py; cat <<'END'
            while True:
                s = tcp("\(address)")
                if ask(s) == "b": break
            print("ready", flush=True)
            wait("\(go)1"); print(ask(s), flush=True)
            wait("\(go)2"); print(told(lambda: ask(s)), flush=True)
            END
            ) >\(file)
            """)
        try run(in: a, ": >\(log); timeout 100 python3 \(file) >\(log) 2>&1 & echo")
        #expect(try eventually { try FileSystem.readText(log).contains("ready") })
        swarm.turn("b", .draining)
        try converge()
        let names = #"r = set(ask(tcp("\#(address)")) for i in range(20)); print("".join(sorted(r)))"#
        #expect(try python(a, names) == "c")
        try script("touch \(go)1")
        #expect(try eventually { try FileSystem.readText(log).contains("b\n") })
        swarm.remove("b")
        try converge()
        try script("touch \(go)2")
        #expect(try eventually { try FileSystem.readText(log).contains("ConnectionResetError") })
    }

    @Test("datagrams follow the backends at once", arguments: service)
    func datagramsFollow(address: String) throws {
        let (log, go) = ("\(prefix)-udplog", "\(prefix)-udpgo")
        defer { _ = try? script("rm -f \(log) \(go)") }
        let file = "\(prefix)-follow.py"
        try script(
            """
            (cat \(prefix)-client.py; cat <<'END'
            while True:
                s = udp("\(address)"); s.send(b"")
                if s.recv(10) == b"b": break
            print("ready", flush=True)
            wait("\(go)"); s.send(b""); print(s.recv(10).decode(), flush=True)
            END
            ) >\(file)
            """)
        try run(in: a, ": >\(log); timeout 100 python3 \(file) >\(log) 2>&1 & echo")
        #expect(try eventually { try FileSystem.readText(log).contains("ready") })
        swarm.turn("b", .draining)
        try converge()
        try script("touch \(go)")
        #expect(try eventually { try FileSystem.readText(log).contains("c\n") })
    }

    @Test("a connection to the backend itself, from the port of one through the service, is its own")
    func samePort() throws {
        let names = try python(
            a,
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
        let large = try swarm.network("large", "10.79.0.0/16", vni: 4131)
        let d = try topology.namespace("d")
        try swarm.endpoint("d", on: 0, large, number: 2, in: d)
        for number in 0..<3000 as Range<UInt32> { try swarm.service("s\(number)", large, number: 256 + number) }
        try converge()
        #expect(try first.observe(for: swarm.desired(0).host).services.count == 3001)
        #expect(try python(a, #"print(ask(tcp("10.77.30.100")) in "bc")"#) == "True")
        swarm.services.removeAll { $0.name != "web" }
        try converge()
        #expect(try first.observe(for: swarm.desired(0).host).services.count == 1)
    }
}
