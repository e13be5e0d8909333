import Glibc
import Testing
import WeftBPF
import WeftDatapath
import WeftKernel
import WeftLinux
import WeftModel
import WeftNet
import WeftWire

/// Named namespaces of one test, removed at its end.
///
///     host 1 (172.30.0.1) ──veth── host 2 (172.30.0.2)       each host: sandboxes, by KernelDatapath
///        └──veth── outside (198.51.100.2)
final class KernelTopology {
    private let prefix: String
    private var namespaces: [String] = []
    private var pinDirectories: [String] = []
    private var tunnels: [String: TestTunnel] = [:]

    init() throws {
        prefix = "b\(getpid())\(HostSystem.randomBytes(2).map { String($0, radix: 36) }.joined())-"
        _ = try PinDirectory.mountFileSystemIfAbsent()
    }

    deinit {
        for name in namespaces.reversed() { _ = try? ChildProcess.run(["ip", "netns", "del", name]) }
        for directory in pinDirectories { try? DatapathPrograms.removeAll(pinDirectory: directory) }
    }

    func namespace(_ name: String) throws -> NetworkNamespace {
        try script("ip netns add \(prefix)\(name)")
        namespaces.append(prefix + name)
        let namespace = path(name)
        try run(in: namespace, "ip link set lo up")
        return namespace
    }

    func path(_ name: String) -> NetworkNamespace { NetworkNamespace(path: "/run/netns/\(prefix)\(name)") }

    func pinDirectory(_ name: String) -> String {
        let directory = "/sys/fs/bpf/\(prefix)\(name)"
        if !pinDirectories.contains(directory) { pinDirectories.append(directory) }
        return directory
    }

    /// Two hosts with 172.30.0.1 and .2 on `eth0` at each end of a veth.
    func twoHosts() throws -> (NetworkNamespace, NetworkNamespace) {
        let first = try namespace("h1")
        let second = try namespace("h2")
        try run(in: first, "ip link add eth0 type veth peer name eth0 netns \(prefix)h2")
        for (host, address) in [(first, "172.30.0.1"), (second, "172.30.0.2")] {
            try run(in: host, "ip addr add \(address)/24 dev eth0; ip link set eth0 up")
        }
        return (first, second)
    }

    /// A host beyond `host`, 198.51.100.2, that knows no way to the overlay.
    func outside(of host: NetworkNamespace) throws -> NetworkNamespace {
        let outside = try namespace("out")
        try run(in: host, "ip link add out0 type veth peer name eth0 netns \(prefix)out")
        try run(in: host, "ip addr add 198.51.100.1/24 dev out0; ip link set out0 up")
        try run(in: outside, "ip addr add 198.51.100.2/24 dev eth0; ip link set eth0 up")
        return outside
    }

    func datapath(
        _ name: String, sizes: MapSizes = .small, attachment: AttachmentKind? = wantedAttachment,
        translation: ServiceTranslation = .socket
    ) throws -> KernelDatapath {
        if encryptsNetworks, ["h1", "h2"].contains(name) { _ = try tunnel(name) }
        return try KernelDatapath(
            pinDirectory: pinDirectory(name), namespace: path(name), sizes: sizes, attachment: attachment,
            translation: translation)
    }
}

extension KernelTopology {
    /// What encrypts on one of two hosts, with keys for the other.
    func tunnel(_ name: String) throws -> TestTunnel {
        if let tunnel = tunnels[name] { return tunnel }
        let (own, peer) = name == "h1" ? TestSwarm.addresses : (TestSwarm.addresses.1, TestSwarm.addresses.0)
        let tunnel = try TestTunnel(in: path(name), own, peer: peer)
        tunnels[name] = tunnel
        return tunnel
    }
}

/// Runs a command line in a namespace; a failure is an error with its output.
@discardableResult
func run(in namespace: NetworkNamespace, _ command: String) throws -> String {
    try namespace.run { try script(command) }
}

