import Logging
import Synchronization
import TestSupport
import Testing
import WeftAgent
import WeftModel

/// Namespaces and doors in memory.
private final class MemoryDoors: ContainerDoors {
    struct Refused: Error {}

    final class Door: ContainerDoor {
        let path: String
        let endpoints: @Sendable () -> [EndpointID]
        private let closed: @Sendable (String) -> Void

        init(_ path: String, _ endpoints: @escaping @Sendable () -> [EndpointID], closed: @escaping @Sendable (String) -> Void) {
            self.path = path
            self.endpoints = endpoints
            self.closed = closed
        }

        func close() async { closed(path) }
    }

    private struct State {
        var there: Set<String> = []
        var refused: Set<String> = []
        var opened = 0
        var entered: [String: [EndpointID]] = [:]
        var open: [String: Door] = [:]
        /// Openings that wait until they are let through.
        var held: [CheckedContinuation<Void, Never>] = []
        var holds = false
    }

    private let state = Mutex(State())

    func make(_ path: String) { state.withLock { _ = $0.there.insert(path) } }
    func refuse(_ path: String) { state.withLock { _ = $0.refused.insert(path) } }
    var opened: Int { state.withLock { $0.opened } }
    var open: Set<String> { state.withLock { Set($0.open.keys) } }
    func entered(_ path: String) -> [EndpointID] { state.withLock { $0.entered[path] ?? [] } }
    func asked(at path: String) -> [EndpointID] { state.withLock { $0.open[path] }?.endpoints() ?? [] }

    /// Openings wait from now on, until `letThrough`.
    func hold() { state.withLock { $0.holds = true } }
    var waiting: Int { state.withLock { $0.held.count } }
    func letThrough() {
        let held = state.withLock { state in
            defer { (state.held, state.holds) = ([], false) }
            return state.held
        }
        for continuation in held { continuation.resume() }
    }

    func isThere(_ path: String) -> Bool { state.withLock { $0.there.contains(path) } }

    func enter(_ endpoints: [EndpointID], at path: String) async throws {
        state.withLock { $0.entered[path, default: []] += endpoints }
    }

    func open(
        at path: String, endpoints: @escaping @Sendable () -> [EndpointID]
    ) async throws -> any ContainerDoor {
        if state.withLock({ $0.holds }) {
            await withCheckedContinuation { continuation in state.withLock { $0.held.append(continuation) } }
        }
        return try state.withLock { state in
            guard !state.refused.contains(path) else { throw Refused() }
            let door = Door(path, endpoints) { [weak self] path in self?.state.withLock { $0.open[path] = nil } }
            state.opened += 1
            state.open[path] = door
            return door
        }
    }
}

@Suite("Names inside an engine's containers", .timeLimit(.minutes(5)))
struct ContainerNamesTests {
    private let names = ContainerNames(logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    private let doors = MemoryDoors()
    private let path = "/var/run/docker/netns/abc"

    @Test("resolve once the join returns, by one door for all endpoints of the namespace")
    func join() async {
        doors.make(path)
        await names.join(EndpointID("e1"), path: path, by: doors)
        await names.join(EndpointID("e2"), path: path, by: doors)
        await names.join(EndpointID("e2"), path: path, by: doors)
        #expect(doors.opened == 1 && doors.asked(at: path) == [EndpointID("e1"), EndpointID("e2")])
        #expect(doors.entered(path) == [EndpointID("e1"), EndpointID("e2")])
        await names.leave(EndpointID("e1"))
        #expect(doors.asked(at: path) == [EndpointID("e2")])
        await names.leave(EndpointID("e2"))
        #expect(doors.open.isEmpty)
    }

    @Test("wait for a namespace that is to come, unless it was there before")
    func comes() async throws {
        await names.join(EndpointID("e1"), path: "/gone", mayCome: false, by: doors)
        await names.join(EndpointID("e2"), path: path, by: doors)
        #expect(doors.open.isEmpty)
        doors.make(path)
        doors.make("/gone")
        try await eventually("no door opens") { !doors.open.isEmpty }
        #expect(doors.open == [path])
        #expect(doors.entered(path) == [EndpointID("e2")] && doors.entered("/gone").isEmpty)
    }

    @Test("open no door in a namespace that was left while it was waited for")
    func leftEarly() async throws {
        await names.join(EndpointID("e1"), path: path, by: doors)
        await names.leave(EndpointID("e1"))
        doors.make(path)
        // Another one that is waited for as long, and would open after it.
        await names.join(EndpointID("e2"), path: "/other", by: doors)
        doors.make("/other")
        try await eventually("no door opens") { doors.open.contains("/other") }
        #expect(doors.open == ["/other"])
    }

    @Test("close a door that opens when nobody is there any more")
    func leftWhileOpening() async throws {
        doors.make(path)
        doors.hold()
        let joining = Task { await names.join(EndpointID("e1"), path: path, by: doors) }
        try await eventually("nobody opens") { doors.waiting == 1 }
        await names.leave(EndpointID("e1"))
        doors.letThrough()
        await joining.value
        #expect(doors.opened == 1 && doors.open.isEmpty)
    }

    @Test("are served by what the engine says of a container, where the path was of no use")
    func serve() async {
        let (container, process) = (SandboxID("c1"), "/proc/77/ns/net")
        doors.refuse(path)
        doors.make(path)
        await names.join(EndpointID("e1"), path: path, by: doors)
        #expect(doors.open.isEmpty)
        await names.serve(container, process: 77, key: "abc", endpoints: [EndpointID("e1"), EndpointID("e2")], by: doors)
        #expect(doors.open == [process] && doors.asked(at: process) == [EndpointID("e1"), EndpointID("e2")])
        await names.serve(container, process: 77, key: "abc", endpoints: [EndpointID("e1"), EndpointID("e4")], by: doors)
        #expect(doors.entered(process) == [EndpointID("e1"), EndpointID("e2"), EndpointID("e4")])
        // Started anew: another namespace.
        await names.serve(container, process: 78, key: "def", endpoints: [EndpointID("e3")], by: doors)
        #expect(doors.open == ["/proc/78/ns/net"])
        await names.end(container)
        #expect(doors.open.isEmpty)
    }

    @Test("end with containers that are gone, and all of them with their resolver")
    func ends() async {
        for (number, container) in ["c1", "c2", "c3"].enumerated() {
            await names.serve(
                SandboxID(container), process: Int32(number), key: "k\(number)", endpoints: [EndpointID("e\(number)")], by: doors)
        }
        await names.endAll(but: [SandboxID("c2"), SandboxID("c3")])
        #expect(doors.open == ["/proc/1/ns/net", "/proc/2/ns/net"])
        await names.endAll()
        #expect(doors.open.isEmpty)
        await names.leave(EndpointID("e1"))
        #expect(doors.opened == 3)
    }
}
