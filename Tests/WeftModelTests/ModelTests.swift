import Foundation
import Testing
import WeftModel
import WeftNet

@Suite("The model")
struct ModelTests {
    private static let start = Instant(nanoseconds: 1_700_000_000_000_000_000)

    private static var objects: [StoredObject] {
        get throws {
            let subnet = try #require(IPv4Prefix("10.0.1.0/24"))
            let gateway = try #require(IPv4Address("10.0.1.1"))
            let address = try #require(IPv4Address("10.0.1.2"))
            var node = Node(id: NodeID("n1"), version: Version(3), createdAt: start, spec: NodeSpec(role: .manager))
            node.description = NodeDescription(
                hostname: "h1", architecture: "x86_64", nanoCPUs: 1, memoryBytes: 2, weftVersion: "1")
            node.dataPathAddress = IPv4Address("172.30.0.1")
            var spec = NetworkSpec(name: "my_net")
            spec.labels = ["a": "b"]
            spec.ipam = IPAMConfig(subnet: subnet, gateway: gateway)
            spec.ipam.auxiliaryAddresses = ["r1": address]
            spec.ipam6 = IPAMConfig(subnet: IPv6Prefix("fd00:0:0:1::/64"))
            let address6 = try #require(IPv6Address("fd00:0:0:1:8000::2"))
            let network = Network(
                id: NetworkID("w1"), createdAt: start, spec: spec, vni: try #require(VNI(4097)), subnet: subnet,
                gateway: gateway, subnet6: IPv6Prefix("fd00:0:0:1::/64"), gateway6: IPv6Address("fd00:0:0:1::1"))
            let cluster = Cluster(
                id: ClusterID("c"), createdAt: start, spec: ClusterSpec(), rootCertificatePEM: "PEM",
                workerTokenSecret: Secret("one"), managerTokenSecret: Secret("two"))
            var service = Service(
                id: ServiceID("v1"), createdAt: start, spec: ServiceSpec(name: "web", task: TaskSpec(container: ContainerSpec(image: "i"))))
            service.spec.mode = .replicatedJob(concurrent: 2, total: 7)
            service.addresses = [VirtualAddress(network: network.id, ipv4: address, ipv6: address6)]
            service.ports = [PortConfig(target: 80)]
            let task = ServiceTask(
                id: TaskID("t1"), createdAt: start, of: service, slot: 3, node: node.id, desiredState: .running,
                status: TaskStatus(state: .preparing, at: start, message: "preparing"))
            var secret = StoredSecret(id: "k1", createdAt: start, spec: SharedFileSpec(name: "key", data: Secret("c2VjcmV0")))
            var config = StoredConfig(id: "f1", createdAt: start, spec: SharedFileSpec(name: "conf", data: Secret("eA==")))
            secret.neededBy = [node.id]
            config.neededBy = [node.id]
            return [
                StoredObject(service), StoredObject(task), StoredObject(secret), StoredObject(config),
                StoredObject(
                    SignedStatement(
                        node: node.id, statement: StatementID(epoch: .max, incarnation: .max), signedBytes: [0, 255], signature: [1],
                        certificatesPEM: "PEM")),
                StoredObject(
                    KeyReadiness(id: node.id, readiness: Readiness(statement: StatementID(epoch: 1, incarnation: 9), through: Version(4)))),
                StoredObject(cluster), StoredObject(AuthorityKey(id: ClusterID("c"), privateKeyPEM: Secret("key"))),
                StoredObject(node),
                StoredObject(network),
                StoredObject(
                    Endpoint(
                        id: EndpointID("e1"), network: network.id, node: node.id, sandbox: SandboxID("s1"),
                        ipv4: address, ipv6: address6,
                        mac: MACAddress(forIPv4: address), name: "a1", aliases: ["x"])),
                StoredObject(
                    AddressLease(network: network.id, block: .v6(try #require(IPv6Prefix("fd00:0:0:1:8000::/122"))), node: node.id)),
            ]
        }
    }

    @Test("Every kind of object comes back from JSON the same")
    func roundTrips() throws {
        let objects = try Self.objects
        #expect(Set(objects.map(\.kind)) == Set(Kinds.all.stored.map { $0.kind }))
        func isSame<Value: StoredValue>(_ value: Value) throws -> Bool {
            try JSONDecoder().decode(Value.self, from: try JSONEncoder().encode(value)) == value
        }
        for object in objects { #expect(try isSame(object.value)) }
    }

    @Test("Kinds have names of their own, and are listed in the order of their ranks")
    func kinds() {
        let names = Kinds.all.stored.map { $0.kind.name }
        #expect(Set(names).count == names.count && Kinds.all.stored.map { $0.kind } == Kinds.all.stored.map { $0.kind }.sorted())
        let rows = Kinds.all.assigned.compactMap { $0.rows }
        #expect(Set(rows).count == rows.count && Kinds.all.assigned.allSatisfy { $0 != Untold.self })
        for name in names { #expect(Kinds.all.type(named: name)?.kind.name == name) }
        #expect(Kinds.all.type(named: "unknown") == nil)
    }

    @Test("Setting an object's version changes nothing else")
    func versions() throws {
        for object in try Self.objects {
            var changed = object
            changed.version = Version(77)
            #expect(changed.version == Version(77) && changed.key == object.key && changed != object)
            changed.version = object.version
            #expect(changed == object)
        }
    }

    @Test("Deltas of all kinds make one set; of parts comes the whole, and an empty delta is none")
    func assignments() throws {
        var whole = Assignments(isFull: false, baseRevision: Version(8), revision: Version(9))
        let empty = whole
        #expect(whole.isEmpty)
        var first = whole
        var rest = whole
        func put<Value: StoredValue>(_ value: Value) {
            guard let told = value.assigned(to: Receiver(id: NodeID("n1"), role: .worker)) else { return }
            whole[Value.Assigned.self].put.append(told)
            first[Value.Assigned.self].put.append(told)
        }
        for object in try Self.objects { put(object.value) }
        #expect(whole.deltas.count == Kinds.all.assigned.count)
        whole.removedLeases = ["w/10.0.0.0/29"]
        rest.removedLeases = ["w/10.0.0.0/29"]
        #expect(first != whole && rest != whole)
        first.append(rest)
        #expect(first == whole && first.hashValue == whole.hashValue && !whole.isEmpty)
        rest.removedLeases = []
        #expect(rest == empty && rest.isEmpty)
    }

    @Test("Tables hold objects of all kinds, each under its key")
    func tables() throws {
        var tables = Tables()
        let objects = try Self.objects
        for object in objects { put(object.value, &tables) }
        func put(_ value: some StoredValue, _ tables: inout Tables) { tables.put(value) }
        #expect(tables.count == objects.count && tables.all.count == Kinds.all.stored.count)
        for object in objects { #expect(tables.object(object.key) == object) }
        #expect(tables.object(StoreKey(kind: StoreKind(unknown: "x"), id: "c")) == nil)
        let copy = tables
        for object in objects { tables.remove(object.key) }
        #expect(tables.count == 0 && copy.count == objects.count && tables[Node.self].isEmpty)
    }

    @Test("Who is told of an object")
    func audiences() throws {
        let (one, other) = (NodeID("n1"), NodeID("n2"))
        #expect(Audience.everyNode.includes(one) && !Audience.managers.includes(one))
        #expect(Audience.node(one).includes(one) && !Audience.node(one).includes(other))
        #expect(Audience.nodes([other]).includes(other) && !Audience.nodes([other]).includes(one))
        let told = try Self.objects.filter { $0.value.audience.includes(other) }.map(\.kind)
        #expect(
            Set(told) == [
                Cluster.kind, Node.kind, Network.kind, Service.kind, Endpoint.kind, SignedStatement.kind, KeyReadiness.kind,
            ])
    }

    @Test("A lease is named by its network and block")
    func leaseIdentifier() throws {
        let lease = AddressLease(
            network: NetworkID("w1"), block: try #require(AnyIPPrefix("10.0.1.8/29")), node: NodeID("n"))
        #expect(lease.id == "w1/10.0.1.8/29")
    }

    @Test("What was stored before there was IPv6 still reads")
    func withoutIPv6() throws {
        func read<Value: Decodable>(_ type: Value.Type, _ json: String) throws -> Value {
            try JSONDecoder().decode(type, from: Data(json.utf8))
        }
        let network = try read(
            Network.self,
            #"""
            {"createdAt":1,"gateway":"10.0.1.1","id":"w1","spec":{"attachable":true,"ingress":false,"ipam":
            {"auxiliaryAddresses":{"r1":"10.0.1.9"},"subnet":"10.0.1.0/24"},"isInternal":false,"labels":{},"name":"net",
            "options":{}},"subnet":"10.0.1.0/24","updatedAt":1,"version":3,"vni":4097}
            """#)
        #expect(!network.spec.ipv6 && network.subnet6 == nil && network.subnets == [SubnetID(network.id, .v4)])
        let endpoint = try read(
            Endpoint.self,
            #"{"aliases":[],"id":"e","ipv4":"10.0.1.2","mac":"02:42:0a:00:01:02","name":"a","network":"w1","node":"n","sandbox":"s","version":1}"#
        )
        #expect(endpoint.ipv6 == nil && endpoint.addresses == [.v4(endpoint.ipv4)])
        let lease = try read(AddressLease.self, #"{"block":"10.0.1.8/29","network":"w1","node":"n","version":1}"#)
        #expect(lease.id == "w1/10.0.1.8/29" && lease.subnet.family == .v4)
    }

    @Test("A swarm's unique local addresses come from its id, and from all of it")
    func uniqueLocal() {
        let prefixes = ["", "a", "zzzzzzzzzzzzzzzzzzzzzzzzz", "0vdd6ovq5gz58z0vxdgfqabcd", "0vdd6ovq5gz58z0vxdgfqabce"]
            .map { ClusterID($0).uniqueLocalPrefix }
        #expect(prefixes.allSatisfy { $0.length == 48 && IPv6Prefix("fd00::/8")?.contains($0) == true })
        #expect(Set(prefixes).count == 5)
        #expect(prefixes[1].description == "fd00:0:a::/48")
    }

    @Test("A secret shows nothing of itself")
    func secrets() {
        let secret = Secret("hush-hush")
        var dumped = ""
        dump(secret, to: &dumped)
        #expect(!"\(secret) \(String(reflecting: secret)) \(dumped)".contains("hush"))
        #expect(secret.exposed == "hush-hush")
    }

    @Test("Identifiers are 25 characters of base 36, drawn from the generator given")
    func identifiers() {
        struct Steps: RandomNumberGenerator {
            var state: UInt64 = 0
            mutating func next() -> UInt64 {
                state &+= 0x9e37_79b9_7f4a_7c15
                return state
            }
        }
        var one = Steps()
        var same = Steps()
        let id = NodeID.random(using: &one)
        #expect(id == NodeID.random(using: &same) && id != NodeID.random(using: &one))
        #expect(id.rawValue.count == 25 && id.rawValue.allSatisfy { $0.isASCII && ($0.isNumber || $0.isLowercase) })
    }

    @Test("Instants and durations")
    func instants() {
        let later = Self.start + .milliseconds(1500)
        #expect(later - Self.start == .milliseconds(1500) && Self.start < later)
        #expect((Self.start + .seconds(-2)).nanoseconds == Self.start.nanoseconds - 2_000_000_000)
    }
}

@Suite struct EndpointNameTests {
    @Test(arguments: [
        "a", "web", "my_alias", "web.2", "_http._tcp", "-x", "ünïcode", String(repeating: "a", count: 63),
        Array(repeating: String(repeating: "b", count: 49), count: 5).joined(separator: "."),
    ])
    func `what DNS can express is a name`(text: String) { #expect(Endpoint.isName(text)) }

    @Test(arguments: [
        "", ".", "a.", ".a", "a..b", "bad alias", "tab\there", "new\nline", "back\\slash", "nul\0", "no\u{a0}break",
        String(repeating: "a", count: 64),
        Array(repeating: String(repeating: "b", count: 50), count: 5).joined(separator: "."),
    ])
    func `what it cannot is none`(text: String) { #expect(!Endpoint.isName(text)) }
}

@Suite struct ReportedRouteTests {
    private func routes(_ texts: String...) throws -> [IPv4Prefix] { try texts.map { try #require(IPv4Prefix($0)) } }

    @Test func `routes inside of others are left out, but for those inside the default route`() throws {
        let all = try routes("0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/24", "172.16.0.0/12", "172.16.0.0/16", "192.168.1.0/24")
        #expect(
            try Set(NodeDescription.reported(routes: all))
                == Set(routes("0.0.0.0/0", "10.0.0.0/8", "172.16.0.0/12", "192.168.1.0/24")))
    }

    @Test func `of a whole internet's routes the widest are kept`() throws {
        let narrow = (0..<100_000).map { IPv4Prefix(IPv4Address(rawValue: 0x2000_0000 + $0 * 512), length: 24) }
        let wide = try routes("10.0.0.0/8")
        let reported = NodeDescription.reported(routes: narrow.compactMap(\.self) + wide)
        #expect(reported.count == Bounds.routesMax && reported.contains(wide[0]))
    }
}