@discardableResult
func script(_ command: String) throws -> String {
    let outcome = try ChildProcess.run(["sh", "-ec", command])
    guard outcome.status == 0 else { throw CommandFailure(command: command, output: outcome.output + outcome.errorOutput) }
    return outcome.output
}

/// True if `address` answers three pings.
func answers(_ address: String, from namespace: NetworkNamespace) -> Bool {
    (try? run(in: namespace, "ping -c 3 -i 0.1 -w 30 \(address) | grep -q ' 3 received'")) != nil
}

/// True if `address` answers none of three pings within a second.
func isSilent(_ address: String, from namespace: NetworkNamespace) -> Bool {
    (try? run(in: namespace, "! ping -c 3 -i 0.1 -W 1 \(address) | grep -q ' [123] received'")) != nil
}

/// Pings a hundred times a second, from the first answer until `end`.
final class PingStream {
    private let process: pid_t
    private let log = "/tmp/\(getpid())-ping-\(UInt32.random(in: 0 ... .max)).log"

    init(_ address: String, in namespace: NetworkNamespace) throws {
        let started = try run(in: namespace, "ping -n -i 0.01 -w 300 \(address) >\(log) 2>&1 & echo $!")
        process = try #require(pid_t(started.filter(\.isNumber)))
        let log = log
        try #require(try eventually { (try? FileSystem.readText(log).contains("icmp_seq=")) == true })
    }

    /// Ends it. How many were answered, and how many of those that were sent between the first and the last of these were not.
    func end() throws -> (answered: Int, lost: Int) {
        kill(process, SIGINT)
        try #require(try eventually { try FileSystem.readText(log).contains("packets transmitted") })
        let answers = try FileSystem.readText(log).split(separator: "\n").filter { $0.contains("bytes from") }
        let numbers = Set(
            answers.compactMap { line in
                line.split(separator: " ").first { $0.hasPrefix("icmp_seq=") }.flatMap { Int($0.dropFirst("icmp_seq=".count)) }
            })
        guard let first = numbers.min(), let last = numbers.max() else { return (0, 0) }
        return (numbers.count, last - first + 1 - numbers.count)
    }

    deinit {
        kill(process, SIGKILL)
        unlink(log)
    }
}

/// A swarm's knowledge, from which each node's view is cut.
struct TestSwarm {
    var networks: [Network] = []
    var endpoints: [Endpoint] = []
    var attachments: [NodeID: [SandboxAttachment]] = [:]
    let nodes = [NodeID("n1"), NodeID("n2")]
    static let addresses = (IPv4Address(rawValue: 0xac1e_0001), IPv4Address(rawValue: 0xac1e_0002))
    var services: [ServiceView] = []

    mutating func network(
        _ name: String, _ subnet: String, vni: UInt32, isInternal: Bool = false, subnet6: String? = nil,
        isIngress: Bool = false, isEncrypted: Bool = encryptsNetworks
    ) throws -> NetworkID {
        var spec = NetworkSpec(name: name)
        if isEncrypted { spec.options[NetworkSpec.encryptedOption] = "" }
        spec.isInternal = isInternal
        spec.ingress = isIngress
        let prefix = try #require(IPv4Prefix(subnet))
        networks.append(
            Network(
                id: NetworkID(name), createdAt: Instant(nanoseconds: 0), spec: spec, vni: try #require(VNI(vni)),
                subnet: prefix, gateway: try #require(prefix.network.advanced(by: 1)),
                subnet6: subnet6.flatMap { IPv6Prefix($0) },
                gateway6: subnet6.flatMap { IPv6Prefix($0)?.network.advanced(by: 1) }))
        return NetworkID(name)
    }

