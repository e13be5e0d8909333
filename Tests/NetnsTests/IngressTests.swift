import Glibc
import Testing
import WeftBPF
import WeftDatapath
import WeftKernel
import WeftLinux
import WeftModel
import WeftNet

/// A service whose ports 8080 and 8090 are published at two hosts. Its tasks are `b` on the second host and `c` on the first; the client is
/// beyond the first, and knows nothing of the overlay. The drawing is in KernelTopology.swift.
@Suite(.serialized, .enabled(if: getuid() == 0, "needs root: makes network namespaces"), .timeLimit(.minutes(3)))
final class IngressTests {
    static let asked = ["198.51.100.1", "2001:db8:9::1"]

    let topology: KernelTopology
    let (h1, h2, out): (NetworkNamespace, NetworkNamespace, NetworkNamespace)
    let (b, c): (NetworkNamespace, NetworkNamespace)
    var swarm = TestSwarm()
    /// A later one takes the ports over when it goes.
    var first: KernelDatapath
    let second: KernelDatapath
    let prefix = "/tmp/\(getpid())-\(UInt32.random(in: 0 ... .max))-ingress"

    init() throws {
        topology = try KernelTopology()
        (h1, h2) = try topology.twoHosts()
        out = try topology.outside(of: h1)
        try run(in: h1, "ip addr add 198.51.100.9/32 dev out0; ip -6 addr add 2001:db8:9::1/64 dev out0 nodad")
        try run(in: out, "ip -6 addr add 2001:db8:9::2/64 dev eth0 nodad; ip route add default via 198.51.100.1")
        (b, c) = (try topology.namespace("b"), try topology.namespace("c"))
        let ingress = try swarm.network(
            "ingress", "10.77.40.0/24", vni: 4140, subnet6: "fd77:40::/64", isIngress: true)
        // The tasks' way out is another network's.
        let net = try swarm.network("net", "10.77.41.0/24", vni: 4141)
        for (name, node, number, space) in [("b", 1, 3, b), ("c", 0, 4, c)] as [(String, Int, UInt32, NetworkNamespace)] {
            try swarm.endpoint("\(name)-net", on: node, net, number: number, in: space, eth: 0)
            try swarm.endpoint(name, on: node, ingress, number: number, in: space, eth: 1, task: Self.task(UInt64(number)))
        }
        try swarm.hostEndpoint("own1", on: 0, ingress, number: 11)
        try swarm.hostEndpoint("own2", on: 1, ingress, number: 12)
        try swarm.service("web", ingress, number: 100)
        swarm.services[0].ports = [Self.port(8080, 80, .tcp), Self.port(8090, 80, .tcp), Self.port(8080, 81, .udp)]
        (first, second) = (try topology.datapath("h1"), try topology.datapath("h2"))
        try converge()
        try script("cat >\(prefix)-server.py <<'END'\n\(ServiceFixture.server)\nEND")
        try script("cat >\(prefix)-client.py <<'END'\n\(ServiceFixture.client)\nEND")
        for (name, namespace) in [("b", b), ("c", c)] {
            try run(in: namespace, "timeout 170 python3 \(prefix)-server.py \(name) >/dev/null 2>&1 & echo $! >>\(prefix)-servers")
            #expect(try eventually { try run(in: namespace, "ss -Hlun sport = :81").contains(":81") })
        }
    }

    deinit { _ = try? script("kill $(cat \(prefix)-servers); rm -f \(prefix)-*") }

    static func task(_ slot: UInt64) -> ServingTask {
        ServingTask(service: ServiceID("web"), task: TaskID("web-\(slot)"), slot: slot, rotation: .serving)
    }

    static func port(_ published: UInt16, _ target: UInt16, _ transport: PortConfig.Transport) -> PortConfig {
        var port = PortConfig(target: target)
        port.published = published
        port.transport = transport
        return port
    }

    func converge() throws {
        try NetnsTests.converge(first, swarm.desired(0))
        try NetnsTests.converge(second, swarm.desired(1))
    }

