package import WeftModel

/// Identifies a node's stream of its tasks' output, among all that there were.
package struct LogStreamID: Hashable, Sendable, Comparable {
    package let rawValue: UInt64
    package init(_ rawValue: UInt64) { self.rawValue = rawValue }
    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// What a manager reads at the moment of tasks' output on nodes, each node over one stream that it opened.
///
/// A reading belongs to one stream: what another says of its number is for nobody. A node may send of each as much as was taken of it
/// before, and a window more, so that what waits for a client that takes nothing is bounded.
package struct LogReadings: Sendable {
    /// What may be on its way of one reading, and wait here.
    package static let window = 48 << 10
    /// Readings at a time, of one node and of all.
    package static let perNode = 256
    package static let overall = 2048

    package enum Action: Hashable, Sendable {
        case order(LogStreamID, LogOrder)
        case deliver(RequestNumber, [LogLine])
        /// With nil the output is at its end; else the sentence says why there is no more.
        case end(RequestNumber, reason: String?)
        /// The node does not keep to what was agreed, or has another stream.
        case close(LogStreamID, reason: String)
    }

    private struct Reading {
        let stream: LogStreamID
        /// What the node may still send, and what was taken since it was told so last.
        var credit = LogReadings.window
        var taken = 0
    }

    private struct Stream {
        let node: NodeID
        var numbers: Set<RequestNumber> = []
    }

    private var readings: [RequestNumber: Reading] = [:]
    private var streams: [LogStreamID: Stream] = [:]
    private var byNode: [NodeID: LogStreamID] = [:]
    private var nextNumber: RequestNumber = 1
    private var nextStream: UInt64 = 1

    package init() {}

    package var count: Int { readings.count }
    package func hasStream(_ node: NodeID) -> Bool { byNode[node] != nil }

    // MARK: Streams

    /// A node has one: a new one takes the place of the former.
    package mutating func open(_ node: NodeID) -> (LogStreamID, [Action]) {
        var actions: [Action] = []
        if let former = byNode[node] { actions = close(former) + [.close(former, reason: "the node has opened another stream")] }
        let stream = LogStreamID(nextStream)
        nextStream += 1
        streams[stream] = Stream(node: node)
        byNode[node] = stream
        return (stream, actions)
    }

    package mutating func close(_ id: LogStreamID) -> [Action] {
        guard let stream = streams.removeValue(forKey: id) else { return [] }
        if byNode[stream.node] == id { byNode[stream.node] = nil }
        return stream.numbers.sorted().map { number in
            readings[number] = nil
            return .end(number, reason: "the connection to its node broke off")
        }
    }

    package mutating func received(_ log: NodeLog, over stream: LogStreamID) -> [Action] {
        // Of a reading that was cancelled, something may be under way.
        guard var reading = readings[log.number], reading.stream == stream else { return [] }
        switch log {
        case .lines(let number, let lines):
            guard reading.credit > 0 else {
                return close(stream) + [.close(stream, reason: "the node sends more of a task's output than it may")]
            }
            // The last message of a credit may go beyond it.
            reading.credit -= lines.reduce(0) { $0 + $1.sizeBytes }
            readings[number] = reading
            return lines.isEmpty ? [] : [.deliver(number, lines)]
        case .ended(let number, let reason):
            forget(number)
            return [.end(number, reason: reason)]
        }
    }

    // MARK: Readings

    /// Throws why it cannot be.
    package mutating func begin(
        _ task: TaskID, container: String, on node: NodeID, _ options: LogOptions
    ) throws(LogUnavailable) -> (RequestNumber, [Action]) {
        guard let stream = byNode[node] else { throw LogUnavailable("its node has no connection for it") }
        guard readings.count < Self.overall, streams[stream]?.numbers.count ?? 0 < Self.perNode else {
            throw LogUnavailable("too many outputs of tasks are read at the moment; try again when others are done")
        }
        let number = nextNumber
        nextNumber += 1
        readings[number] = Reading(stream: stream)
        streams[stream]?.numbers.insert(number)
        return (
            number,
            [
                .order(stream, .read(number, task, container: container, options)),
                .order(stream, .credit(number, bytes: Self.window)),
            ]
        )
    }

    /// The client has taken so much of what was delivered. The node is told now and then, before it waits for it.
    package mutating func taken(_ number: RequestNumber, bytes: Int) -> [Action] {
        guard var reading = readings[number] else { return [] }
        reading.taken += bytes
        defer { readings[number] = reading }
        guard reading.taken >= Self.window / 3 else { return [] }
        let credit = reading.taken
        reading.credit += credit
        reading.taken = 0
        return [.order(reading.stream, .credit(number, bytes: credit))]
    }

    /// Nobody wants more of it.
    package mutating func cancel(_ number: RequestNumber) -> [Action] {
        guard let stream = readings[number]?.stream else { return [] }
        forget(number)
        return [.order(stream, .cancel(number))]
    }

    private mutating func forget(_ number: RequestNumber) {
        guard let reading = readings.removeValue(forKey: number) else { return }
        streams[reading.stream]?.numbers.remove(number)
    }
}
