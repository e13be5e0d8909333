import Testing
import WeftControl
import WeftManager
import WeftModel
import WeftNet
import WeftStore

@Suite("A manager and its store", .timeLimit(.minutes(5)))
struct StoreTests {
    /// A network that another manager makes.
    private func theirs(_ name: String, in fixture: Fixture) async throws -> StoredObject {
        let model = try #require(try await fixture.manager.read { $0.networks.first })
        return StoredObject(
            Network(
                id: NetworkID("id-\(name)"), createdAt: model.createdAt, spec: NetworkSpec(name: name),
                vni: try #require(VNI(9000)), subnet: try #require(IPv4Prefix("10.99.0.0/24")),
                gateway: try #require(IPv4Address("10.99.0.1"))))
    }

    @Test("While the store is slow, what comes is taken together, and who looks is answered")
    func slowStore() async throws {
        try await Fixture.run { fixture in
            let gate = fixture.store.hold()
            try await withThrowingTaskGroup(of: Network.self) { group in
                group.addTask { try await fixture.create("first") }
                try await wait { gate.count == 1 }
                for number in 0..<20 { group.addTask { try await fixture.create("n\(number)") } }
                // Nothing of it is seen before it is written, and looking does not wait for it.
                #expect(try await fixture.manager.read { $0.networks.count } == 1)
                try await wait { fixture.manager.waitingCount == 20 }
                gate.open()
                var made: [Network] = []
                for try await network in group { made.append(network) }
                #expect(Set(made.map(\.subnet)).count == 21)
            }
            #expect(fixture.store.transactions.map(\.writes.count) == [1, 20])
        }
    }

    @Test("Another manager is faster: the command is worked out anew on what that wrote")
    func conflict() async throws {
        try await Fixture.run { fixture in
            let theirs = try await theirs("db", in: fixture)
            let gate = fixture.store.hold()
            async let own = fixture.create("web")
            async let same = fixture.create("db")
            try await wait { gate.count == 1 }
            fixture.store.commitByAnother([.put(theirs, expecting: .none)])
            gate.open()
            let web = try await own
            #expect(web.spec.name == "web")
            do {
                _ = try await same
                Issue.record("two networks have one name")
            } catch let error as ControlError { #expect(error.kind == .conflict) }
            let names = try await fixture.manager.read { $0.networks.map(\.spec.name).sorted() }
            #expect(names == ["db", "ingress", "web"])
        }
    }

    @Test("Nodes are told what another manager commits, and where commits are missing, all of it")
    func foreignCommits() async throws {
        try await Fixture.run { fixture in
            let stream = try await fixture.connect("w1", vtep: "172.30.0.2")
            fixture.store.commitByAnother([.put(try await theirs("one", in: fixture), expecting: .none)])
            try await wait { stream.networks.contains("one") }
            #expect(try await fixture.manager.read { $0.revision } >= fixture.store.revision)
            // A node that another manager removed is sent away.
            fixture.store.commitByAnother([.delete(Node.key(stream.node), expecting: nil)])
            try await wait { stream.closed != nil }
            #expect(!fixture.manager.isMember(stream.node))
        }
    }

    @Test("A report that cannot be stored ends its session; others, and commands, go on")
    func failedCommit() async throws {
        try await Fixture.run { fixture in
            let (one, two) = (try await fixture.connect("w1", vtep: "172.30.0.2"), try await fixture.connect("w2", vtep: "172.30.0.3"))
            let network = try await fixture.create("net")
            let block = try #require(
                try await fixture.manager.read { $0.leases.first { $0.node == one.node && $0.network == network.id }?.block.v4 })
            let ipv4 = try #require(block.network.advanced(by: 2))
            let endpoint = Endpoint(
                id: EndpointID("e"), network: network.id, node: one.node, sandbox: SandboxID("s"), ipv4: ipv4,
                mac: MACAddress(forIPv4: ipv4), name: "e")
            fixture.store.refuse { $0.writes.contains { $0.key.kind == Endpoint.kind } }
            try one.say(.endpointsChanged(added: [endpoint], removed: []), to: fixture.manager)
            _ = try await fixture.create("more")
            try await wait { one.closed != nil }
            #expect(one.closed?.contains("could not store") == true && two.closed == nil)
            #expect(try await fixture.manager.read { $0.endpoints }.isEmpty)
            try await wait { two.networks.contains("more") }
        }
    }

    @Test("A transaction that is on its way when the manager goes down is answered, what waits is refused")
    func shutDown() async throws {
        try await Fixture.run { fixture in
            let gate = fixture.store.hold()
            async let first = fixture.create("first")
            try await wait { gate.count == 1 }
            async let second = fixture.create("second")
            try await wait { fixture.manager.waitingCount == 1 }
            fixture.manager.shutDown()
            await #expect(throws: ManagerBusy.self) { _ = try await fixture.create("third") }
            gate.open()
            let network = try await first
            #expect(network.spec.name == "first")
            do {
                _ = try await second
                Issue.record("what waited was not refused")
            } catch is ManagerBusy {}
        }
    }
}