    @discardableResult
    func python(_ namespace: NetworkNamespace, _ lines: String) throws -> String {
        let file = "\(prefix)-\(UInt32.random(in: 0 ... .max)).py"
        try script("(cat \(prefix)-client.py; cat <<'END'\n\(lines)\nEND\n) >\(file)")
        return String(try run(in: namespace, "timeout 100 python3 \(file)").dropLast())
    }

    func client(of asked: String) -> String { asked.contains(":") ? "2001:db8:9::2" : "::ffff:198.51.100.2" }

    @Test("tasks here and elsewhere answer at the host's address, and see the client's own", arguments: asked)
    func connections(asked: String) throws {
        let told = try python(
            out,
            """
            names = set(); whose = set()
            for i in range(40):
                s = tcp("\(asked)", 8080); names.add(ask(s)); whose.add(ask(s, b"whose")); s.close()
            print("".join(sorted(names)), *whose)
            """)
        #expect(told == "bc \(client(of: asked))")
    }

    @Test("datagrams and their answers, whole and in fragments", arguments: asked, [1, 4000])
    func datagrams(asked: String, size: Int) throws {
        // What does not fit the tunnel is told, and sent in smaller parts the next time.
        let names = try python(
            out,
            """
            r = set()
            for i in range(40):
                s = udp("\(asked)", 8080); s.settimeout(2)
                for attempt in range(5):
                    try: s.send(b"x" * \(size)); d = s.recv(9000); break
                    except OSError: pass
                assert len(d) == \(size) + 1; r.add(chr(d[0]))
            print("".join(sorted(r)))
            """)
        #expect(names == "bc")
    }

    @Test("much data arrives whole, both ways", arguments: asked)
    func bulk(asked: String) throws {
        for _ in 0..<4 {
            let count = try python(
                out,
                """
                s = tcp("\(asked)", 8080); n = 0
                for i in range(100): s.sendall(b"x" * 50000)
                s.shutdown(socket.SHUT_WR)
                while s.recv(65536): n += 1
                print("whole" if n else "nothing")
                """)
            #expect(count == "whole")
        }
    }

    @Test("connections that are the same but for what they ask are kept apart")
    func samePort() throws {
        let names = try python(
            out,
            """
            r = set()
            for port in range(5000, 5010):
                s = [tcp(a, p, source=port) for a, p in
                     [("198.51.100.1", 8080), ("198.51.100.1", 8090), ("198.51.100.9", 8080), ("198.51.100.9", 8090)]]
                for i in range(2): r |= {ask(x) for x in s}
                for x in s: end(x)
            print("".join(sorted(r)))
            """)
        #expect(names == "bc")
    }

    @Test("without a task everybody is refused at once, and served as soon as there is one", arguments: asked)
    func refusal(asked: String) throws {
        swarm.turn("b", .draining)
        swarm.turn("c", .waiting)
        try converge()
        #expect(try python(out, #"print(told(lambda: tcp("\#(asked)", 8080)))"#) == "ConnectionRefusedError")
        #expect(
            try python(out, #"s = udp("\#(asked)", 8080); s.send(b"x"); print(told(lambda: s.recv(10)))"#)
                == "ConnectionRefusedError")
        swarm.turn("b", .serving)
        try converge()
        #expect(try python(out, #"print(ask(tcp("\#(asked)", 8080)))"#) == "b")
    }

    @Test("the task's own errors are the host's to the client", arguments: asked)
    func errors(asked: String) throws {
        swarm.services[0].ports = [Self.port(8080, 98, .tcp), Self.port(8080, 99, .udp)]
        try converge()
        for _ in 0..<6 {
            #expect(try python(out, #"print(told(lambda: tcp("\#(asked)", 8080)))"#) == "ConnectionRefusedError")
            #expect(
                try python(out, #"s = udp("\#(asked)", 8080); s.send(b"x"); print(told(lambda: s.recv(10)))"#)
                    == "ConnectionRefusedError")
        }
    }

