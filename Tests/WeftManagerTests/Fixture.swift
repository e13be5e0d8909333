import Logging
import Synchronization
import TestSupport
import Testing
import WeftControl
import WeftManager
import WeftModel
import WeftNet

/// A manager on a store in memory, running.
struct Fixture: Sendable {
    static let now = Instant(nanoseconds: 1_700_000_000_000_000_000)

    let store: MemoryStore
    let log = ClusterEventLog()
    let manager: Manager

    private struct Steps: RandomNumberGenerator {
        var state: UInt64 = 7
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ state >> 29
        }
    }

    private init() async throws {
        var random = Steps()
        var node = Node(id: NodeID("manager"), createdAt: Self.now, spec: NodeSpec(role: .manager))
        node.managerAddress = "172.30.0.1:2377"
        let cluster = Cluster(
            id: ClusterID("cluster"), createdAt: Self.now, spec: ClusterSpec(), rootCertificatePEM: "PEM",
            workerTokenSecret: Secret("w"), managerTokenSecret: Secret("m"))
        store = MemoryStore(try Bootstrap.transaction(cluster: cluster, manager: node, now: Self.now, random: &random))
        manager = Manager(
            store: store, snapshot: try await store.snapshot(), eventLog: log, wallClock: { Self.now }, clock: { Self.now },
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    /// Runs a manager for as long as `body` takes.
    @discardableResult
    static func run(_ body: (Fixture) async throws -> Void) async throws -> Fixture {
        let fixture = try await Fixture()
        let running = Task { await fixture.manager.run() }
        do { try await body(fixture) } catch {
            fixture.manager.shutDown()
            throw error
        }
        fixture.manager.shutDown()
        await running.value
        return fixture
    }

    /// What was told to those who watch.
    var told: [String] { log.follow().past.map { "\($0.kind) \($0.action)" } }

    func create(_ name: String) async throws -> Network {
        guard case .network(let network) = try await manager.perform(.createNetwork(NetworkSpec(name: name))) else {
            throw Unexpected()
        }
        return network
    }

    /// Lets a node in and says hello for it.
    func connect(_ name: String, vtep: String, applied: Version = .none) async throws -> Stream {
        let id = NodeID(name)
        _ = try await manager.perform(.admitNode(id, .worker, .active))
        let stream = Stream(id)
        let session = manager.connect(id, address: nil, outlet: stream.outlet)
        let description = NodeDescription(
            hostname: name, architecture: "x86_64", nanoCPUs: 1, memoryBytes: 1, weftVersion: "test")
        let address = try #require(IPv4Address(vtep))
        #expect(
            manager.receive(
                .hello(description, dataPathAddress: address, appliedRevision: applied, endpoints: []), from: id, session: session))
        stream.session.withLock { $0 = session }
        try await stream.wait { $0.contains { if case .assignments = $0 { true } else { false } } }
        return stream
    }

    struct Unexpected: Error {}
}

/// Waits for a condition.
func wait(_ condition: () async throws -> Bool) async throws {
    try await eventually("it does not come", condition)
}

/// The node's end of a session.
final class Stream: Sendable {
    private struct State {
        var messages: [ManagerMessage] = []
        var closed: String?
    }

    let node: NodeID
    let session = Mutex<SessionID?>(nil)
    private let state = Mutex(State())

    init(_ node: NodeID) { self.node = node }

    var outlet: SessionOutlet {
        SessionOutlet(
            send: { message in
                self.state.withLock { state in
                    guard state.closed == nil else { return false }
                    state.messages.append(message)
                    return true
                }
            }, close: { reason in self.state.withLock { $0.closed = $0.closed ?? reason } })
    }

    var messages: [ManagerMessage] { state.withLock { $0.messages } }
    var closed: String? { state.withLock { $0.closed } }
    var networks: Set<String> {
        var names: Set<String> = []
        for case .assignments(let told) in messages { names.formUnion(told.networks.map(\.spec.name)) }
        return names
    }

    func wait(_ condition: ([ManagerMessage]) -> Bool) async throws {
        try await WeftManagerTests.wait { condition(messages) }
    }

    func say(_ message: NodeMessage, to manager: Manager) throws {
        let session = try #require(session.withLock { $0 })
        #expect(manager.receive(message, from: node, session: session))
    }
}
