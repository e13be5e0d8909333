import Testing
import WeftControl
import WeftManager
import WeftModel

@Suite("What a manager tells those who watch", .timeLimit(.minutes(5)))
struct EventTests {
    @Test("Networks are created and removed, a node joins and is changed")
    func changes() async throws {
        let fixture = try await Fixture.run { fixture in
            let network = try await fixture.create("db")
            _ = try await fixture.manager.perform(.removeNetwork(network.id.rawValue))
            guard case .node(let node) = try await fixture.manager.perform(.admitNode(NodeID("w1"), .worker, .active)) else { return }
            var spec = node.spec
            spec.availability = .pause
            _ = try await fixture.manager.perform(.updateNode(node.id, version: node.version, spec))
        }
        #expect(fixture.told == ["network create", "network remove", "node create", "node update"])
        let events = fixture.log.follow().past
        #expect(events.last?.attributes == ["name": "", "availability.old": "active", "availability.new": "pause"])
        #expect(events.prefix(2).map(\.attributes) == [["name": "db"], ["name": "db"]])
    }

    @Test("Nothing is told of what was not committed")
    func refused() async throws {
        let fixture = try await Fixture.run { fixture in
            fixture.store.refuse { _ in true }
            await #expect(throws: MemoryStore.Full.self) { _ = try await fixture.create("db") }
            fixture.store.refuse { _ in false }
            // Taken back whole: the name is free.
            _ = try await fixture.create("db")
        }
        #expect(fixture.told == ["network create"])
    }

    @Test("What another manager commits is told as well")
    func foreign() async throws {
        let fixture = try await Fixture.run { fixture in
            var network = try #require(try await fixture.manager.read { $0.networks.first })
            network = Network(
                id: NetworkID("theirs"), createdAt: network.createdAt, spec: NetworkSpec(name: "theirs"), vni: network.vni,
                subnet: network.subnet, gateway: network.gateway)
            fixture.store.commitByAnother([.put(StoredObject(network), expecting: .none)])
            try await wait { !fixture.told.isEmpty }
        }
        #expect(fixture.told == ["network create"])
    }
}
