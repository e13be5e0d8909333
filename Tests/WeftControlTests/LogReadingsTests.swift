import Testing
import WeftControl
import WeftModel

private let (one, two) = (NodeID("n1"), NodeID("n2"))
private let task = TaskID("t1")

private func lines(_ number: RequestNumber, _ bytes: Int) -> NodeLog {
    .lines(number, [LogLine(time: Instant(nanoseconds: 1), isError: false, bytes: [UInt8](repeating: 0x61, count: bytes))])
}

extension LogReadings {
    fileprivate mutating func begin(on node: NodeID) throws(LogUnavailable) -> RequestNumber {
        try begin(task, container: "c1", on: node, LogOptions()).0
    }
}

@Suite("What a manager reads of tasks' output on nodes")
struct LogReadingsTests {
    @Test("A reading is ordered with its credit, over the node's own stream, and ended by the node")
    func life() throws {
        var readings = LogReadings()
        #expect(throws: LogUnavailable.self) { try readings.begin(on: one) }
        let (stream, _) = readings.open(one)
        let (number, actions) = try readings.begin(task, container: "c1", on: one, LogOptions())
        #expect(
            actions == [
                .order(stream, .read(number, task, container: "c1", LogOptions())),
                .order(stream, .credit(number, bytes: LogReadings.window)),
            ])
        guard case .lines(_, let some) = lines(number, 5) else { return }
        #expect(readings.received(lines(number, 5), over: stream) == [.deliver(number, some)])
        #expect(readings.received(.ended(number, reason: nil), over: stream) == [.end(number, reason: nil)])
        #expect(readings.received(lines(number, 5), over: stream).isEmpty && readings.count == 0)
    }

    @Test("What another node says of a reading is for nobody")
    func foreignNumber() throws {
        var readings = LogReadings()
        _ = readings.open(one)
        let (other, _) = readings.open(two)
        let number = try readings.begin(on: one)
        #expect(readings.received(lines(number, 5), over: other).isEmpty)
        #expect(readings.received(.ended(number, reason: "x"), over: other).isEmpty && readings.count == 1)
    }

    @Test("A node that sends more than was taken loses its stream, and no reading of another node's ends")
    func overflow() throws {
        var readings = LogReadings()
        let (stream, _) = readings.open(one)
        let (other, _) = readings.open(two)
        let number = try readings.begin(on: one)
        let elsewhere = try readings.begin(on: two)
        var delivered = 0
        var last: [LogReadings.Action] = []
        for _ in 0..<100 {
            last = readings.received(lines(number, 10_000), over: stream)
            guard case .deliver? = last.first else { break }
            delivered += 10_032
        }
        #expect(delivered < LogReadings.window + 10_032)
        #expect(last.count == 2 && last.first == .end(number, reason: "the connection to its node broke off"))
        guard case .close(stream, _)? = last.last else { throw LogUnavailable("\(last)") }
        #expect(readings.received(lines(elsewhere, 5), over: other).count == 1 && !readings.hasStream(one))
    }

    @Test("A node is told what was taken before it waits, and can go on without end")
    func credit() throws {
        var readings = LogReadings()
        let (stream, _) = readings.open(one)
        let number = try readings.begin(on: one)
        var credit = LogReadings.window
        for round in 0..<500 {
            #expect(credit > 0, "the node waits in round \(round)")
            credit -= 15_000
            guard case .deliver? = readings.received(lines(number, 15_000 - 32), over: stream).first else {
                throw LogUnavailable("refused in round \(round)")
            }
            for case .order(_, .credit(_, let bytes)) in readings.taken(number, bytes: 15_000) { credit += bytes }
        }
    }

    @Test("A new stream of a node takes the place of the former, whose readings end")
    func replaced() throws {
        var readings = LogReadings()
        let (former, _) = readings.open(one)
        let number = try readings.begin(on: one)
        let (stream, actions) = readings.open(one)
        #expect(actions.first == .end(number, reason: "the connection to its node broke off"))
        guard case .close(former, _)? = actions.last else { throw LogUnavailable("\(actions)") }
        #expect(readings.close(former).isEmpty && readings.hasStream(one))
        let next = try readings.begin(on: one)
        #expect(next != number && readings.close(stream) == [.end(next, reason: "the connection to its node broke off")])
    }

    @Test("What nobody wants any more is cancelled once, and there is a bound for each node")
    func cancelled() throws {
        var readings = LogReadings()
        let (stream, _) = readings.open(one)
        _ = readings.open(two)
        let number = try readings.begin(on: one)
        #expect(readings.cancel(number) == [.order(stream, .cancel(number))] && readings.cancel(number).isEmpty)
        #expect(readings.taken(number, bytes: 1 << 20).isEmpty)
        for _ in 0..<LogReadings.perNode { _ = try readings.begin(on: one) }
        #expect(throws: LogUnavailable.self) { try readings.begin(on: one) }
        _ = try readings.begin(on: two)
    }
}
