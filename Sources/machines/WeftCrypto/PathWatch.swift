package import WeftModel

/// Which peers are reached under the keys in use, and get what is sent to them at its full length: when the tunnel asks whom, and what
/// follows from the answers. Pure: whoever has it asks, and tells what came.
package struct PathWatch: Sendable {
    /// What is to be asked: an IP packet's length inside the tunnel. Numbers grow.
    package struct Question: Equatable, Sendable {
        package let node: NodeID
        package let number: UInt64
        package let length: UInt16
    }

    /// What is known of the questions to a peer.
    package struct Result: Equatable, Sendable {
        /// The highest number that was answered.
        package var answered: UInt64
        package var roundTrip: Duration
        /// Questions of the peer's own that came.
        package var heard: UInt64

        package init(answered: UInt64, roundTrip: Duration = .zero, heard: UInt64) {
            self.answered = answered
            self.roundTrip = roundTrip
            self.heard = heard
        }
    }

    private struct Path: Sendable {
        /// The first question of full length that no answer came to, nor to a later one; 0: there is none.
        var open: UInt64 = 0
        var askedAt: Duration?
        /// Questions of full length without an answer, since the last one that had one.
        var missed = 0
        var answeredAt: Duration?
        var shortAnswered: UInt64 = 0
        var shortAnsweredAt: Duration?
        var roundTrip = Duration.zero
        var heard: UInt64 = 0
        var heardAt: Duration?
    }

    /// Between questions where there is no answer, and how long one may take.
    package static let interval = Duration.seconds(1)
    /// Between questions that are answered.
    package static let calm = Duration.seconds(10)
    /// Between questions to who has not answered for long.
    package static let resigned = Duration.seconds(5)
    /// Unanswered questions in a row after which the path counts as out of order.
    package static let missedMax = 3
    /// As many as come together until the managers have noticed that a node is down: what is told to others waits for them.
    package static let missedLong = 20

    private var paths: [NodeID: Path] = [:]
    private var next: UInt64 = 0

    package init() {}

    /// What is to be asked now.
    /// - Parameters:
    ///   - peers: all that can be sent to, with the longest packet that may be; others are forgotten.
    ///   - now: of a clock that nobody sets and that goes on over this process's end, as numbers come from it.
    package mutating func questions(_ peers: [NodeID: UInt16], now: Duration) -> [Question] {
        paths = paths.filter { peers[$0.key] != nil }
        var questions: [Question] = []
        for (node, length) in peers.sorted(by: { $0.key < $1.key }) {
            var path = paths[node] ?? Path()
            guard path.askedAt.map({ now - $0 >= wait(path) }) ?? true else { continue }
            if path.open > 0 { path.missed += 1 }
            path.askedAt = now
            // The short one first, so that an answer to the other is the later.
            if path.missed > 0 {
                questions.append(Question(node: node, number: number(now, isFull: false), length: min(length, Self.shortLength)))
            }
            let full = number(now, isFull: true)
            if path.open == 0 { path.open = full }
            questions.append(Question(node: node, number: full, length: length))
            paths[node] = path
        }
        return questions
    }

    private static let shortLength: UInt16 = 64

    private func wait(_ path: Path) -> Duration {
        if path.missed > 30 { return Self.resigned }
        return path.open == 0 ? Self.calm : Self.interval
    }

    /// Numbers of full questions are even, as the highest that was answered is all that is told.
    private mutating func number(_ now: Duration, isFull: Bool) -> UInt64 {
        next = max(next + 1, UInt64(max(0, now / .nanoseconds(1))))
        if isFull != (next % 2 == 0) { next += 1 }
        return next
    }

    /// What came of the questions so far.
    package mutating func learn(_ result: Result, of node: NodeID, now: Duration) {
        guard var path = paths[node] else { return }
        // A new process counts from the start.
        if result.heard > 0, result.heard != path.heard { path.heardAt = now }
        path.heard = result.heard
        // An answer may come late, when others have been asked for: it is one all the same.
        if path.open > 0, result.answered % 2 == 0, result.answered >= path.open {
            path.answeredAt = now
            path.missed = 0
            path.open = 0
            path.roundTrip = result.roundTrip
        }
        if result.answered % 2 == 1, result.answered > path.shortAnswered {
            path.shortAnswered = result.answered
            path.shortAnsweredAt = now
        }
        paths[node] = path
    }

    /// Packets of full length got there, and answers back.
    package func isReady(_ node: NodeID) -> Bool {
        guard let path = paths[node], path.answeredAt != nil else { return false }
        return path.missed < Self.missedMax
    }

    /// How long the last answer took; nil: there is none.
    package func roundTrip(_ node: NodeID) -> Duration? { paths[node].flatMap { $0.answeredAt == nil ? nil : $0.roundTrip } }

    /// Nil: there is none, or it is not known yet.
    package func fault(_ node: NodeID, now: Duration, missed: Int = missedMax) -> PathFault? {
        guard let path = paths[node], path.missed >= missed else { return nil }
        if let at = path.shortAnsweredAt, now - at <= Self.resigned * 2 { return .large }
        if let at = path.heardAt, now - at <= Self.calm * 2 { return .unheard }
        return .silent
    }
}
