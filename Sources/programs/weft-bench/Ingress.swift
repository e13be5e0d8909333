import ArgumentParser
import Glibc
import WeftBPF
import WeftDatapath
import WeftKernel
import WeftLinux
import WeftModel
import WeftNet

/// Measures what a published port costs that is asked at a node without a task.
struct Ingress: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ingress",
        abstract: "Measures published ports against plain routing. Needs root.",
        discussion: """
            Two hosts of its own and a client beside both; the task is on the second. In every round, in an order that changes: a server of the
            second host's own, reached by the first as a router; the port at the second host, which has the task; the port at the first, whose
            tunnel leads there; the same with answers straight from the second (dsr); and, beside them, DNAT and masquerading by nftables on the
            first host to that server of the second's own, as kube-proxy makes it. Prints the medians, and the median of the rounds' ratios
            to the first way, with their quartiles.
            """)

    @Option(help: "How many services publish a port, several to compare.") var services: [Int] = [1, 1000]
    @Option(help: "Number of rounds.") var rounds = 12
    @Option(help: "Seconds of each way in each round for a stream, and as many for requests and connections.") var seconds = 1

    func validate() throws {
        guard services.allSatisfy({ (1...20_000).contains($0) }) else { throw ValidationError("--services must be 1 to 20000") }
        guard (1...10_000).contains(rounds), (1...10_000).contains(seconds) else {
            throw ValidationError("--rounds and --seconds must be 1 to 10000")
        }
    }

    /// How the client comes to a server.
    enum Way: String, CaseIterable {
        case routed, near, far, dsr, nftables
    }

    private struct Sample {
        let (stream, p50, p99, connections): (Double, Double, Double, Double)
    }

    func run() throws {
        guard geteuid() == 0 else { throw BenchError("weft-bench makes network namespaces: run it as root") }
        let throughput = Throughput(program: try ownPath(), seconds: seconds)
        for count in services {
            let bed = try IngressBed(services: count)
            var samples: [Way: [Sample]] = [:]
            for _ in 0..<rounds {
                for way in Way.allCases.shuffled() {
                    let pair = try bed.pair(way)
                    let requests = try throughput.requests(pair)
                    let sample = Sample(
                        stream: try throughput.stream(pair, reverse: true), p50: requests.p50, p99: requests.p99,
                        connections: try throughput.connections(pair))
                    samples[way, default: []].append(sample)
                    try bed.leave(way)
                }
            }
            print(table(count, samples))
        }
    }

    private func table(_ count: Int, _ samples: [Way: [Sample]]) -> String {
        let routed = samples[.routed] ?? []
        let titles = ["down Gb/s", "p50 µs", "p99 µs", "conn/s"]
        var lines = ["\(count) service\(count == 1 ? "" : "s"), \(rounds) rounds"]
        lines.append(left("", 10) + titles.map { right($0, 10) }.joined() + "   of routed: down, p50, p99, conn/s")
        for way in Way.allCases {
            let all = samples[way] ?? []
            let values = [
                (all.map { $0.stream / 1e9 }, 2), (all.map(\.p50), 1), (all.map(\.p99), 1), (all.map(\.connections), 0),
            ].map { right(decimal(median($0.0) ?? 0, $0.1), 10) }
            let ratios = [\Sample.stream, \.p50, \.p99, \.connections].map { path in
                spread(zip(all, routed).map { $0[keyPath: path] / $1[keyPath: path] })
            }
            lines.append(left(way.rawValue, 10) + values.joined() + (way == .routed ? "" : "   " + ratios.joined(separator: "  ")))
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private func spread(_ ratios: [Double]) -> String {
        let (low, middle, high) = (percentile(ratios, 25), median(ratios), percentile(ratios, 75))
        return "\(decimal(middle ?? 0, 3)) [\(decimal(low ?? 0, 2)), \(decimal(high ?? 0, 2))]"
    }
}

/// Two hosts, a client with a link to each, a task on the second, and services that publish ports: the first has the task, the others none.
private final class IngressBed {
    private static let hosts = ["weft-bench-i1", "weft-bench-i2"]
    private static let client = "weft-bench-ic"
    private static let task = "weft-bench-it"
    private static let nodes = [NodeID("n1"), NodeID("n2")]
    private static let table = "weft_bench"
    /// What the load generators and iperf3 serve.
    private static let ports: [UInt16] = [5300, 5201]

    private let network: Network
    private var services: [ServiceView]
    private let endpoints: [Endpoint]
    private var datapaths: [KernelDatapath] = []

    init(services count: Int) throws {
        guard let subnet = IPv4Prefix("10.77.0.0/16"), let gateway = subnet.network.advanced(by: 1), let vni = VNI(4178) else {
            throw BenchError("no network to measure in")
        }
        var spec = NetworkSpec(name: "ingress")
        spec.ingress = true
        let network = Network(
            id: NetworkID("ingress"), createdAt: Instant(nanoseconds: 0), spec: spec, vni: vni, subnet: subnet, gateway: gateway)
        self.network = network
        services = (0..<UInt32(count)).compactMap { number in
            subnet.network.advanced(by: 256 + number).map { address in
                var service = Service(
                    id: ServiceID("s\(number)"), createdAt: Instant(nanoseconds: 0),
                    spec: ServiceSpec(name: "s\(number)", task: TaskSpec(container: ContainerSpec())))
                service.addresses = [VirtualAddress(network: network.id, ipv4: address)]
                service.ports = (number == 0 ? Self.ports : [UInt16(truncatingIfNeeded: 10_000 + number)]).map { number in
                    var port = PortConfig(target: number)
                    port.published = number
                    return port
                }
                return ServiceView(service)
            }
        }
        endpoints = (0..<3).compactMap { index in
            subnet.network.advanced(by: UInt32(index) + 2).map { address in
                Endpoint(
                    id: EndpointID("e\(index)"), network: network.id, node: Self.nodes[min(index, 1)],
                    sandbox: index == 2 ? SandboxID(Self.task) : .hostIngress, ipv4: address, mac: MACAddress(forIPv4: address),
                    name: "e\(index)",
                    task: index == 2 ? ServingTask(service: ServiceID("s0"), task: TaskID("t"), slot: 1, rotation: .serving) : nil)
            }
        }
        Self.remove()
        do {
            try makeHosts()
            for index in Self.hosts.indices { datapaths.append(try datapath(index)) }
        } catch {
            Self.remove()
            throw error
        }
    }

    deinit {
        datapaths = []
        Self.remove()
    }

    private static func path(_ name: String) -> String { "/run/netns/\(name)" }
    private static func pins(_ host: Int) -> String { "/sys/fs/bpf/\(hosts[host])" }
    private static func underlay(_ host: Int) -> IPv4Address { IPv4Address(rawValue: 0xac1f_4e01 + UInt32(host)) }
    /// Of the host, on its link to the client, whose own is one more.
    private static func outside(_ host: Int) -> IPv4Address { IPv4Address(rawValue: 0xac1f_5001 + UInt32(host) << 8) }

    private func makeHosts() throws {
        for name in Self.hosts + [Self.client, Self.task] {
            try run(["ip", "netns", "add", name])
            try run(["ip", "-n", name, "link", "set", "lo", "up"])
        }
        try run([
            "ip", "link", "add", "eth0", "netns", Self.hosts[0], "type", "veth", "peer", "name", "eth0", "netns", Self.hosts[1],
        ])
        for (index, name) in Self.hosts.enumerated() {
            try run(["ip", "-n", name, "addr", "add", "\(Self.underlay(index))/24", "dev", "eth0"])
            try run(["ip", "-n", name, "link", "set", "eth0", "up"])
            try run([
                "ip", "link", "add", "out0", "netns", name, "type", "veth", "peer", "name", "eth\(index)", "netns", Self.client,
            ])
            try run(["ip", "-n", name, "addr", "add", "\(Self.outside(index))/24", "dev", "out0"])
            try run(["ip", "-n", name, "link", "set", "out0", "up"])
            let own = IPv4Address(rawValue: Self.outside(index).rawValue + 1)
            try run(["ip", "-n", Self.client, "addr", "add", "\(own)/24", "dev", "eth\(index)"])
            try run(["ip", "-n", Self.client, "link", "set", "eth\(index)", "up"])
        }
        let first = IPv4Address(rawValue: Self.outside(0).rawValue + 1)
        // To the second host's own server by the first; what it answers, too. With dsr the second host's answers come by its own link.
        try run(["ip", "-n", Self.client, "route", "add", "\(Self.underlay(1))/32", "via", "\(Self.outside(0))", "src", "\(first)"])
        try run(["ip", "-n", Self.hosts[1], "route", "add", "\(first)/32", "via", "\(Self.underlay(0))"])
        for name in ["all", "eth0", "eth1"] {
            try run(inside(Self.path(Self.client), ["sysctl", "-qw", "net.ipv4.conf.\(name).rp_filter=0"]))
        }
    }

    private static func remove() {
        for index in hosts.indices {
            try? KernelDatapath.teardown(pinDirectory: pins(index), namespace: NetworkNamespace(path: path(hosts[index])))
        }
        for name in hosts + [client, task] { _ = try? run(["ip", "netns", "del", name]) }
    }

    private func desired(_ host: Int) -> DesiredState {
        let other = 1 - host
        let peer = Peer(
            id: Self.nodes[other], hostname: Self.hosts[other], state: .ready, dataPathAddress: Self.underlay(other), managerAddress: nil,
            underlayMTU: .ethernet)
        var attachments = [SandboxAttachment(host: endpoints[host])]
        if host == 1 {
            attachments.append(SandboxAttachment(endpoint: endpoints[2], namespacePath: Self.path(Self.task), interfaceNumber: 0))
        }
        return compile(
            NodeView(
                node: Self.nodes[host], host: HostConfiguration(dataPathAddress: Self.underlay(host)), underlayMTU: .ethernet,
                attachments: attachments, networks: [network], peers: [peer], endpoints: endpoints, services: services))
    }

    /// With all that the host is to know.
    private func datapath(_ host: Int) throws -> KernelDatapath {
        let datapath = try KernelDatapath(
            pinDirectory: Self.pins(host), namespace: NetworkNamespace(path: Self.path(Self.hosts[host])))
        try reconcile(host, datapath)
        return datapath
    }

    private func reconcile(_ host: Int, _ datapath: KernelDatapath) throws {
        var reconciler = DatapathReconciler()
        let failures = try reconciler.reconcile(desired(host), with: datapath)
        if let failure = failures.first { throw BenchError("the hosts could not be made: \(failure.reason)") }
        if let conflict = datapath.portConflicts.values.first { throw BenchError(conflict) }
    }

    /// Makes ready for one way; `leave` takes back what would stand in the others'.
    func pair(_ way: Ingress.Way) throws -> Pair {
        let client = Self.path(Self.client)
        let own = Pair(client: client, server: Self.path(Self.hosts[1]), address: Self.underlay(1))
        var published = Pair(client: client, server: Self.path(Self.task), address: endpoints[2].ipv4)
        switch way {
        // The hosts' own servers have the ports that are published.
        case .routed:
            try publish([])
            return own
        case .nftables:
            var pair = own
            try publish([])
            try translateByNftables()
            pair.service = Self.outside(0)
            return pair
        case .near: published.service = Self.outside(1)
        case .far: published.service = Self.outside(0)
        case .dsr:
            published.service = Self.outside(0)
            try publish(labels: [IngressLabels.directKey: "true"])
            // The client's address on its link to the first host, by its link to the second.
            let first = IPv4Address(rawValue: Self.outside(0).rawValue + 1)
            try run(["ip", "-n", Self.hosts[1], "route", "replace", "\(first)/32", "dev", "out0"])
        }
        return published
    }

    func leave(_ way: Ingress.Way) throws {
        let first = IPv4Address(rawValue: Self.outside(0).rawValue + 1)
        switch way {
        case .near, .far: break
        case .dsr:
            try publish()
            try run(["ip", "-n", Self.hosts[1], "route", "replace", "\(first)/32", "via", "\(Self.underlay(0))"])
        case .nftables:
            try run(inside(Self.path(Self.hosts[0]), ["nft", "delete", "table", "ip", Self.table]))
            try publish()
        case .routed: try publish()
        }
    }

    private func publish(_ ports: [UInt16] = IngressBed.ports, labels: [String: String] = [:]) throws {
        services[0].labels = labels
        services[0].ports = ports.map { number in
            var port = PortConfig(target: number)
            port.published = number
            return port
        }
        for (host, datapath) in datapaths.enumerated() { try reconcile(host, datapath) }
    }

    /// As many published ports as there are, in one map, and the first host's address in the place of the client's.
    private func translateByNftables() throws {
        let ports = Self.ports + services.dropFirst().compactMap { $0.ports.first?.published }
        let elements = ports.map { "\($0) : \(Self.underlay(1))" }.joined(separator: ", ")
        let rules = """
            table ip \(Self.table) {
                map ports { type inet_service : ipv4_addr; elements = { \(elements) } }
                chain prerouting {
                    type nat hook prerouting priority -100
                    ip daddr \(Self.outside(0)) dnat to tcp dport map @ports
                }
                chain postrouting {
                    type nat hook postrouting priority 100
                    ct status dnat masquerade
                }
            }
            """
        let file = "/tmp/\(Self.table)-\(getpid())"
        try FileSystem.writeAtomically(Array(rules.utf8), to: file)
        defer { unlink(file) }
        try run(inside(Self.path(Self.hosts[0]), ["nft", "-f", file]))
    }
}
