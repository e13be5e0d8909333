import Logging
import Testing
import WeftControl
import WeftManager
import WeftModel
import WeftNet

@Suite("What a manager tells those who watch", .timeLimit(.minutes(1)))
struct EventTests {
    private static let now = Instant(nanoseconds: 1_700_000_000_000_000_000)

    private struct Steps: RandomNumberGenerator {
        var state: UInt64 = 7
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ state >> 29
        }
    }

    private static func store() throws -> MemoryStore {
        var random = Steps()
        var node = Node(id: NodeID("manager"), createdAt: now, spec: NodeSpec(role: .manager))
        node.managerAddress = "172.30.0.1:2377"
        let cluster = Cluster(
            id: ClusterID("cluster"), createdAt: now, spec: ClusterSpec(), rootCertificatePEM: "PEM",
            workerTokenSecret: Secret("w"), managerTokenSecret: Secret("m"))
        return MemoryStore(try ControlMachine.bootstrap(cluster: cluster, manager: node, now: now, random: &random))
    }

    /// Runs a manager, and returns what its log tells of `body`.
    private func events(
        of body: (Manager, MemoryStore) async throws -> Void
    ) async throws -> [ClusterEvent] {
        let (store, log) = (try Self.store(), ClusterEventLog())
        let manager = try await Manager(
            store: store, eventLog: log, wallClock: { Self.now }, clock: { Self.now }, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let running = Task { await manager.run() }
        try await body(manager, store)
        manager.shutDown()
        await running.value
        return log.follow().past
    }

    @Test("Networks are created and removed, a node joins and is changed")
    func changes() async throws {
        let told = try await events { manager, _ in
            guard case .network(let network) = try await manager.perform(.createNetwork(NetworkSpec(name: "db"))) else { return }
            _ = try await manager.perform(.removeNetwork(network.id.rawValue))
            guard case .node(let node) = try await manager.perform(.admitNode(NodeID("w1"), .worker, .active)) else { return }
            var spec = node.spec
            spec.availability = .pause
            _ = try await manager.perform(.updateNode(node.id, version: node.version, spec))
        }
        #expect(told.map { "\($0.kind) \($0.action)" } == ["network create", "network remove", "node create", "node update"])
        #expect(told.last?.attributes == ["name": "", "availability.old": "active", "availability.new": "pause"])
        #expect(told.prefix(2).map(\.attributes) == [["name": "db"], ["name": "db"]])
    }

    @Test("Nothing is told of what was not committed")
    func refused() async throws {
        let told = try await events { manager, store in
            store.setFull(true)
            await #expect(throws: MemoryStore.Full.self) {
                _ = try await manager.perform(.createNetwork(NetworkSpec(name: "db")))
            }
            store.setFull(false)
            // Taken back whole: the name is free.
            _ = try await manager.perform(.createNetwork(NetworkSpec(name: "db")))
        }
        #expect(told.map { "\($0.kind) \($0.action)" } == ["network create"])
    }
}
