import Logging
import NIOCore
import Synchronization
import TestSupport
import Testing
import WeftEngine
import WeftModel
import WeftNode

@testable import WeftAgent

/// A frame of an engine's log.
private func frame(_ stream: UInt8, _ text: String) -> [UInt8] {
    let length = UInt32(text.utf8.count)
    return [stream, 0, 0, 0] + (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * $0)) } + Array(text.utf8)
}

private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
private let stamp = "2026-11-21T09:47:23.122615443Z"
private let time = Instant(nanoseconds: 1_795_254_443_122_615_443)

private func line(_ text: String, isError: Bool = false, details: String = "") -> LogLine {
    LogLine(time: time, isError: isError, bytes: Array(text.utf8), details: details)
}

@Suite("An engine's log")
struct EngineLogTests {
    @Test("is read however it is cut")
    func cuts() throws {
        let bytes = frame(1, "\(stamp) one\n") + frame(2, "\(stamp) two words\n") + frame(1, "\(stamp) \n")
        for size in [1, 7, bytes.count] {
            var frames = LogFrames(isRaw: false)
            var lines: [LogLine] = []
            for start in stride(from: 0, to: bytes.count, by: size) {
                lines += try frames.take(ByteBuffer(bytes: bytes[start..<min(start + size, bytes.count)]))
            }
            #expect(lines == [line("one\n"), line("two words\n", isError: true), line("\n")])
        }
        var damaged = LogFrames(isRaw: false)
        #expect(throws: LogFrames.Broken.self) { try damaged.take(ByteBuffer(bytes: [9, 0, 0, 0, 0, 0, 0, 1, 0])) }
    }

    @Test("of a terminal is lines, the last of which may have no end")
    func terminal() throws {
        var raw = LogFrames(isRaw: true)
        #expect(try raw.take(ByteBuffer(string: "\(stamp) a")).isEmpty)
        #expect(try raw.take(ByteBuffer(string: "b\nno time here\n\(stamp) end")) == [line("ab\n"), line("no time here\n")])
        #expect(raw.rest() == [line("end")] && raw.rest().isEmpty)
    }

    @Test("has details before the text, and long lines in parts")
    func details() throws {
        var frames = LogFrames(isRaw: false, hasDetails: true)
        let bytes = frame(1, "\(stamp) env=x,tag=y one two\n") + frame(1, "\(stamp)  plain\n")
        #expect(try frames.take(ByteBuffer(bytes: bytes)) == [line("one two\n", details: "env=x,tag=y"), line("plain\n")])
        let long = String(repeating: "x", count: LogLine.bytesMax + 5)
        #expect(try frames.take(ByteBuffer(bytes: frame(1, "\(stamp)  \(long)"))).map(\.bytes.count) == [LogLine.bytesMax, 5])
    }

