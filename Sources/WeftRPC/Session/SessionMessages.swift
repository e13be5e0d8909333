internal import GRPCCore
package import WeftModel

/// What a node sends on its session, in order. A message that cannot be meant ends the sequence with a `WireError`.
package struct NodeMessages: AsyncSequence, Sendable {
    package typealias Element = NodeMessage
    package typealias Failure = any Error
    let wire: RPCAsyncSequence<Weft_V1_NodeMessage, any Error>

    package func makeAsyncIterator() -> Iterator { Iterator(wire: wire.makeAsyncIterator()) }

    package struct Iterator: AsyncIteratorProtocol {
        var wire: RPCAsyncSequence<Weft_V1_NodeMessage, any Error>.AsyncIterator

        package mutating func next() async throws -> NodeMessage? { try await next(isolation: nil) }

        package mutating func next(isolation actor: isolated (any Actor)?) async throws -> NodeMessage? {
            guard let message = try await wire.next(isolation: actor) else { return nil }
            return try NodeMessage(wire: message)
        }
    }
}

/// What a manager sends on a session, in order. A message that cannot be meant ends the sequence with a `WireError`.
package struct ManagerMessages: AsyncSequence, Sendable {
    package typealias Element = ManagerMessage
    package typealias Failure = any Error
    let wire: RPCAsyncSequence<Weft_V1_ManagerMessage, any Error>

    package func makeAsyncIterator() -> Iterator { Iterator(wire: wire.makeAsyncIterator()) }

    package struct Iterator: AsyncIteratorProtocol {
        var wire: RPCAsyncSequence<Weft_V1_ManagerMessage, any Error>.AsyncIterator

        package mutating func next() async throws -> ManagerMessage? { try await next(isolation: nil) }

        package mutating func next(isolation actor: isolated (any Actor)?) async throws -> ManagerMessage? {
            guard let message = try await wire.next(isolation: actor) else { return nil }
            return try ManagerMessage(wire: message)
        }
    }
}