    /// Adds an endpoint of a node. `number` is the last octet, and the last group of the IPv6 address where there is one.
    mutating func endpoint(
        _ id: String, on node: Int, _ network: NetworkID, number: UInt32, in sandbox: NetworkNamespace, eth: Int = 0,
        task: ServingTask? = nil
    ) throws {
        let found = try #require(networks.first { $0.id == network })
        let address = try #require(found.subnet.network.advanced(by: number))
        let endpoint = Endpoint(
            id: EndpointID(id), network: network, node: nodes[node], sandbox: SandboxID(sandbox.description),
            ipv4: address, ipv6: found.subnet6?.network.advanced(by: number), mac: MACAddress(forIPv4: address), name: id,
            task: task)
        endpoints.append(endpoint)
        attachments[nodes[node], default: []].append(
            SandboxAttachment(endpoint: endpoint, namespacePath: try #require(sandbox.path), interfaceNumber: eth))
    }

    /// Adds a node's own endpoint on the ingress network.
    mutating func hostEndpoint(_ id: String, on node: Int, _ network: NetworkID, number: UInt32) throws {
        let found = try #require(networks.first { $0.id == network })
        let address = try #require(found.subnet.network.advanced(by: number))
        let endpoint = Endpoint(
            id: EndpointID(id), network: network, node: nodes[node], sandbox: .hostIngress, ipv4: address,
            ipv6: found.subnet6?.network.advanced(by: number), mac: MACAddress(forIPv4: address), name: id)
        endpoints.append(endpoint)
        attachments[nodes[node], default: []].append(SandboxAttachment(host: endpoint))
    }

    /// Adds a service with an address on a network, of both families where the network has them.
    mutating func service(
        _ name: String, _ network: NetworkID, number: UInt32, isBySource: Bool = false, ports: [PortConfig] = []
    ) throws {
        let found = try #require(networks.first { $0.id == network })
        var spec = ServiceSpec(name: name, task: TaskSpec(container: ContainerSpec()))
        if isBySource { spec.labels["weft.balance.affinity"] = "source" }
        var service = Service(id: ServiceID(name), createdAt: Instant(nanoseconds: 0), spec: spec)
        service.addresses = [
            VirtualAddress(
                network: network, ipv4: try #require(found.subnet.network.advanced(by: number)),
                ipv6: found.subnet6?.network.advanced(by: number))
        ]
        service.ports = ports
        services.append(ServiceView(service))
    }

    /// A task's endpoint changes its place in the rotation.
    mutating func turn(_ id: String, _ rotation: ServingTask.Rotation) {
        for index in endpoints.indices where endpoints[index].id.rawValue == id { endpoints[index].task?.rotation = rotation }
        for node in nodes {
            for index in (attachments[node] ?? []).indices where attachments[node]?[index].endpoint.id.rawValue == id {
                attachments[node]?[index].endpoint.task?.rotation = rotation
            }
        }
    }

    mutating func remove(_ id: String) {
        endpoints.removeAll { $0.id.rawValue == id }
        for node in nodes { attachments[node]?.removeAll { $0.endpoint.id.rawValue == id } }
    }

    /// The interfaces' by which the nodes send to each other.
    var underlayMTUs = [MTU.ethernet, .ethernet]

    func desired(_ node: Int, port: UInt16 = 4789) -> DesiredState {
        let addresses = [Self.addresses.0, Self.addresses.1]
        let peers = nodes.indices.filter { $0 != node }.map {
            Peer(
                id: nodes[$0], hostname: nodes[$0].rawValue, state: .ready, dataPathAddress: addresses[$0],
                managerAddress: nil, underlayMTU: underlayMTUs[$0])
        }
        return compile(
            NodeView(
                node: nodes[node], host: HostConfiguration(dataPathAddress: addresses[node], dataPathPort: port),
                underlayMTU: underlayMTUs[node], attachments: attachments[nodes[node]] ?? [], networks: networks, peers: peers,
                endpoints: endpoints, services: services))
    }
}

/// Brings a host to the desired state from a fresh observation and expects it to hold afterwards.
func converge(_ datapath: KernelDatapath, _ desired: DesiredState) throws {
    var reconciler = DatapathReconciler()
    let failures = try reconciler.reconcile(desired, with: datapath)
    #expect(failures.isEmpty, "\(failures.map(\.reason))")
    let rest = difference(desired: desired, observed: try datapath.observe(for: desired.host))
    #expect(rest.isEmpty, "\(rest)")
}
