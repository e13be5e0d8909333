import ArgumentParser
import Glibc
import WeftBPF
import WeftDatapath
import WeftKernel
import WeftLinux
import WeftModel
import WeftNet

/// Measures what a service's address costs against its task's own.
struct Balance: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "balance",
        abstract: "Measures connections to a service against those to its task. Needs root.",
        discussion: """
            Two hosts of its own, a client on one and a task on the other. In every round, in an order that changes: the task's own
            address; the service translated where the socket connects; the service translated at the interface; and, beside them, DNAT
            by nftables in the client's namespace, as kube-proxy makes it. Prints the median of the rounds' ratios to the task's own address,
            with their quartiles.
            """)

    @Option(help: "How many services there are, several to compare.") var services: [Int] = [1, 3001]
    @Option(help: "Number of rounds.") var rounds = 12
    @Option(help: "Seconds of each way in each round, half for requests and half for connections.") var seconds = 1

    func validate() throws {
        guard services.allSatisfy({ (1...32_000).contains($0) }) else { throw ValidationError("--services must be 1 to 32000") }
        guard (1...10_000).contains(rounds), (1...10_000).contains(seconds) else {
            throw ValidationError("--rounds and --seconds must be 1 to 10000")
        }
    }

    /// How the client comes to the task.
    enum Way: String, CaseIterable {
        case direct, socket, interface, nftables
    }

    private struct Sample {
        let (p50, p99, connections): (Double, Double, Double)
    }

    func run() throws {
        guard geteuid() == 0 else { throw BenchError("weft-bench makes network namespaces: run it as root") }
        let throughput = Throughput(program: try ownPath(), seconds: seconds)
        for count in services {
            let bed = try ServiceBed(services: count)
            var samples: [Way: [Sample]] = [:]
            for _ in 0..<rounds {
                for way in Way.allCases.shuffled() {
                    let pair = try bed.pair(way)
                    let requests = try throughput.requests(pair)
                    let sample = Sample(p50: requests.p50, p99: requests.p99, connections: try throughput.connections(pair))
                    samples[way, default: []].append(sample)
                    try bed.leave(way)
                }
            }
            print(table(count, samples))
        }
    }

    private func table(_ count: Int, _ samples: [Way: [Sample]]) -> String {
        let direct = samples[.direct] ?? []
        var lines = ["\(count) service\(count == 1 ? "" : "s"), \(rounds) rounds"]
        lines.append(left("", 11) + ["p50 µs", "p99 µs", "conn/s"].map { right($0, 10) }.joined() + "   of direct: p50, p99, conn/s")
        for way in Way.allCases {
            let all = samples[way] ?? []
            let values = [(all.map(\.p50), 1), (all.map(\.p99), 1), (all.map(\.connections), 0)]
                .map { right(decimal(median($0.0) ?? 0, $0.1), 10) }
            let ratios = [\Sample.p50, \.p99, \.connections].map { path in
                spread(zip(all, direct).map { $0[keyPath: path] / $1[keyPath: path] })
            }
            lines.append(left(way.rawValue, 11) + values.joined() + (way == .direct ? "" : "   " + ratios.joined(separator: "  ")))
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private func spread(_ ratios: [Double]) -> String {
        let (low, middle, high) = (percentile(ratios, 25), median(ratios), percentile(ratios, 75))
        return "\(decimal(middle ?? 0, 3)) [\(decimal(low ?? 0, 2)), \(decimal(high ?? 0, 2))]"
    }
}

/// Two hosts, a client on the first, a task on the second, and services: the first has the task, the others none.
private final class ServiceBed {
    private static let hosts = ["weft-bench-s1", "weft-bench-s2"]
    private static let ends = ["weft-bench-sc", "weft-bench-st"]
    private static let nodes = [NodeID("n1"), NodeID("n2")]
    private static let table = "weft_bench"

    private let network: Network
    private let services: [ServiceView]
    private let endpoints: [Endpoint]
    private var datapaths: [KernelDatapath] = []
    private var translation = ServiceTranslation.socket

    init(services count: Int) throws {
        guard let subnet = IPv4Prefix("10.77.0.0/16"), let gateway = subnet.network.advanced(by: 1), let vni = VNI(4177) else {
            throw BenchError("no network to measure in")
        }
        let network = Network(
            id: NetworkID("bench"), createdAt: Instant(nanoseconds: 0), spec: NetworkSpec(name: "bench"), vni: vni, subnet: subnet,
            gateway: gateway)
        self.network = network
        services = (0..<UInt32(count)).compactMap { number in
            subnet.network.advanced(by: 256 + number).map { address in
                var service = Service(
                    id: ServiceID("s\(number)"), createdAt: Instant(nanoseconds: 0),
                    spec: ServiceSpec(name: "s\(number)", task: TaskSpec(container: ContainerSpec())))
                service.addresses = [VirtualAddress(network: network.id, ipv4: address)]
                return ServiceView(service)
            }
        }
        endpoints = zip(Self.ends, Self.nodes).enumerated().compactMap { index, end in
            subnet.network.advanced(by: UInt32(index) + 2).map { address in
                Endpoint(
                    id: EndpointID(end.0), network: network.id, node: end.1, sandbox: SandboxID(end.0), ipv4: address,
                    mac: MACAddress(forIPv4: address), name: end.0,
                    task: index == 0
                        ? nil : ServingTask(service: ServiceID("s0"), task: TaskID("t"), slot: 1, rotation: .serving))
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

    private func makeHosts() throws {
        for name in Self.hosts + Self.ends {
            try run(["ip", "netns", "add", name])
            try run(["ip", "-n", name, "link", "set", "lo", "up"])
        }
        try run([
            "ip", "link", "add", "eth0", "netns", Self.hosts[0], "type", "veth", "peer", "name", "eth0", "netns", Self.hosts[1],
        ])
        for (index, name) in Self.hosts.enumerated() {
            try run(["ip", "-n", name, "addr", "add", "\(Self.underlay(index))/24", "dev", "eth0"])
            try run(["ip", "-n", name, "link", "set", "eth0", "up"])
        }
    }

    private static func remove() {
        for index in hosts.indices {
            try? KernelDatapath.teardown(pinDirectory: pins(index), namespace: NetworkNamespace(path: path(hosts[index])))
        }
        for name in hosts + ends { _ = try? run(["ip", "netns", "del", name]) }
    }

    /// With all that the host is to know.
    private func datapath(_ host: Int) throws -> KernelDatapath {
        let other = 1 - host
        let peer = Peer(
            id: Self.nodes[other], hostname: Self.hosts[other], state: .ready, dataPathAddress: Self.underlay(other), managerAddress: nil,
            underlayMTU: .ethernet)
        let desired = compile(
            NodeView(
                node: Self.nodes[host], host: HostConfiguration(dataPathAddress: Self.underlay(host)), underlayMTU: .ethernet,
                attachments: [
                    SandboxAttachment(endpoint: endpoints[host], namespacePath: Self.path(Self.ends[host]), interfaceNumber: 0)
                ], networks: [network], peers: [peer], endpoints: endpoints, services: services))
        let datapath = try KernelDatapath(
            pinDirectory: Self.pins(host), namespace: NetworkNamespace(path: Self.path(Self.hosts[host])), translation: translation)
        var reconciler = DatapathReconciler()
        let failures = try reconciler.reconcile(desired, with: datapath)
        if let failure = failures.first { throw BenchError("the hosts could not be made: \(failure.reason)") }
        if translation == .socket, let problem = datapath.socketsProblem { throw BenchError("no translation at the socket: \(problem)") }
        return datapath
    }

    /// Makes ready for one way; `leave` takes back what would stand in the others'.
    func pair(_ way: Balance.Way) throws -> Pair {
        let wanted = way == .socket ? ServiceTranslation.socket : .interface
        if wanted != translation {
            translation = wanted
            datapaths[0] = try datapath(0)
        }
        var pair = Pair(
            client: Self.path(Self.ends[0]), server: Self.path(Self.ends[1]), address: endpoints[1].ipv4)
        switch way {
        case .direct: break
        case .socket, .interface: pair.service = services[0].addresses[0].ipv4
        case .nftables: pair.service = try translateByNftables(pair)
        }
        return pair
    }

    func leave(_ way: Balance.Way) throws {
        if way == .nftables { try run(inside(Self.path(Self.ends[0]), ["nft", "delete", "table", "ip", Self.table])) }
    }

    /// As many services as there are, in one map: the way that kube-proxy has had since it makes nftables' rules.
    private func translateByNftables(_ pair: Pair) throws -> IPv4Address {
        let addresses = services.indices.compactMap { network.subnet.network.advanced(by: 0x8000 + UInt32($0)) }
        guard let first = addresses.first else { throw BenchError("there are no services") }
        let elements = addresses.map { "\($0) : \(pair.address)" }.joined(separator: ", ")
        let rules = """
            table ip \(Self.table) {
                map services { type ipv4_addr : ipv4_addr; elements = { \(elements) } }
                chain output {
                    type nat hook output priority -100
                    dnat to ip daddr map @services
                }
            }
            """
        let file = "/tmp/\(Self.table)-\(getpid())"
        try FileSystem.writeAtomically(Array(rules.utf8), to: file)
        defer { unlink(file) }
        try run(inside(pair.client, ["nft", "-f", file]))
        return first
    }
}
