internal import GRPCCore
package import WeftIdentity
package import WeftModel

/// The manager's end of a node's stream of its tasks' output.
package final class NodeLogStream: Sendable {
    package let peer: PeerIdentity
    /// `address:port` that the node's connection comes from: the session's.
    package let remoteAddress: String
    let outbox: Outbox<LogOrder>

    init(peer: PeerIdentity, remoteAddress: String, queueLimit: Int) {
        self.peer = peer
        self.remoteAddress = remoteAddress
        outbox = Outbox(limit: queueLimit)
    }

    package var node: NodeID { peer.node }

    /// Queues an order, without waiting. When the node does not keep up the stream is closed.
    package func send(_ order: LogOrder) throws(SessionError) { try outbox.send(order) }

    package func close() { outbox.close(last: nil) }
}

/// What a node sends on its stream of its tasks' output. It ends with a `WireError` at what cannot be meant.
package struct NodeLogMessages: AsyncSequence, Sendable {
    package typealias Element = NodeLog
    package typealias Failure = any Error
    let wire: RPCAsyncSequence<Weft_V1_NodeLog, any Error>

    package func makeAsyncIterator() -> Iterator { Iterator(wire: wire.makeAsyncIterator()) }

    package struct Iterator: AsyncIteratorProtocol {
        var wire: RPCAsyncSequence<Weft_V1_NodeLog, any Error>.AsyncIterator

        package mutating func next() async throws -> NodeLog? { try await next(isolation: nil) }

        package mutating func next(isolation actor: isolated (any Actor)?) async throws -> NodeLog? {
            while let message = try await wire.next(isolation: actor) {
                if let log = try NodeLog(wire: message) { return log }
            }
            return nil
        }
    }
}

/// What a manager orders on such a stream. What this version does not know is passed over.
package struct LogOrders: AsyncSequence, Sendable {
    package typealias Element = LogOrder
    package typealias Failure = any Error
    let wire: RPCAsyncSequence<Weft_V1_LogOrder, any Error>

    package func makeAsyncIterator() -> Iterator { Iterator(wire: wire.makeAsyncIterator()) }

    package struct Iterator: AsyncIteratorProtocol {
        var wire: RPCAsyncSequence<Weft_V1_LogOrder, any Error>.AsyncIterator

        package mutating func next() async throws -> LogOrder? { try await next(isolation: nil) }

        package mutating func next(isolation actor: isolated (any Actor)?) async throws -> LogOrder? {
            while let message = try await wire.next(isolation: actor) {
                if let order = try LogOrder(wire: message) { return order }
            }
            return nil
        }
    }
}

/// Serves a manager's orders on the node's side, until they end or the task is cancelled; what it sends goes out before the call returns.
package typealias LogServing =
    @Sendable (_ orders: LogOrders, _ send: @escaping @Sendable (NodeLog) async throws -> Void) async throws -> Void
