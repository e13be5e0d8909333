import Synchronization
import TestSupport
import Testing
import WeftControl
import WeftManager
import WeftModel

/// A node's end of its stream, played by the test.
private final class FakeNode: Sendable {
    let id: NodeID
    let orders = Mutex<[LogOrder]>([])
    let closed = Mutex<String?>(nil)

    init(_ id: String) { self.id = NodeID(id) }

    func connect(to desk: TaskLogDesk, over connection: String = "10.0.0.1:1") -> LogStreamID {
        desk.connect(
            id, over: connection,
            outlet: LogOutlet(
                send: { order in
                    self.orders.withLock { $0.append(order) }
                    return true
                }, close: { reason in self.closed.withLock { $0 = reason } }))
    }

    /// Numbers of the readings that were ordered.
    var numbers: [RequestNumber] {
        orders.withLock { $0.compactMap { if case .read(let number, _, _, _) = $0 { number } else { nil } } }
    }

    func credit(_ number: RequestNumber) -> Int {
        orders.withLock { orders in
            orders.reduce(0) { if case .credit(number, let bytes) = $1 { $0 + bytes } else { $0 } }
        }
    }
}

private func task(on node: String, container: String? = "c1") -> ServiceTask {
    let start = Instant(nanoseconds: 0)
    let service = Service(
        id: ServiceID("s"), createdAt: start, spec: ServiceSpec(name: "web", task: TaskSpec(container: ContainerSpec(image: "web"))))
    var status = TaskStatus(state: .running, at: start, message: "")
    status.container = container
    return ServiceTask(
        id: TaskID("t1"), createdAt: start, of: service, slot: 1, node: NodeID(node), desiredState: .running, status: status)
}

private func line(_ text: String, _ size: Int = 0) -> LogLine {
    LogLine(time: Instant(nanoseconds: 1), isError: false, bytes: Array(text.utf8) + [UInt8](repeating: 0x20, count: size))
}

