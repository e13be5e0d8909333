package import WeftModel

/// The node's end of a session.
package final class ManagerSession: Sendable {
    package let manager: HostPort
    let outbox: Outbox<NodeMessage>

    init(manager: HostPort, queueLimit: Int) {
        self.manager = manager
        outbox = Outbox(limit: queueLimit)
    }

    /// Queues a message, without waiting. When the manager does not keep up the session is closed.
    package func send(_ message: NodeMessage) throws(SessionError) { try outbox.send(message) }

    /// Ends the session when what is queued is sent.
    package func close() { outbox.close(last: nil) }
}

/// How a session, or an attempt at one, ended.
package struct SessionEnd: Sendable, CustomStringConvertible {
    package enum Kind: Sendable, Hashable {
        /// The handler returned.
        case finished
        /// No session came about; another manager or a later attempt may do better.
        case notOpened
        /// An open session broke off.
        case lost
        /// The manager does not know this node as a member any more.
        case refused
    }
    package let manager: HostPort
    package let kind: Kind
    /// A sentence.
    package let reason: String
    /// Time until the next attempt.
    package let retryAfter: Duration

    package var description: String { "session with the manager at \(manager): \(reason)" }
}