    private static func http(_ status: Int, _ body: String) -> String {
        "HTTP/1.1 \(status) X\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    @Test("is asked for as it was asked for, and a refusal is the engine's sentence")
    func request() async throws {
        let body = String(decoding: frame(1, "\(stamp)  out\n") + frame(2, "\(stamp)  err\n"), as: UTF8.self)
        let server = try CannedServer([Self.http(200, body), Self.http(404, #"{"message":"No such container: c0ffee"}"#)])
        let driver = EngineTaskDriver(server, try WorkloadNode().containers)
        var options = LogOptions()
        (options.follows, options.tail, options.hasDetails) = (true, 5, true)
        options.since = Instant(nanoseconds: 17_000_000_050)
        let got = Mutex<[LogLine]>([])
        try await driver.readLog(of: "c0ffee", hasTerminal: false, options) { lines in got.withLock { $0 += lines } }
        #expect(got.withLock { $0 } == [line("out\n"), line("err\n", isError: true)])
        let query = "stdout=1&stderr=1&timestamps=1&details=1&follow=1&since=17.000000050&tail=5"
        #expect(server.received.first?.hasPrefix("GET /containers/c0ffee/logs?\(query) ") == true)
        await #expect(throws: EngineError.refused(status: 404, message: "No such container: c0ffee")) {
            try await driver.readLog(of: "c0ffee", hasTerminal: false, LogOptions()) { _ in }
        }
    }
}

/// What a manager was sent.
private final class SentLogs: Sendable {
    private let all = Mutex<[NodeLog]>([])

    func add(_ log: NodeLog) { all.withLock { $0.append(log) } }
    var last: NodeLog? { all.withLock { $0.last } }
    var count: Int { all.withLock { $0.reduce(0) { if case .lines(_, let lines) = $1 { $0 + lines.count } else { $0 } } } }
}

/// One runtime with one container, which writes what the test says.
private final class WritingDriver: TaskDriver {
    let asked = Mutex<[String]>([])
    let lines: AsyncStream<[LogLine]>
    let line: AsyncStream<[LogLine]>.Continuation
    let taken = Mutex(0)
    let failure = Mutex<(any Error)?>(nil)
    private let task: TaskID

    init(_ task: TaskID) {
        self.task = task
        (lines, line) = AsyncStream.makeStream()
    }

    func found() -> [FoundTask] { [FoundTask(task: task, container: "c1", phase: .running(StartedTask(pid: nil)))] }
    func prepare(_ order: TaskOrder) throws -> String { throw TaskFailure("no") }
    func start(_ container: String) throws -> StartedTask { throw TaskFailure("no") }
    func wait(_ container: String, _ tell: @escaping @Sendable (TaskNews) -> Void) async -> TaskEnd? {
        while !Task.isCancelled { try? await Task.sleep(for: .seconds(3600)) }
        return nil
    }
    func running(_ container: String) -> StartedTask? { nil }
    func shutDown(_ container: String, signal: String, grace: Duration) -> TaskEnd { TaskEnd(exitCode: 0) }
    func remove(_ container: String) {}
    func readLog(
        of container: String, hasTerminal: Bool, _ options: LogOptions, _ take: ([LogLine]) async throws -> Void
    ) async throws {
        asked.withLock { $0.append(container) }
        if let failure = failure.withLock({ $0 }) { throw failure }
        for await lines in lines {
            try await take(lines)
            taken.withLock { $0 += lines.count }
        }
        try Task.checkCancellation()
    }
}

@Suite("A node's tasks' output", .timeLimit(.minutes(2)))
struct TaskOutputTests {
    private static let id = TaskID("t1")

    /// A node that has the task in a container.
    private func withKeeper(_ body: (TaskKeeper, WritingDriver) async throws -> Void) async throws {
        let driver = WritingDriver(Self.id)
        let started = ContinuousClock.now
        let keeper = TaskKeeper(
            drivers: [.container: driver],
            now: { Instant(nanoseconds: Int64((ContinuousClock.now - started) / .nanoseconds(1))) }, logger: logger)
        let start = Instant(nanoseconds: 0)
        let spec = ServiceSpec(name: "web", task: TaskSpec(container: ContainerSpec(image: "web")))
        let task = ServiceTask(
            id: Self.id, createdAt: start, of: Service(id: ServiceID("s"), createdAt: start, spec: spec), slot: 1, node: NodeID("n1"),
            desiredState: .running, status: TaskStatus(state: .running, at: start, message: ""))
        keeper.assigned(AssignedTasks(tasks: [task]))
        keeper.follow()
        try await eventually("the container is not known") { try await keeper.read { $0.container(of: Self.id) } == "c1" }
        do { try await body(keeper, driver) } catch {
            await keeper.shutDown()
            throw error
        }
        await keeper.shutDown()
    }

    @Test("is read of its own tasks alone, in their containers of the moment, and of the streams that are wanted")
    func own() async throws {
        try await withKeeper { keeper, driver in
            await #expect(throws: LogUnavailable("its node does not have the task")) {
                try await keeper.readLog(of: TaskID("t2"), container: "c1", LogOptions()) { _ in }
            }
            await #expect(throws: LogUnavailable("its container is not there any more")) {
                try await keeper.readLog(of: Self.id, container: "../c1", LogOptions()) { _ in }
            }
            #expect(driver.asked.withLock { $0.isEmpty })
            driver.line.yield([line("a"), line("b", isError: true)])
            driver.line.finish()
            var options = LogOptions()
            options.hasOutput = false
            let got = Mutex<[LogLine]>([])
            try await keeper.readLog(of: Self.id, container: "c1", options) { lines in got.withLock { $0 += lines } }
            #expect(got.withLock { $0 } == [line("b", isError: true)])
        }
    }

    @Test("fails with the runtime's sentence, and with the taker's own error when that does not take it")
    func failures() async throws {
        struct Gone: Error {}
        try await withKeeper { keeper, driver in
            driver.line.yield([line("a")])
            await #expect(throws: Gone.self) { try await keeper.readLog(of: Self.id, container: "c1", LogOptions()) { _ in throw Gone() } }
            driver.failure.withLock { $0 = EngineError.absent(path: "/x") }
            await #expect(throws: LogUnavailable("no container engine listens at /x")) {
                try await keeper.readLog(of: Self.id, container: "c1", LogOptions()) { _ in }
            }
        }
    }

    @Test("goes to a manager as far as its credit, and the task is read no further than that")
    func credit() async throws {
        try await withKeeper { keeper, driver in
            let (orders, order) = AsyncThrowingStream<LogOrder, any Error>.makeStream()
            let sent = SentLogs()
            let serving = Task { try await keeper.serveLogs(orders) { log in sent.add(log) } }
            order.yield(.read(4, Self.id, container: "c1", LogOptions()))
            for _ in 0..<200 { driver.line.yield([line(String(repeating: "x", count: 1000))]) }
            // One message's worth waits at the node; the rest is not read so far.
            try await eventually("nothing is read") { driver.taken.withLock { $0 } >= 13 }
            #expect(driver.taken.withLock { $0 } <= 15 && sent.count == 0)
            order.yield(.credit(4, bytes: 20_000))
            try await eventually("too little is sent") { sent.count >= 20 }
            #expect(sent.count <= 35)
            order.yield(.credit(4, bytes: 1 << 20))
            driver.line.finish()
            try await eventually("not all is sent") { sent.last == .ended(4, reason: nil) }
            #expect(sent.count == 200)
            order.finish()
            try await serving.value
        }
    }

    @Test("that nobody wants any more is read no more; what cannot be read is told why")
    func cancelled() async throws {
        try await withKeeper { keeper, driver in
            let (orders, order) = AsyncThrowingStream<LogOrder, any Error>.makeStream()
            let sent = Mutex<[NodeLog]>([])
            let serving = Task { try await keeper.serveLogs(orders) { log in sent.withLock { $0.append(log) } } }
            order.yield(.read(1, TaskID("t9"), container: "c1", LogOptions()))
            try await eventually("not told") { sent.withLock { $0 } == [.ended(1, reason: "its node does not have the task")] }
            order.yield(.read(2, Self.id, container: "c1", LogOptions()))
            try await eventually("not read") { driver.asked.withLock { $0.count } == 1 }
            order.yield(.cancel(2))
            order.yield(.read(2, TaskID("t9"), container: "c1", LogOptions()))
            try await eventually("not told") { sent.withLock { $0.count } == 2 }
            order.finish()
            try await serving.value
        }
    }
}