    @Test("a connection keeps a task that drains, and is reset when it is gone", arguments: asked)
    func drain(asked: String) throws {
        let client = try BackgroundClient(
            prefix, out,
            """
            while True:
                s = tcp("\(asked)", 8080)
                if ask(s) == "b": break
            print("ready"); wait(1); print("kept", ask(s)); wait(2); print(told(lambda: ask(s)))
            """)
        #expect(try client.tells("ready"))
        swarm.turn("b", .draining)
        try converge()
        let names = #"r = set(ask(tcp("\#(asked)", 8080)) for i in range(20)); print("".join(sorted(r)))"#
        #expect(try python(out, names) == "c")
        try client.go(1)
        #expect(try client.tells("kept b"))
        swarm.remove("b")
        try converge()
        try client.go(2)
        #expect(try client.tells("ConnectionResetError"))
    }

    @Test("an interface that comes later is an entrance, too, and so is another bridge's container")
    func laterInterfaces() throws {
        try run(
            in: h1,
            """
            ip link add br9 type bridge; ip addr add 192.0.2.1/24 dev br9; ip link set br9 up
            ip link add v9 type veth peer name v9b; ip link set v9 master br9 up
            """)
        let guest = try topology.namespace("guest")
        try run(in: h1, "ip link set v9b netns \(try #require(guest.path?.split(separator: "/").last))")
        try run(in: guest, "ip addr add 192.0.2.2/24 dev v9b; ip link set v9b up")
        let ask = #"print(told(lambda: ask(tcp("192.0.2.1", 8080)) in "bc"))"#
        #expect(try eventually { try python(guest, ask) == "True" })
    }

    @Test("a published port is held, and one that is taken stays its holder's, which is told")
    func ports() throws {
        let bind = #"import socket; s = socket.socket(); s.bind(("", 8080))"#
        #expect(throws: (any Error).self) { try run(in: h1, "python3 -c '\(bind)' 2>/dev/null") }
        let holder = try run(
            in: h1, "python3 -c 'import socket,time; s = socket.create_server((\"\", 8099)); time.sleep(99)' >/dev/null & echo $!")
        let process = try #require(pid_t(holder.filter(\.isNumber)))
        defer { kill(process, SIGKILL) }
        #expect(try eventually { try run(in: h1, "ss -Hltn sport = :8099").contains("8099") })
        swarm.services[0].ports.append(Self.port(8099, 80, .tcp))
        let desired = swarm.desired(0)
        var reconciler = DatapathReconciler()
        #expect(try reconciler.reconcile(desired, with: first).isEmpty)
        let sentence = try #require(first.portConflicts[PublishedAt(.tcp, 8099)])
        #expect(sentence.contains("port 8099") && sentence.contains("python3"))
        #expect(try python(out, #"print(ask(tcp("198.51.100.1", 8080)) in "bc")"#) == "True")
        kill(process, SIGKILL)
        #expect(try eventually { try !run(in: h1, "ss -Hltn sport = :8099").contains("8099") })
        reconciler.forget()
        #expect(try reconciler.reconcile(desired, with: first).isEmpty)
        #expect(first.portConflicts.isEmpty)
        #expect(try python(out, #"print(ask(tcp("198.51.100.1", 8099)) in "bc")"#) == "True")
    }

    @Test("a stranger's packet gets in by the ingress network alone, and nothing is left when no port is published")
    func end() throws {
        swarm.services[0].ports = []
        try converge()
        #expect(try python(out, #"print(told(lambda: tcp("198.51.100.1", 8080)))"#) == "ConnectionRefusedError")
        let state = try first.observe(for: swarm.desired(0).host)
        #expect(state.published.isEmpty && state.strayPrograms.isEmpty)
        try run(in: h1, "python3 -c 'import socket; socket.create_server((\"\", 8080))'")
    }
}
