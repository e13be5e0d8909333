import TestSupport
import Testing
import WeftDNS
import WeftModel
import WeftNet
import WeftWire

func ip(_ text: String) throws -> IPv4Address { try #require(IPv4Address(text)) }
func dnsName(_ text: String) throws -> DNSName { try #require(DNSName(text)) }

func network(_ name: String, _ subnet: String, _ subnet6: String? = nil, isInternal: Bool = false) throws -> Network {
    var spec = NetworkSpec(name: name)
    spec.isInternal = isInternal
    let prefix = try #require(IPv4Prefix(subnet))
    return Network(
        id: NetworkID("net-\(name)"), createdAt: Instant(nanoseconds: 0), spec: spec, vni: try #require(VNI(4096)),
        subnet: prefix, gateway: try #require(prefix.network.advanced(by: 1)),
        subnet6: subnet6.flatMap { IPv6Prefix($0) })
}

func endpoint(
    _ name: String, on network: String, _ address: String, _ ipv6: String? = nil, node: String = "here", sandbox: String? = nil,
    aliases: [String] = [], task: ServingTask? = nil
) throws -> Endpoint {
    let ipv4 = try ip(address)
    return Endpoint(
        id: EndpointID("ep-\(address)"), network: NetworkID("net-\(network)"), node: NodeID(node),
        sandbox: SandboxID(sandbox ?? "sb-\(name)"), ipv4: ipv4, ipv6: ipv6.flatMap { IPv6Address($0) },
        mac: MACAddress(forIPv4: ipv4), name: name,
        aliases: aliases, task: task)
}

/// A service with these networks, each with its aliases and its address there, if it has one; of IPv6 it has one on `other`.
func service(
    _ name: String, mode: ServiceEndpointSpec.Mode = .vip, on networks: [(name: String, aliases: [String], address: String?)],
    _ ipv6: String? = nil
) throws -> ServiceView {
    var spec = ServiceSpec(name: name, task: TaskSpec(container: ContainerSpec()))
    spec.endpoint = ServiceEndpointSpec()
    spec.endpoint?.mode = mode
    spec.task.networks = networks.map {
        var network = TaskNetwork(target: "net-\($0.name)")
        network.aliases = $0.aliases
        return network
    }
    var service = Service(id: ServiceID("svc-\(name)"), createdAt: Instant(nanoseconds: 0), spec: spec)
    service.addresses = try networks.compactMap { network in
        try network.address.map {
            VirtualAddress(
                network: NetworkID("net-\(network.name)"), ipv4: try ip($0),
                ipv6: network.name == "other" ? ipv6.flatMap { IPv6Address($0) } : nil)
        }
    }
    return ServiceView(service)
}

/// The task in a slot of a service.
func task(_ service: String, _ slot: UInt64, _ rotation: ServingTask.Rotation = .serving) -> ServingTask {
    ServingTask(service: ServiceID("svc-\(service)"), task: TaskID("\(service)-\(slot)"), slot: slot, rotation: rotation)
}

func peer(_ id: String, _ state: NodeState) -> Peer {
    Peer(id: NodeID(id), hostname: id, state: state, dataPathAddress: nil, managerAddress: nil)
}

func query(_ name: String, _ type: DNSRecordType = .a, payloadSize: UInt16? = nil) throws -> DNSMessage {
    var header = DNSHeader(id: 0x4242)
    header.recursionDesired = true
    var message = DNSMessage(header: header)
    message.questions = [DNSQuestion(name: try dnsName(name), type: type)]
    message.edns = payloadSize.map { EDNS(payloadSize: $0) }
    return message
}

/// Two hosts, here and there; `my_net` and `other` let out, `closed` does not.
///
///     my_net  10.0.1.0/24   alpine1 .2 (here)   alpine2 .3 (there)   web .4 (here) .5 .6 (there)   both .7 (here)
///     other   10.0.2.0/24   secret  .2 (there)  both    .7 (here)
///             fd00:2::/64           ::2                 ::7
///     closed  10.0.3.0/24   quiet   .2 (here)
struct World {
    var table: NameTable
    var generator = SplitMix(state: 7)

    init() throws {
        table = NameTable(
            node: NodeID("here"),
            networks: [
                try network("my_net", "10.0.1.0/24"), try network("other", "10.0.2.0/24", "fd00:2::/64"),
                try network("closed", "10.0.3.0/24", isInternal: true),
            ],
            endpoints: [
                try endpoint("alpine1", on: "my_net", "10.0.1.2", aliases: ["3f2a91c0d4e5", "db"]),
                try endpoint("Alpine2", on: "my_net", "10.0.1.3", node: "there"),
                try endpoint("web.1", on: "my_net", "10.0.1.4", aliases: ["web"]),
                try endpoint("web.2", on: "my_net", "10.0.1.5", node: "there", aliases: ["web", "web", "WEB"]),
                try endpoint("web.3", on: "my_net", "10.0.1.6", node: "there", aliases: ["web"]),
                try endpoint("both", on: "my_net", "10.0.1.7"),
                try endpoint("both", on: "other", "10.0.2.7", "fd00:2::7"),
                try endpoint("secret", on: "other", "10.0.2.2", "fd00:2::2", node: "there"),
                try endpoint("quiet", on: "closed", "10.0.3.2"),
            ],
            peers: [peer("here", .ready), peer("there", .ready)])
    }

    mutating func decide(_ query: DNSMessage, from asker: String = "10.0.1.2") throws -> Resolver.Decision {
        Resolver().answer(query, from: try ip(asker), in: table, using: &generator)
    }

    /// The reply to a query, which must be one.
    mutating func reply(
        _ name: String, _ type: DNSRecordType = .a, from asker: String = "10.0.1.2",
        _ location: SourceLocation = #_sourceLocation
    ) throws -> DNSMessage {
        guard case .reply(let message) = try decide(query(name, type), from: asker) else {
            return try #require(nil as DNSMessage?, "\(name) was not answered", sourceLocation: location)
        }
        return message
    }

    /// The addresses of a reply, ascending.
    mutating func addresses(_ name: String, from asker: String = "10.0.1.2") throws -> [String] {
        try reply(name, from: asker).answers.compactMap {
            if case .a(let address) = $0.data { address } else { nil }
        }.sorted().map(\.description)
    }
}
