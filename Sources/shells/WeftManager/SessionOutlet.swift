package import WeftModel

/// Where a session's messages go. Neither call waits: a node that does not keep up loses its session, and the next one
/// begins with a full set.
package struct SessionOutlet: Sendable {
    /// Queues a message; false when the session's queue is full or the session is over.
    package let send: @Sendable (ManagerMessage) -> Bool
    /// Ends the session, after a last word to the node.
    package let close: @Sendable (_ reason: String) -> Void

    package init(send: @escaping @Sendable (ManagerMessage) -> Bool, close: @escaping @Sendable (String) -> Void) {
        self.send = send
        self.close = close
    }
}
