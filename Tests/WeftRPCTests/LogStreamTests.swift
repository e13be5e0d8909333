import GRPCCore
import Synchronization
import TestSupport
import Testing
import WeftModel

@testable import WeftIdentity
@testable import WeftRPC

/// Streams of tasks' output beside a session, over real connections with the limits of a manager's port.
@Suite("Streams of tasks' output", .timeLimit(.minutes(5))) struct LogStreamTests {
    private static let order = LogOrder.read(7, TaskID("t1"), container: "c1", LogOptions())

    private static func lines(_ number: RequestNumber, _ bytes: Int) -> NodeLog {
        .lines(number, [LogLine(time: Instant(nanoseconds: 5), isError: true, bytes: [UInt8](repeating: 0x78, count: bytes))])
    }

    /// Runs a node with a session and such a stream.
    private func withNode(
        _ service: TestManager, limits: PortLimits = .patient, logs: @escaping LogServing,
        _ body: (borrowing Mutex<[SessionEnd]>) async throws -> Void
    ) async throws {
        try await withServer(service, limits: limits) { address in
            let scratch = try Scratch()
            let client = DispatcherClient(
                credentials: try NodeCredentials(try await join(service, address), directory: scratch.path), managers: [address],
                silenceLimit: patience, opening: .patient, logs: logs, logger: logger)
            let ends = Ends()
            let running = Task {
                await client.run(
                    serve: { session, incoming in
                        try session.send(hello)
                        for try await _ in incoming {}
                    }, ended: { end in ends.all.withLock { $0.append(end) } })
            }
            defer { running.cancel() }
            try await body(ends.all)
        }
    }

    private final class Ends: Sendable { let all = Mutex<[SessionEnd]>([]) }

    @Test("carry orders and lines, and end with the session")
    func bothWays() async throws {
        let service = try TestManager()
        let ended = Scratchpad()
        let serve: LogServing = { orders, send in
            defer { ended.add("ended") }
            for try await order in orders {
                if case .read(let number, _, _, _) = order {
                    try await send(Self.lines(number, 3))
                    try await send(.ended(number, reason: "enough"))
                }
            }
        }
        try await withNode(service, logs: serve) { _ in
            try await eventually("no stream") { !service.logStreams.withLock { $0.isEmpty } }
            let stream = try #require(service.logStreams.withLock { $0.first })
            try stream.send(Self.order)
            try await eventually("no lines") { service.logs.withLock { $0.count } == 2 }
            #expect(service.logs.withLock { $0 } == [Self.lines(7, 3), .ended(7, reason: "enough")])
            let session = try #require(service.sessions.withLock { $0.first })
            #expect(session.node == stream.node && session.remoteAddress == stream.remoteAddress)
            session.close(reason: "test")
            try await eventually("the stream goes on") { ended.lines.count == 1 }
            try await eventually("no other stream") { service.logStreams.withLock { $0.count } == 2 }
        }
    }

    @Test("are opened again when they end, and the session goes on meanwhile")
    func again() async throws {
        let service = try TestManager()
        let serve: LogServing = { orders, _ in for try await _ in orders { throw SessionError.closed } }
        try await withNode(service, logs: serve) { ends in
            try await eventually("no stream") { !service.logStreams.withLock { $0.isEmpty } }
            try service.logStreams.withLock { $0.first }?.send(Self.order)
            try await eventually("no other stream") { service.logStreams.withLock { $0.count } == 2 }
            #expect(ends.withLock { $0.isEmpty } && service.sessions.withLock { $0.count } == 1)
        }
    }

    /// At the pace and with the messages of a node's (`LogOutflow`), for longer than the burst lasts that a member has.
    @Test("take messages of a frame each as fast as a node sends them, within a member's frames")
    func frames() async throws {
        let service = try TestManager()
        // Had each message more than two frames, this would be too many at the pace below.
        var limits = PortLimits.patient
        limits.memberFrames = .init(burst: 64, perSecond: 512)
        let count = 400
        let serve: LogServing = { orders, send in
            for try await case .read(let number, _, _, _) in orders {
                for _ in 0..<count {
                    try await send(Self.lines(number, (15 << 10) - 32))
                    try await Task.sleep(for: .milliseconds(6))
                }
            }
        }
        try await withNode(service, limits: limits, logs: serve) { ends in
            try await eventually("no stream") { !service.logStreams.withLock { $0.isEmpty } }
            try service.logStreams.withLock { $0.first }?.send(Self.order)
            try await eventually("not all came") { service.logs.withLock { $0.count } == count || !ends.withLock { $0.isEmpty } }
            #expect(service.logs.withLock { $0.count } == count && ends.withLock { $0.isEmpty })
        }
    }

    @Test("have forms that come back as they went", arguments: [0, 1, 2, 3, 4])
    func forms(index: Int) throws {
        var options = LogOptions()
        (options.follows, options.hasOutput, options.hasDetails) = (true, false, true)
        (options.since, options.tail) = (Instant(nanoseconds: -3), 0)
        let orders: [LogOrder] = [
            .read(1, TaskID("t"), container: "c", LogOptions()), .read(2, TaskID("t"), container: "c", options), .credit(3, bytes: 9),
            .cancel(4), .credit(5, bytes: 1 << 40),
        ]
        #expect(try LogOrder(wire: Weft_V1_LogOrder(orders[index])) == orders[index])
        let line = LogLine(time: Instant(nanoseconds: 1), isError: true, bytes: [0, 255, 10], details: "a=b")
        let logs: [NodeLog] = [.lines(1, []), .lines(2, [line, line]), .ended(3, reason: nil), .ended(4, reason: ""), .lines(5, [line])]
        #expect(try NodeLog(wire: Weft_V1_NodeLog(logs[index])) == logs[index])
    }

    @Test("leave alone what a later version says, and refuse ids that are none")
    func foreign() throws {
        #expect(try LogOrder(wire: Weft_V1_LogOrder()) == nil && NodeLog(wire: Weft_V1_NodeLog()) == nil)
        var wire = Weft_V1_LogOrder()
        wire.read.task = "t1"
        wire.read.container = "../etc"
        #expect(throws: WireError.self) { try LogOrder(wire: wire) }
        wire.read.container = "c1"
        wire.read.tail = .max
        guard case .read(_, _, _, let options)? = try LogOrder(wire: wire) else { throw WireError(field: "read", problem: "none") }
        #expect(options.tail == Int.max)
    }
}
