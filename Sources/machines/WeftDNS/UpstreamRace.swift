package import WeftWire

/// Chooses among the answers of several resolvers that were asked at once.
///
/// An address wins as soon as it is there. That a name does not exist is believed at once only from a resolver that
/// no other one precedes in `resolv.conf`: of a company's resolver and a public one the second answers sooner that
/// the company's names do not exist. Such an answer waits a moment for those before it.
package struct UpstreamRace: Sendable {
    package enum Verdict: Hashable, Sendable {
        case wait
        /// Wait `UpstreamRace.grace`, then call `graceExpired`.
        case waitForGrace
        /// Pass on this resolver's answer.
        case take(Int)
        /// Nobody can answer: SERVFAIL.
        case giveUp
    }

    /// How long a negative answer waits for resolvers that come before it.
    package static let grace = Duration.milliseconds(250)

    private enum Answer: Hashable, Sendable { case none, negative, failure }
    private var answers: [Answer]
    private var hasGrace = false

    /// The race of `count` resolvers, numbered in `resolv.conf`'s order.
    package init(count: Int) { answers = Array(repeating: .none, count: count) }

    /// Takes a resolver's answer. `hasRecords`: the answer section is not empty, or is cut off.
    package mutating func answered(_ index: Int, _ code: DNSResponseCode, hasRecords: Bool) -> Verdict {
        guard answers.indices.contains(index), answers[index] != .negative else { return .wait }
        switch code {
        case .noError where hasRecords: return .take(index)
        case .noError, .nameError: answers[index] = .negative
        default: answers[index] = .failure
        }
        return verdict()
    }

    /// Notes that a resolver cannot be asked: its socket failed.
    package mutating func failed(_ index: Int) -> Verdict {
        guard answers.indices.contains(index), answers[index] == .none else { return .wait }
        answers[index] = .failure
        return verdict()
    }

    /// Those that have said nothing yet.
    package var silent: [Int] { answers.indices.filter { answers[$0] == .none } }

    /// The moment is over: the first negative answer there is, is the answer.
    package mutating func graceExpired() -> Verdict {
        answers.firstIndex(of: .negative).map { .take($0) } ?? .wait
    }

    /// No more time: the first negative answer, else SERVFAIL.
    package mutating func timedOut() -> Verdict {
        answers.firstIndex(of: .negative).map { .take($0) } ?? .giveUp
    }

    private mutating func verdict() -> Verdict {
        guard let negative = answers.firstIndex(of: .negative) else {
            return answers.contains(.none) ? .wait : .giveUp
        }
        guard answers[..<negative].contains(.none) else { return .take(negative) }
        defer { hasGrace = true }
        return hasGrace ? .wait : .waitForGrace
    }
}
