import Glibc
import Testing
import WeftBPF
import WeftDatapath
import WeftKernel
import WeftLinux
import WeftModel
import WeftNet

/// A service at .100 with two backends, `b` on the other host and `c` on its client's; the drawing is in KernelTopology.swift. Each
/// backend says its name over TCP, port 80, and UDP, port 81.
final class ServiceFixture {
    static let service = ["10.77.30.100", "fd77:30::64"]

    let topology: KernelTopology
    let a: NetworkNamespace
    let b: NetworkNamespace
    let c: NetworkNamespace
    let net: NetworkID
    var swarm = TestSwarm()
    var first: KernelDatapath
    let second: KernelDatapath
    let prefix = "/tmp/\(getpid())-\(UInt32.random(in: 0 ... .max))-service"

    /// - Parameter ports: what is published; then the network is the ingress network, on which host 1 has .10 and host 2 .11.
    init(_ translation: ServiceTranslation, ports: [PortConfig] = [], hasIPv6: Bool = true) throws {
        topology = try KernelTopology()
        _ = try topology.twoHosts()
        (a, b, c) = (try topology.namespace("a"), try topology.namespace("b"), try topology.namespace("c"))
        net = try swarm.network("net", "10.77.30.0/24", vni: 4130, subnet6: hasIPv6 ? "fd77:30::/64" : nil, isIngress: !ports.isEmpty)
        try swarm.endpoint("a", on: 0, net, number: 2, in: a)
        try swarm.endpoint("b", on: 1, net, number: 3, in: b, task: Self.task(1))
        try swarm.endpoint("c", on: 0, net, number: 4, in: c, task: Self.task(2))
        if !ports.isEmpty {
            for node in 0..<2 { try swarm.hostEndpoint("own\(node)", on: node, net, number: 10 + UInt32(node)) }
        }
        try swarm.service("web", net, number: 100, ports: ports)
        (first, second) = (
            try topology.datapath("h1", translation: translation), try topology.datapath("h2", translation: translation)
        )
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

    func converge() throws {
        try NetnsTests.converge(first, swarm.desired(0))
        try NetnsTests.converge(second, swarm.desired(1))
    }

    /// Says who it is, or whose the connection is, for every message over TCP, port 80, and before what it got over UDP, port 81.
    static let server = """
        import socket, sys, threading
        name = sys.argv[1].encode()
        def serve(c):
            try:
                while d := c.recv(65536): c.send(c.getpeername()[0].encode() if d == b"whose" else name)
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
    static let client = """
        import os, socket, struct, sys, time
        def family(address): return socket.AF_INET6 if ":" in address else socket.AF_INET
        def tcp(address, port=80, source=0):
            s = socket.socket(family(address)); s.settimeout(20)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if source: s.bind(("", source))
            s.connect((address, port)); return s
        def ask(s, what=b"?"): s.sendall(what); return s.recv(100).decode()
        def udp(address, port=81):
            s = socket.socket(family(address), socket.SOCK_DGRAM); s.settimeout(20); s.connect((address, port)); return s
        def told(body):
            try: return body()
            except OSError as e: return type(e).__name__
        def wait(step):
            while not os.path.exists(gate + str(step)): time.sleep(0.02)
        def end(s): s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); s.close()
        """

    /// Runs lines of Python in a namespace and returns what they print.
    @discardableResult
    func python(_ namespace: NetworkNamespace, _ lines: String) throws -> String {
        let file = "\(prefix)-\(UInt32.random(in: 0 ... .max)).py"
        try script("(cat \(prefix)-client.py; cat <<'END'\n\(lines)\nEND\n) >\(file)")
        return String(try run(in: namespace, "timeout 100 python3 \(file)").dropLast())
    }

    /// Lines of Python that go on by themselves: they tell what they print as it comes, and `go(n)` lets them past `wait(n)`.
    func background(_ namespace: NetworkNamespace, _ lines: String) throws -> BackgroundClient {
        try BackgroundClient(prefix, namespace, lines)
    }
}

/// A client that is there for longer than a test's step.
final class BackgroundClient {
    private let file: String
    private let process: pid_t

    init(_ prefix: String, _ namespace: NetworkNamespace, _ lines: String) throws {
        file = "\(prefix)-\(UInt32.random(in: 0 ... .max))"
        try script("(cat \(prefix)-client.py; cat <<'END'\ngate = \"\(file)-go\"\n\(lines)\nEND\n) >\(file).py; : >\(file)-log")
        let started = try run(in: namespace, "timeout 150 python3 -u \(file).py >\(file)-log 2>&1 & echo $!")
        process = try #require(pid_t(started.filter(\.isNumber)))
    }

    func go(_ step: Int) throws { try script("touch \(file)-go\(step)") }

    /// Whether it prints this line before long.
    func tells(_ line: String) throws -> Bool {
        try eventually { try FileSystem.readText("\(file)-log").split(separator: "\n").contains(Substring(line)) }
    }

    deinit {
        kill(process, SIGKILL)
        _ = try? script("rm -f \(file)*")
    }
}
