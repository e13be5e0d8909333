import Testing
import WeftControl
import WeftModel
import WeftNet

@Suite("Events of the swarm")
struct EventTests {
    private typealias Told = (kind: ClusterEvent.Kind, action: ClusterEvent.Action, id: String, attributes: [String: String])

    /// What is told of `body`, without what else changed.
    private func events(_ swarm: inout Swarm, _ body: (inout Swarm) throws -> Void) rethrows -> [Told] {
        swarm.events = []
        try body(&swarm)
        return swarm.events.map { ($0.kind, $0.action, $0.id, $0.attributes) }
    }

    @Test("A network is created, and removed under its name")
    func network() throws {
        var swarm = try Swarm()
        var network: Network?
        let created = try events(&swarm) { network = try $0.create("db") }
        let id = try #require(network).id.rawValue
        #expect(created.count == 1)
        #expect(created.first.map { $0 == (.network, .create, id, ["name": "db"]) } == true)
        let removed = try events(&swarm) { _ = try $0.run(.removeNetwork(id)) }
        #expect(removed.count == 1)
        #expect(removed.first.map { $0 == (.network, .remove, id, ["name": "db"]) } == true)
        #expect(swarm.events.first?.time == swarm.now)
    }

    @Test("A node joins, is up, changes, goes down and is removed")
    func node() throws {
        var swarm = try Swarm()
        let admitted = try events(&swarm) { _ = try $0.admit("w1") }
        #expect(admitted.map(\.action) == [.create])
        let id = NodeID("w1")
        let up = try events(&swarm) { try $0.hello(id, vtep: "172.30.0.2") }.filter { $0.kind == .node }
        #expect(up.map(\.action) == [.update])
        #expect(up.first?.attributes == ["name": "host-w1", "state.old": "unknown", "state.new": "ready"])

        let drained = try events(&swarm) { swarm in
            var node = try #require(swarm.replica.node(id))
            node.spec.availability = .drain
            _ = try swarm.run(.updateNode(id, version: node.version, node.spec))
        }
        #expect(drained.map(\.attributes) == [["name": "host-w1", "availability.old": "active", "availability.new": "drain"]])

        let down = events(&swarm) { $0.pass(.seconds(60)) }
        #expect(down.map(\.attributes) == [["name": "host-w1", "state.old": "ready", "state.new": "down"]])
        let removed = try events(&swarm) { _ = try $0.run(.removeNode(id, force: false)) }
        #expect(removed.map(\.action) == [.remove])
        #expect(removed.first?.attributes == ["name": "host-w1"])
    }

    @Test("Services, secrets and configs are made, changed and removed")
    func services() throws {
        var swarm = try Swarm()
        var spec = ServiceSpec(name: "web", task: TaskSpec(container: ContainerSpec(image: "bb:1")))
        let made = try events(&swarm) { _ = try $0.run(.createService(spec)) }.filter { $0.kind == .service }
        #expect(made.first.map { $0.action == .create && $0.attributes == ["name": "web"] } == true)
        let service = try #require(swarm.replica.all(Service.self).first)
        spec.mode = .replicated(3)
        spec.task.container.image = "bb:2"
        let changed = try events(&swarm) { swarm in
            let version = try #require(swarm.replica[Service.self, service.id]).version
            _ = try swarm.run(.updateService(service.id, version: version, spec))
        }.filter { $0.kind == .service }
        let attributes = try #require(changed.first).attributes
        #expect(attributes["image.old"] == "bb:1" && attributes["image.new"] == "bb:2")
        #expect(attributes["replicas.old"] == "1" && attributes["replicas.new"] == "3")
        let removed = try events(&swarm) { _ = try $0.run(.removeService(service.id)) }.filter { $0.kind == .service }
        #expect(removed.first.map { $0.action == .remove && $0.attributes["name"] == "web" } == true)

        let secret = try events(&swarm) { _ = try $0.run(.createSecret(SharedFileSpec(name: "key", data: Secret("eA==")))) }
        #expect(secret.map(\.kind) == [.secret] && secret.map(\.attributes) == [["name": "key"]])
        let config = try events(&swarm) { _ = try $0.run(.createConfig(SharedFileSpec(name: "conf", data: Secret("eA==")))) }
        #expect(config.map(\.kind) == [.config] && config.map(\.attributes) == [["name": "conf"]])
    }

    @Test("An endpoint or a refusal is no event")
    func others() throws {
        var swarm = try Swarm()
        _ = try swarm.create("db")
        let told = try events(&swarm) { swarm in
            _ = try swarm.refusal(.removeNetwork("none"))
            _ = try swarm.refusal(.createNetwork(NetworkSpec(name: "db")))
            _ = try swarm.run(.rotateToken(.worker))
        }
        #expect(told.isEmpty)
    }
}
