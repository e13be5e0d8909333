package import WeftModel

/// What waits to be sent of this node's tasks' output on one stream to a manager.
///
/// Each reading has its turn, as far as its credit goes, so that neither a chatty task nor one that nobody takes from holds up the
/// others. What may wait is bounded for each. A manager's port counts frames (`PortLimits`): there is a pause between two messages, in which
/// what a task writes line by line comes together.
package struct LogOutflow: Sendable {
    /// What a message is filled up to: with its head it fits into one frame of HTTP/2.
    package static let messageBytes = 15 << 10
    /// Readings at a time.
    package static let readingsMax = 256
    /// Between two messages: a third of the frames that a member may send.
    package static let pause = Duration.milliseconds(6)

    /// What is to be done now.
    package enum Step: Hashable, Sendable {
        case send(NodeLog)
        case wait(until: Instant)
        /// Until something changes.
        case rest
    }

    private struct Reading {
        var credit = 0
        var lines: [LogLine] = []
        var bytes = 0
        /// The output is at its end, or will be had no further.
        var end: End?
        struct End { var reason: String? }

        var message: Bool { credit > 0 && !lines.isEmpty || lines.isEmpty && end != nil }
    }

    private var readings: [RequestNumber: Reading] = [:]
    /// Who has the next turn is first.
    private var turns: [RequestNumber] = []
    private var nextSending: Instant?

    package init() {}

    /// False: there are too many, which the manager is told, or there is one of the number.
    package mutating func begin(_ number: RequestNumber) -> Bool {
        guard readings[number] == nil else { return false }
        let hasPlace = readings.count < Self.readingsMax
        readings[number] = Reading()
        turns.append(number)
        if !hasPlace { end(number, reason: "its node reads too many tasks' output at the moment") }
        return hasPlace
    }

    package mutating func credit(_ number: RequestNumber, bytes: Int) {
        guard let credit = readings[number]?.credit, bytes > 0 else { return }
        readings[number]?.credit = credit > Int(Int32.max) - min(bytes, Int(Int32.max)) ? Int(Int32.max) : credit + bytes
    }

    /// Nobody wants more of it; what waits is forgotten.
    package mutating func cancel(_ number: RequestNumber) {
        readings[number] = nil
        turns.removeAll { $0 == number }
    }

    /// Whether so many bytes may wait, with what waits.
    package func hasRoom(for bytes: Int, _ number: RequestNumber) -> Bool {
        guard let reading = readings[number] else { return true }
        return reading.lines.isEmpty || reading.bytes + bytes <= Self.messageBytes
    }

    package mutating func add(_ lines: [LogLine], to number: RequestNumber) {
        readings[number]?.lines += lines
        readings[number]?.bytes += lines.reduce(0) { $0 + $1.sizeBytes }
    }

    /// Nothing more is added; after what waits, this is told.
    package mutating func end(_ number: RequestNumber, reason: String?) { readings[number]?.end = Reading.End(reason: reason) }

    package mutating func next(now: Instant) -> Step {
        guard let index = turns.firstIndex(where: { readings[$0]?.message == true }) else { return .rest }
        if let nextSending, now < nextSending { return .wait(until: nextSending) }
        let number = turns.remove(at: index)
        guard var reading = readings[number] else { return .rest }
        nextSending = now + Self.pause
        guard !reading.lines.isEmpty else {
            readings[number] = nil
            return .send(.ended(number, reason: reading.end?.reason))
        }
        var size = 0
        let batch = reading.lines.prefix { line in
            defer { size += line.sizeBytes }
            return size == 0 || size + line.sizeBytes <= Self.messageBytes
        }
        let taken = batch.reduce(0) { $0 + $1.sizeBytes }
        reading.lines.removeFirst(batch.count)
        reading.bytes -= taken
        reading.credit -= taken
        readings[number] = reading
        turns.append(number)
        return .send(.lines(number, Array(batch)))
    }
}
