internal import Synchronization

/// Why nothing can be sent on a session any more.
package enum SessionError: Error, Hashable, CustomStringConvertible {
    case closed
    /// The other side takes messages in more slowly than they are made; the session ends.
    case overflow(limit: Int)

    package var description: String {
        switch self {
        case .closed: "the session is closed"
        case .overflow(let limit): "\(limit) messages wait to be sent, for the other side does not keep up"
        }
    }
}

/// The bounded queue between who has something to say on a session and the stream that carries it. Never blocks: a
/// receiver that does not keep up loses its session, and learns everything anew with the next one.
final class Outbox<Message: Sendable>: Sendable {
    /// Ends when the queue is closed and drained.
    let messages: AsyncStream<Message>
    /// Ends when the queue is closed, drained or not.
    let closing: AsyncStream<Never>
    private let messagesIn: AsyncStream<Message>.Continuation
    private let closingIn: AsyncStream<Never>.Continuation
    private let limit: Int
    private let overflowed = Mutex(false)

    init(limit: Int) {
        self.limit = limit
        // One place is kept for the last message.
        (messages, messagesIn) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(limit + 1))
        (closing, closingIn) = AsyncStream.makeStream()
    }

    func send(_ message: Message) throws(SessionError) {
        // Decided under the lock, so that the reserved place is still there when `close` wants it.
        let result = overflowed.withLock { overflowed -> SessionError? in
            if overflowed { return .overflow(limit: limit) }
            switch messagesIn.yield(message) {
            case .enqueued(let remaining) where remaining > 0: return nil
            case .terminated: return .closed
            default:
                overflowed = true
                return .overflow(limit: limit)
            }
        }
        guard let result else { return }
        close(last: nil)
        throw result
    }

    /// Closes the queue after `last`; what is queued may still be sent.
    func close(last: Message?) {
        overflowed.withLock { _ in
            if let last { messagesIn.yield(last) }
            messagesIn.finish()
        }
        closingIn.finish()
    }

    var overflow: SessionError? { overflowed.withLock { $0 } ? .overflow(limit: limit) : nil }
}