@Suite(.timeLimit(.minutes(2))) struct TaskLogDeskTests {
    private func desk(_ state: NodeState = .ready) -> TaskLogDesk {
        TaskLogDesk(openingTime: .milliseconds(200)) { id in
            guard id != NodeID("nobody") else { return nil }
            var node = Node(id: id, createdAt: Instant(nanoseconds: 0), spec: NodeSpec(role: .worker))
            node.state = state
            node.description = NodeDescription(
                hostname: "host2", architecture: "x86_64", nanoCPUs: 1, memoryBytes: 1, weftVersion: "0.0.1")
            return node
        }
    }

    @Test func `lines come as they are taken, and credit follows them`() async throws {
        let (desk, node) = (desk(), FakeNode("n2"))
        let stream = node.connect(to: desk)
        let gate = AsyncStream<Void>.makeStream()
        let got = Mutex<[LogLine]>([])
        let reading = Task {
            try await desk.read(task(on: "n2"), LogOptions()) { lines in
                got.withLock { $0 += lines }
                for await _ in gate.stream { break }
            }
        }
        try await eventually("nothing is ordered") { node.numbers.count == 1 }
        let number = try #require(node.numbers.first)
        for text in ["a", "b", "c"] { desk.receive(.lines(number, [line(text, 10_000)]), over: stream) }
        try await eventually("nothing came") { !got.withLock { $0.isEmpty } }
        // The client has taken none so far.
        #expect(node.credit(number) == LogReadings.window)
        for _ in 0..<3 { gate.continuation.yield() }
        try await eventually("no credit") { node.credit(number) > LogReadings.window }
        desk.receive(.ended(number, reason: nil), over: stream)
        try await reading.value
        #expect(got.withLock { $0.map(\.bytes.first) } == [0x61, 0x62, 0x63])
    }

    @Test func `a client that takes nothing holds up no other, and its node is cut off when it sends on`() async throws {
        let (desk, node) = (desk(), FakeNode("n2"))
        let stream = node.connect(to: desk)
        let stuck = Task { try await desk.read(task(on: "n2"), LogOptions()) { _ in try await Task.sleep(for: .seconds(600)) } }
        try await eventually("nothing is ordered") { node.numbers.count == 1 }
        let first = try #require(node.numbers.first)
        for _ in 0..<3 { desk.receive(.lines(first, [line("x", 15_000)]), over: stream) }
        let got = Mutex(0)
        let other = Task { try await desk.read(task(on: "n2"), LogOptions()) { lines in got.withLock { $0 += lines.count } } }
        try await eventually("nothing is ordered") { node.numbers.count == 2 }
        desk.receive(.lines(node.numbers[1], [line("y")]), over: stream)
        desk.receive(.ended(node.numbers[1], reason: nil), over: stream)
        try await other.value
        #expect(got.withLock { $0 } == 1 && node.closed.withLock { $0 } == nil)
        for _ in 0..<3 { desk.receive(.lines(first, [line("x", 15_000)]), over: stream) }
        #expect(node.closed.withLock { $0 } != nil)
        stuck.cancel()
        _ = await stuck.result
    }

    @Test func `a client that goes away has the node told`() async throws {
        let (desk, node) = (desk(), FakeNode("n2"))
        _ = node.connect(to: desk)
        let reading = Task { try await desk.read(task(on: "n2"), LogOptions()) { _ in } }
        try await eventually("nothing is ordered") { node.numbers.count == 1 }
        reading.cancel()
        await #expect(throws: CancellationError.self) { try await reading.value }
        let number = try #require(node.numbers.first)
        #expect(node.orders.withLock { $0.last } == .cancel(number))
    }

    @Test func `what the node says of the end is told`() async throws {
        let (desk, node) = (desk(), FakeNode("n2"))
        let stream = node.connect(to: desk)
        let reading = Task { try await desk.read(task(on: "n2"), LogOptions()) { _ in } }
        try await eventually("nothing is ordered") { node.numbers.count == 1 }
        desk.receive(.ended(try #require(node.numbers.first), reason: "its container is not there any more"), over: stream)
        await #expect(throws: LogUnavailable("its container is not there any more")) { try await reading.value }
    }

    @Test(arguments: [0, 1, 2])
    func `a node that goes away ends its readings, however that is noticed`(way: Int) async throws {
        let (desk, node) = (desk(), FakeNode("n2"))
        let stream = node.connect(to: desk, over: "10.0.0.2:77")
        let reading = Task { try await desk.read(task(on: "n2"), LogOptions()) { _ in } }
        try await eventually("nothing is ordered") { node.numbers.count == 1 }
        switch way {
        case 0: desk.disconnect(stream)
        case 1:
            desk.sessionEnded(over: "10.0.0.2:78")
            #expect(node.closed.withLock { $0 } == nil)
            desk.sessionEnded(over: "10.0.0.2:77")
        default: desk.shutDown()
        }
        await #expect(throws: LogUnavailable("the connection to its node broke off")) { try await reading.value }
    }

    @Test(arguments: [
        ("n2", NodeState.down, "its node host2 is down"), ("nobody", .ready, "its node nobody is not in the swarm any more"),
        ("n2", .ready, "its node host2 does not hand it out: weftd there, of version 0.0.1, is older than that"),
    ])
    func `a node that has no stream is told with the reason`(node: String, state: NodeState, sentence: String) async throws {
        let desk = desk(state)
        let failure = await #expect(throws: LogUnavailable.self) { try await desk.read(task(on: node), LogOptions()) { _ in } }
        #expect(failure?.description.hasPrefix(sentence) == true, "\(String(describing: failure))")
    }

    @Test func `a node that knows how, and is not there now, is not called old`() async throws {
        let (desk, node) = (desk(), FakeNode("n2"))
        desk.disconnect(node.connect(to: desk))
        await #expect(throws: LogUnavailable("its node host2 is not connected at the moment")) {
            try await desk.read(task(on: "n2"), LogOptions()) { _ in }
        }
    }
}
