import Synchronization
package import WeftWire

/// What a node's resolver has done since it started.
package struct DNSCounts: Hashable, Sendable {
    /// Messages received.
    package var queries: UInt64 = 0
    /// Replies from the node's own knowledge, NXDOMAIN among them.
    package var answered: UInt64 = 0
    /// Queries passed to the host's resolvers.
    package var forwarded: UInt64 = 0
    /// Queries of somebody who is no sandbox of this node, who gets no reply, and queries for something that is not served.
    package var refused: UInt64 = 0
    /// Forwarded queries that got no answer: no resolver, no time, or more of the asker's at once than its share.
    package var failed: UInt64 = 0
    /// Messages that got no reply: responses, and what is no DNS message.
    package var ignored: UInt64 = 0
    /// Replies by response code, forwarded ones among them.
    package var replies: [DNSResponseCode: UInt64] = [:]

    package init() {}
}

/// The counts, written on the event loop and read anywhere.
final class DNSCounters: Sendable {
    private let counts = Mutex(DNSCounts())

    var current: DNSCounts { counts.withLock { $0 } }

    func add(_ change: (inout DNSCounts) -> Void) { counts.withLock { change(&$0) } }
}
