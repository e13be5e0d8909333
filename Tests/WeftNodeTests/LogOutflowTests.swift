import Testing
import WeftModel
import WeftNode

/// A clock that goes on by itself, and what was sent by it.
private struct Outlet {
    var flow = LogOutflow()
    var now = Instant(nanoseconds: 1_000_000_000)
    var sent: [NodeLog] = []

    /// Sends all that can be sent.
    mutating func run() {
        while true {
            switch flow.next(now: now) {
            case .send(let log): sent.append(log)
            case .wait(let until):
                #expect(until > now)
                now = until
            case .rest: return
            }
        }
    }

    func bytes(_ number: RequestNumber) -> Int {
        sent.reduce(0) { sum, log in
            if case .lines(number, let lines) = log { lines.reduce(sum) { $0 + $1.bytes.count } } else { sum }
        }
    }
}

private func line(_ count: Int) -> LogLine {
    LogLine(time: Instant(nanoseconds: 1), isError: false, bytes: [UInt8](repeating: 0x61, count: count))
}

@Suite("What leaves a node of its tasks' output")
struct LogOutflowTests {
    @Test("Nothing goes without credit, and no more than it and one message")
    func credit() {
        var outlet = Outlet()
        let isTaken1 = outlet.flow.begin(1)
        #expect(isTaken1)
        outlet.flow.add([line(1000)], to: 1)
        outlet.run()
        #expect(outlet.sent.isEmpty)
        outlet.flow.credit(1, bytes: 20_000)
        for _ in 0..<100 where outlet.flow.hasRoom(for: line(1000).sizeBytes, 1) { outlet.flow.add([line(1000)], to: 1) }
        outlet.run()
        for _ in 0..<10 {
            while outlet.flow.hasRoom(for: line(1000).sizeBytes, 1) { outlet.flow.add([line(1000)], to: 1) }
            outlet.run()
        }
        #expect((20_000 - 15_000...20_000 + LogOutflow.messageBytes).contains(outlet.bytes(1)))
        outlet.flow.credit(1, bytes: .max)
        outlet.flow.credit(1, bytes: .max)
        outlet.run()
        #expect(!outlet.flow.hasRoom(for: LogOutflow.messageBytes, 1) || outlet.flow.hasRoom(for: 1, 1))
    }

    @Test("What may wait of a task is bounded, a line that is larger than a message goes alone")
    func room() {
        var outlet = Outlet()
        _ = outlet.flow.begin(1)
        outlet.flow.credit(1, bytes: 1 << 20)
        #expect(outlet.flow.hasRoom(for: 1 << 20, 1))
        outlet.flow.add([line(LogLine.bytesMax)], to: 1)
        #expect(!outlet.flow.hasRoom(for: 1, 1))
        outlet.run()
        #expect(outlet.sent == [.lines(1, [line(LogLine.bytesMax)])])
    }

    @Test("Lines that come one by one go together, with a pause between messages")
    func together() {
        var outlet = Outlet()
        _ = outlet.flow.begin(1)
        outlet.flow.credit(1, bytes: 1 << 20)
        let began = outlet.now
        for _ in 0..<200 {
            outlet.flow.add([line(10)], to: 1)
            if case .send(let log) = outlet.flow.next(now: outlet.now) { outlet.sent.append(log) }
            outlet.now = outlet.now + .milliseconds(1)
        }
        outlet.run()
        #expect(outlet.bytes(1) == 2000)
        #expect(outlet.sent.count <= Int((outlet.now - began) / LogOutflow.pause) + 2)
    }

    @Test("A chatty task leaves the others their turns, and one that nobody takes from stops none")
    func turns() throws {
        var outlet = Outlet()
        for number in RequestNumber(1)...3 {
            _ = outlet.flow.begin(number)
            if number != 2 { outlet.flow.credit(number, bytes: 1 << 20) }
        }
        outlet.flow.add([line(10)], to: 2)
        for _ in 0..<50 { outlet.flow.add([line(15_000)], to: 1) }
        outlet.flow.add([line(10)], to: 3)
        outlet.run()
        let third = try #require(outlet.sent.firstIndex { $0.number == 3 })
        #expect(third <= 1 && outlet.bytes(1) == 50 * 15_000 && outlet.bytes(2) == 0)
    }

    @Test("The end is told after the lines, also without credit for more; what is cancelled says nothing")
    func ends() {
        var outlet = Outlet()
        for number in RequestNumber(1)...3 { _ = outlet.flow.begin(number) }
        outlet.flow.add([line(10)], to: 1)
        outlet.flow.end(1, reason: "broken")
        outlet.flow.end(2, reason: nil)
        outlet.flow.add([line(10)], to: 3)
        outlet.flow.end(3, reason: nil)
        outlet.run()
        #expect(outlet.sent == [.ended(2, reason: nil)])
        outlet.flow.cancel(3)
        outlet.flow.credit(3, bytes: 100)
        outlet.flow.credit(1, bytes: 1)
        outlet.run()
        #expect(outlet.sent == [.ended(2, reason: nil), .lines(1, [line(10)]), .ended(1, reason: "broken")])
        let isTaken2 = outlet.flow.begin(1)
        #expect(isTaken2, "its number is free again")
    }

    @Test("There are no more readings than may be, and one too many is told so")
    func bound() {
        var outlet = Outlet()
        for number in 0..<RequestNumber(LogOutflow.readingsMax) {
            let isTaken3 = outlet.flow.begin(number)
            #expect(isTaken3)
        }
        let isTaken4 = outlet.flow.begin(0)
        #expect(!isTaken4, "one of the number is there")
        let isTaken5 = outlet.flow.begin(1000)
        #expect(!isTaken5)
        outlet.run()
        #expect(outlet.sent.map(\.number) == [1000])
    }
}
