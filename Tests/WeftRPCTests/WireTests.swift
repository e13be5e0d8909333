import FoundationEssentials
import SwiftProtobuf
import TestSupport
import Testing
import WeftModel
import WeftNet

@testable import WeftRPC

private func endpoint(_ id: String = "e1", ipv6: IPv6Address? = nil) -> Endpoint {
    Endpoint(
        id: EndpointID(id), version: Version(7), network: NetworkID("n1"), node: NodeID("h1"), sandbox: SandboxID("s1"),
        ipv4: IPv4Address(rawValue: 0x0a01_0002), ipv6: ipv6, mac: MACAddress(rawValue: 0x0242_0a01_0002), name: "a1",
        aliases: ["web", "0123456789ab"])
}

private func network(withIPv6: Bool) throws -> Network {
    var spec = NetworkSpec(name: "my_net")
    spec.labels = ["a": "b", "c": ""]
    spec.attachable = true
    spec.encryptedByDefault = true
    spec.isInternal = true
    spec.ingress = true
    spec.options = ["com.docker.network.driver.mtu": "1400"]
    let subnet = try #require(IPv4Prefix("10.1.0.0/16"))
    let range = try #require(IPv4Prefix("10.1.4.0/24"))
    let gateway = try #require(IPv4Address("10.1.0.1"))
    spec.ipam = IPAMConfig(subnet: subnet, range: range, gateway: gateway)
    spec.ipam.auxiliaryAddresses = ["router": try #require(IPv4Address("10.1.0.9"))]
    let subnet6 = withIPv6 ? IPv6Prefix("fd00:0:0:1::/64") : nil
    let gateway6 = subnet6?.network.advanced(by: 1)
    if withIPv6 {
        spec.ipam6 = IPAMConfig(subnet: subnet6, range: IPv6Prefix("fd00:0:0:1:8000::/65"), gateway: gateway6)
        spec.ipam6?.auxiliaryAddresses = ["router": try #require(IPv6Address("fd00:0:0:1::9"))]
    }
    var network = Network(
        id: NetworkID("n1"), version: Version(3), createdAt: Instant(nanoseconds: 1_700_000_000_123_456_789),
        spec: spec,
        vni: try #require(VNI(4097)), subnet: subnet, gateway: gateway, subnet6: subnet6, gateway6: gateway6)
    network.updatedAt = Instant(nanoseconds: 1_700_000_000_999_999_999)
    return network
}

private let statement = SignedStatement(
    version: Version(7), node: NodeID("h1"), statement: StatementID(epoch: .max, incarnation: 5 << 100 | 1), signedBytes: [0, 1, 255],
    signature: [2], certificatesPEM: "PEM")

private func assignments() throws -> Assignments {
    var result = Assignments(isFull: true, baseRevision: Version(4), revision: Version(9))
    result.cluster = ClusterView(
        id: ClusterID("c"), dataPathPort: 4789, heartbeatSeconds: 5, rootCertificatesPEM: "PEM", keyEpoch: 3)
    result[SignedStatement.self].put = [statement]
    result[SignedStatement.self].removed = ["h1/2/ab"]
    result[KeyReadiness.self].put = [
        KeyReadiness(
            id: NodeID("h1"), version: Version(8), readiness: Readiness(statement: statement.statement, through: Version(7)))
    ]
    result.networks = [try network(withIPv6: false), try network(withIPv6: true)]
    result.removedNetworks = [NetworkID("gone")]
    result.peers = NodeState.all.enumerated().map { index, state in
        Peer(
            id: NodeID("h\(index)"), hostname: "host\(index)", state: state,
            dataPathAddress: index == 0 ? nil : IPv4Address(rawValue: UInt32(index)),
            managerAddress: index == 1 ? "10.0.0.1:2377" : nil)
    }
    result.removedPeers = [NodeID("old")]
    result.endpoints = [endpoint(), endpoint("e2", ipv6: IPv6Address("fd00:0:0:1::2"))]
    result.removedEndpoints = [EndpointID("e0")]
    result.leases = [
        AddressLease(
            network: NetworkID("n1"), block: try #require(AnyIPPrefix("10.1.4.0/28")), node: NodeID("h1"),
            version: Version(2)),
        AddressLease(
            network: NetworkID("n1"), block: try #require(AnyIPPrefix("fd00:0:0:1:8000::/122")), node: NodeID("h1"),
            version: Version(2)),
    ]
    result.removedLeases = ["n1/10.1.5.0/28"]
    return result
}

extension NodeState { fileprivate static var all: [NodeState] { [.unknown, .down, .ready, .disconnected] } }

@Suite("Messages on the wire") struct WireTests {
    @Test("carry every node message unchanged")
    func nodeMessages() throws {
        var full = description
        full.engineVersion = "28.2"
        full.returnsAddresses = true
        full.engineLabels = ["rack": "7"]
        full.pathConditions = [PathCondition(peer: NodeID("n2"), fault: .large, port: 4500, length: 1400)]
        full.routes = [try #require(IPv4Prefix("192.168.0.0/16")), try #require(IPv4Prefix("0.0.0.0/0"))]
        let messages: [NodeMessage] = [
            .hello(
                full, dataPathAddress: IPv4Address(rawValue: .max), appliedRevision: Version(.max),
                endpoints: [endpoint()]),
            .heartbeat(appliedRevision: Version(3)),
            .endpointsChanged(added: [endpoint()], removed: [EndpointID("x")]),
            .leaseRequest(.max, SubnetID(NetworkID("n"), .v4), address: nil),
            .leaseRequest(1, SubnetID(NetworkID("n"), .v4), address: .v4(IPv4Address(rawValue: 0))),
            .leaseRequest(2, SubnetID(NetworkID("n"), .v6), address: nil),
            .leaseRequest(3, SubnetID(NetworkID("n"), .v6), address: .v6(IPv6Address(rawValue: 0))),
            .leaseRequest(4, SubnetID(NetworkID("n"), .v4), address: nil, isSpare: true),
            .leasesReturned(["a/10.0.0.0/28"]),
            .addressesReturned(5, SubnetID(NetworkID("n"), .v4), .v4(try #require(IPv4Prefix("10.0.0.4/30")))),
            .addressesReturned(6, SubnetID(NetworkID("n"), .v6), .v6(try #require(IPv6Prefix("fd00::4/128")))),
            .addressesKept(7, reason: "endpoint web has it"), .resyncRequest, .descriptionChanged(full), .leaving,
            .keysStated(statement), .keysReady(Readiness(statement: statement.statement, through: Version(12))),
        ]
        for message in messages {
            let bytes: [UInt8] = try Weft_V1_NodeMessage(message).serializedBytes()
            #expect(try read(Weft_V1_NodeMessage(serializedBytes: bytes)) == message)
        }
    }

    @Test("carry every manager message unchanged")
    func managerMessages() throws {
        let messages: [ManagerMessage] = [
            .assignments(try assignments()),
            .assignments(Assignments(isFull: false, baseRevision: .none, revision: Version(1))), .leaseGranted(5),
            .leaseRefused(6, reason: "the network is full"),
            .addressesWanted(7, SubnetID(NetworkID("n"), .v4), address: nil),
            .addressesWanted(8, SubnetID(NetworkID("n"), .v4), address: .v4(IPv4Address(rawValue: 5))),
            .addressesWanted(9, SubnetID(NetworkID("n"), .v6), address: .v6(IPv6Address(rawValue: 5))),
            .endpointRefused(EndpointID("e1"), reason: "it is not"),
            .goodbye(reason: "removed"),
        ]
        for message in messages {
            let bytes: [UInt8] = try Weft_V1_ManagerMessage(message).serializedBytes()
            #expect(try read(Weft_V1_ManagerMessage(serializedBytes: bytes)) == message)
        }
    }

    @Test("leave out what makes no sense, by the field's path, and keep the rest")
    func hostileValues() throws {
        typealias Change = (inout Weft_V1_Assignments) -> Void
        let cases: [(String, Change)] = [
            ("assignments.revision", { $0.revision = -1 }),
            ("assignments.base_revision", { $0.baseRevision = .min }),
            ("assignments.cluster.data_path_port", { $0.cluster.dataPathPort = 70000 }),
            ("assignments.cluster.data_path_port", { $0.cluster.dataPathPort = 0 }),
            ("assignments.cluster.heartbeat_seconds", { $0.cluster.heartbeatSeconds = 0 }),
            ("assignments.networks[0].vni", { $0.networks[0].vni = 1 << 24 }),
            ("assignments.networks[0].id", { $0.networks[0].id = "" }),
            ("assignments.networks[0].spec", { $0.networks[0].clearSpec() }),
            ("assignments.networks[0].subnet", { $0.networks[0].clearSubnet() }),
            ("assignments.networks[0].subnet", { $0.networks[0].subnet.length = 33 }),
            ("assignments.networks[0].subnet", { $0.networks[0].subnet.length = .max }),
            ("assignments.networks[0].subnet", { $0.networks[0].subnet.network = 0x0a01_0001 }),
            ("assignments.networks[0].spec.ipam.range", { $0.networks[0].spec.ipam.range.length = 99 }),
            ("assignments.removed_networks[0]", { $0.removedNetworks[0] = "a b" }),
            ("assignments.peers[1].state", { $0.peers[1].state = .unspecified }),
            ("assignments.peers[2].id", { $0.peers[2].id = String(repeating: "x", count: 129) }),
            ("assignments.endpoints[1].mac", { $0.endpoints[1].mac = 1 << 48 }),
            ("assignments.endpoints[0].version", { $0.endpoints[0].version = -5 }),
            ("assignments.endpoints[0].sandbox", { $0.endpoints[0].sandbox = "../x" }),
            ("assignments.endpoints[0].aliases[1]", { $0.endpoints[0].aliases[1] = "\u{1b}[2J" }),
            ("assignments.endpoints[1].name", { $0.endpoints[1].name = String(repeating: "n", count: 256) }),
            ("assignments.removed_endpoints[0]", { $0.removedEndpoints[0] = "\u{0}" }),
            ("assignments.networks[1].subnet6", { $0.networks[1].subnet6.clearNetwork6() }),
            ("assignments.networks[1].subnet6", { $0.networks[1].subnet6.length = 129 }),
            ("assignments.networks[1].subnet", { $0.networks[1].subnet.network6 = .init(repeating: 0, count: 16) }),
            ("assignments.networks[1].gateway6", { $0.networks[1].gateway6 = .init(repeating: 1, count: 15) }),
            ("assignments.networks[1].spec.ipam6.gateway", { $0.networks[1].spec.ipam6.gateway = .init() }),
            ("assignments.endpoints[1].ipv6", { $0.endpoints[1].ipv6 = .init(repeating: 1, count: 17) }),
            ("assignments.leases6[0].block", { $0.leases6[0].block.network6 = .init(repeating: 255, count: 16) }),
            ("assignments.leases[1].block", { $0.leases.append($0.leases6[0]) }),
            ("assignments.leases[0].block", { $0.leases[0].clearBlock() }),
            ("assignments.leases[0].node", { $0.leases[0].node = "ü" }),
        ]
        for (field, change) in cases {
            var message = Weft_V1_ManagerMessage(.assignments(try assignments()))
            change(&message.assignments)
            var skipped: [WireError] = []
            do throws(WireError) {
                let rest = try Assignments(wire: message.assignments, "assignments", &skipped)
                #expect(skipped.map(\.field) == [field])
                // One object or one part of it is missing, and nothing else.
                let sent = message.assignments
                #expect(rest.size == sent.size - 1 || rest.aliases == sent.aliases - 1, "\(field)")
            } catch {
                // What cannot be left out: the set's own fields.
                #expect(error.field == field)
                #expect(field.hasPrefix("assignments.cluster") || field.hasSuffix("revision"))
            }
        }
        var negative = Weft_V1_NodeMessage(hello)
        negative.hello.description_p.memoryBytes = -1
        #expect(throws: WireError(field: "hello.description.memory_bytes", problem: "-1 is negative")) {
            try read(negative)
        }
        var bare = Weft_V1_NodeMessage()
        bare.hello = .init()
        #expect(throws: WireError(field: "hello.description", problem: "missing")) { try read(bare) }
        let nothing = WireError(field: "body", problem: "missing, or of a kind that this version does not know")
        #expect(throws: nothing) { try read(Weft_V1_NodeMessage()) }
        #expect(throws: nothing) { try read(Weft_V1_ManagerMessage()) }
    }

    @Test("list a bounded number of what is wrong, count the rest, and name objects by no more than an id's length")
    func manyErrors() throws {
        var wire = Weft_V1_NodeMessage()
        wire.endpointsChanged.removed = .init(repeating: "no id", count: 10)
        var endpoint = Weft_V1_Endpoint()
        endpoint.id = String(repeating: "x", count: 100_000)
        wire.endpointsChanged.added = .init(repeating: endpoint, count: 5)
        var skipped: [WireError] = []
        _ = try NodeMessage(wire: wire, skipped: &skipped)
        #expect(skipped.count == 15 && skipped.allSatisfy { $0.others == 0 })
        #expect(skipped.compactMap(\.object) == .init(repeating: String(repeating: "x", count: 128), count: 5))

        guard case .assignments(let good) = try read(Weft_V1_ManagerMessage(.assignments(try assignments()))) else { return }
        var one = Weft_V1_Endpoint(try #require(good.endpoints.first))
        one.aliases.append("\u{1b}")
        wire.endpointsChanged.added = [one]
        wire.endpointsChanged.removed = []
        skipped = []
        let kept = try NodeMessage(wire: wire, skipped: &skipped)
        guard case .endpointsChanged(let added, _) = kept else { return }
        #expect(added.count == 1 && skipped.first?.object == one.id)
        #expect(skipped.first?.description.hasSuffix("; the endpoint is known without it") == true)

        wire.endpointsChanged.removed = .init(repeating: "no id", count: 10)
        var aliases = Weft_V1_Endpoint(try #require(good.endpoints.first))
        aliases.aliases = .init(repeating: "\u{1b}", count: 1000)
        wire.endpointsChanged.added = .init(repeating: aliases, count: 100)
        skipped = []
        _ = try NodeMessage(wire: wire, skipped: &skipped)
        #expect(skipped.count == 16)
        #expect(skipped.reduce(0) { $0 + 1 + $1.others } == 100_010)
        #expect("\(try #require(skipped.last))".hasSuffix("(and 99994 more in the same message)"))
    }

    @Test("survive random damage without a trap")
    func randomDamage() throws {
        let good: [UInt8] = try Weft_V1_ManagerMessage(.assignments(try assignments())).serializedBytes()
        var generator = SplitMix(state: 20)
        var readable = 0
        for _ in 0..<5000 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                bytes[Int.random(in: bytes.indices, using: &generator)] = .random(in: 0...255, using: &generator)
            }
            guard let wire = try? Weft_V1_ManagerMessage(serializedBytes: bytes) else { continue }
            if (try? read(wire)) != nil { readable += 1 }
        }
        // Most damage hits a name or a number that may be anything; else the test would show nothing.
        #expect((1..<5000).contains(readable))
    }
}

/// Reads a message that must be good in all its parts.
private func read(_ wire: Weft_V1_ManagerMessage) throws -> ManagerMessage {
    var skipped: [WireError] = []
    let message = try ManagerMessage(wire: wire, skipped: &skipped)
    if let error = skipped.first { throw error }
    return message
}

private func read(_ wire: Weft_V1_NodeMessage) throws -> NodeMessage {
    var skipped: [WireError] = []
    let message = try NodeMessage(wire: wire, skipped: &skipped)
    if let error = skipped.first { throw error }
    return message
}

extension Assignments {
    /// How many objects are in it.
    fileprivate var size: Int {
        [
            networks.count, removedNetworks.count, peers.count, removedPeers.count, endpoints.count, removedEndpoints.count,
            leases.count,
        ].reduce(0, +)
    }
    fileprivate var aliases: Int { endpoints.reduce(0) { $0 + $1.aliases.count } }
}

extension Weft_V1_Assignments {
    fileprivate var size: Int {
        [
            networks.count, removedNetworks.count, peers.count, removedPeers.count, endpoints.count, removedEndpoints.count,
            leases.count, leases6.count,
        ].reduce(0, +)
    }
    fileprivate var aliases: Int { endpoints.reduce(0) { $0 + $1.aliases.count } }
}

@Suite("Messages that are large") struct PartTests {
    private func whole(_ parts: [Weft_V1_ManagerMessage]) throws -> [ManagerMessage] {
        var assembler = ManagerMessageAssembler()
        var skipped: [WireError] = []
        return try parts.compactMap { part in
            let bytes: [UInt8] = try part.serializedBytes()
            return try assembler.take(Weft_V1_ManagerMessage(serializedBytes: bytes), skipped: &skipped)
        }
    }

    private func whole(_ parts: [Weft_V1_NodeMessage]) throws -> [NodeMessage] {
        var assembler = NodeMessageAssembler()
        var skipped: [WireError] = []
        return try parts.compactMap { part in
            let bytes: [UInt8] = try part.serializedBytes()
            return try assembler.take(Weft_V1_NodeMessage(serializedBytes: bytes), skipped: &skipped)
        }
    }

    @Test("travel in parts of bounded size, whatever the sum, and are whole again")
    func networks() throws {
        var set = try assignments()
        set.removedNetworks = []
        set.removedPeers = []
        set.removedEndpoints = []
        set.removedLeases = []
        let template = try network(withIPv6: true)
        set.networks = (0..<8).map { number in
            var network = Network(
                id: NetworkID("n\(number)"), createdAt: template.createdAt, spec: template.spec, vni: template.vni,
                subnet: template.subnet, gateway: template.gateway)
            network.spec.labels = ["big": String(repeating: "x", count: 1_000_000)]
            return network
        }
        let parts = Weft_V1_ManagerMessage.parts(of: .assignments(set))
        #expect(parts.count >= 8)
        for part in parts {
            let bytes: [UInt8] = try part.serializedBytes()
            #expect(bytes.count < 3 << 20)
        }
        #expect(parts.map(\.assignments.more) == Array(repeating: true, count: parts.count - 1) + [false])
        #expect(parts.first?.assignments.full == true)
        #expect(parts.dropFirst().allSatisfy { !$0.assignments.full && $0.assignments.baseRevision == set.revision.index })
        #expect(try whole(parts) == [.assignments(set)])
    }

    @Test("take an endpoint with as long an id, name and aliases as the API lets in, and with more aliases than that")
    func largestEndpoint() throws {
        func largest(aliases count: Int) -> Endpoint {
            let id = String(repeating: "i", count: Bounds.idBytes)
            return Endpoint(
                id: EndpointID(id), network: NetworkID(id), node: NodeID(id), sandbox: SandboxID(id), ipv4: IPv4Address(rawValue: 1),
                mac: MACAddress(rawValue: 2), name: String(repeating: "n", count: Bounds.nameBytes),
                aliases: (0..<count).map { _ in String(repeating: "a", count: 64) })
        }
        let change = NodeMessage.endpointsChanged(added: [largest(aliases: 1024)], removed: [])
        #expect(try whole(Weft_V1_NodeMessage.parts(of: change)) == [change])
        let surplus = NodeMessage.endpointsChanged(added: [largest(aliases: 100_000)], removed: [])
        #expect(try whole(Weft_V1_NodeMessage.parts(of: surplus)) == [change])
    }

    @Test("are one message while they are small")
    func small() throws {
        #expect(Weft_V1_ManagerMessage.parts(of: .assignments(try assignments())).count == 1)
        #expect(Weft_V1_NodeMessage.parts(of: hello).count == 1)
        let change = NodeMessage.endpointsChanged(added: [endpoint()], removed: [EndpointID("x")])
        #expect(Weft_V1_NodeMessage.parts(of: change).count == 1)
    }

    @Test("are whole again at every size of the parts")
    func everySize() throws {
        let set = ManagerMessage.assignments(try assignments())
        let greeting = NodeMessage.hello(
            description, dataPathAddress: IPv4Address(rawValue: 1), appliedRevision: Version(3),
            endpoints: (0..<20).map { endpoint("e\($0)") })
        for limit in [1, 60, 128, 200, 500, 1000] {
            let parts = Weft_V1_ManagerMessage.parts(of: set, limit: limit)
            guard case .assignments(var read)? = try whole(parts).first, case .assignments(var sent) = set else {
                Issue.record("nothing came")
                continue
            }
            // IPv4's leases travel before IPv6's.
            read.leases.sort { $0.id < $1.id }
            sent.leases.sort { $0.id < $1.id }
            #expect(read == sent)
            #expect(try whole(Weft_V1_NodeMessage.parts(of: greeting, limit: limit)) == [greeting])
        }
        let change = NodeMessage.endpointsChanged(added: [endpoint("new")], removed: [EndpointID("old"), EndpointID("older")])
        let messages = try whole(Weft_V1_NodeMessage.parts(of: change, limit: 1))
        #expect(messages.last == .endpointsChanged(added: [endpoint("new")], removed: []))
        #expect(messages.count == 3)
    }

    @Test("are refused when their parts do not belong together, or never end")
    func hostileParts() throws {
        var first = Weft_V1_ManagerMessage(.assignments(try assignments()))
        first.assignments.more = true
        var other = first
        other.assignments.revision += 1
        #expect(throws: WireError.self) { try whole([first, other]) }
        #expect(throws: WireError.self) { try whole([first, first]) }
        var greeting = Weft_V1_NodeMessage(hello)
        greeting.hello.more = true
        #expect(throws: WireError.self) { try whole([greeting, Weft_V1_NodeMessage(.resyncRequest)]) }
        greeting.hello.endpoints = [.with { $0.aliases = [String(repeating: "a", count: 4 << 20)] }]
        #expect(throws: WireError.self) {
            var assembler = NodeMessageAssembler()
            var skipped: [WireError] = []
            for _ in 0..<17 { _ = try assembler.take(greeting, skipped: &skipped) }
        }
        // What a later version says is passed over.
        #expect(try whole([Weft_V1_NodeMessage(), Weft_V1_NodeMessage(.resyncRequest)]) == [.resyncRequest])
    }

    @Test("made of any bytes end nothing")
    func anyBytes() throws {
        var generator = SplitMix(state: 77)
        let seeds: [[UInt8]] = try [
            Weft_V1_NodeMessage(hello).serializedBytes(),
            Weft_V1_NodeMessage(.endpointsChanged(added: [endpoint()], removed: [EndpointID("x")])).serializedBytes(),
            Weft_V1_NodeMessage(.leaseRequest(3, SubnetID(NetworkID("n"), .v6), address: .v6(IPv6Address(rawValue: 0))))
                .serializedBytes(),
        ]
        for round in 0..<6000 {
            var bytes = seeds[round % seeds.count]
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: bytes[Int.random(in: bytes.indices, using: &generator)] = .random(in: 0...255, using: &generator)
                case 1: bytes.insert(.random(in: 0...255, using: &generator), at: .random(in: 0...bytes.count, using: &generator))
                default: if bytes.count > 1 { bytes.remove(at: .random(in: bytes.indices, using: &generator)) }
                }
            }
            guard let wire = try? Weft_V1_NodeMessage(serializedBytes: bytes) else { continue }
            var assembler = NodeMessageAssembler()
            var skipped: [WireError] = []
            guard let message = try? assembler.take(wire, skipped: &skipped) else { continue }
            // What was taken can be said again.
            #expect(try whole(Weft_V1_NodeMessage.parts(of: message)).first == message)
        }
    }
}
