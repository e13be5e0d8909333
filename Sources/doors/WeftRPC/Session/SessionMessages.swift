internal import GRPCCore
package import WeftModel

/// What a node sends on its session, in order. What cannot be meant is left out; where nothing of a message is left that
/// could be acted on, the sequence ends with a `WireError`.
package struct NodeMessages: AsyncSequence, Sendable {
    package typealias Element = NodeMessage
    package typealias Failure = any Error
    let wire: RPCAsyncSequence<Weft_V1_NodeMessage, any Error>
    /// Told of what was left out. It names an object only where the node can be told of that: nodes understand it since the
    /// version in which they began to announce that they return addresses.
    let skipping: @Sendable ([WireError]) -> Void

    package func makeAsyncIterator() -> Iterator { Iterator(wire: wire.makeAsyncIterator(), skipping: skipping) }

    package struct Iterator: AsyncIteratorProtocol {
        var wire: RPCAsyncSequence<Weft_V1_NodeMessage, any Error>.AsyncIterator
        let skipping: @Sendable ([WireError]) -> Void
        private var assembler = NodeMessageAssembler()
        private var understandsRefusals = false

        init(
            wire: RPCAsyncSequence<Weft_V1_NodeMessage, any Error>.AsyncIterator,
            skipping: @escaping @Sendable ([WireError]) -> Void
        ) {
            self.wire = wire
            self.skipping = skipping
        }

        package mutating func next() async throws -> NodeMessage? { try await next(isolation: nil) }

        package mutating func next(isolation actor: isolated (any Actor)?) async throws -> NodeMessage? {
            while let part = try await wire.next(isolation: actor) {
                var skipped: [WireError] = []
                let message = try assembler.take(part, skipped: &skipped)
                if case .hello(let description, _, _, _)? = message {
                    understandsRefusals = description.returnsAddresses == true
                }
                if !understandsRefusals { for index in skipped.indices { skipped[index].object = nil } }
                if !skipped.isEmpty { skipping(skipped) }
                if let message { return message }
            }
            return nil
        }
    }
}

/// What a manager sends on a session, in order; what cannot be meant is left out as of a node's.
package struct ManagerMessages: AsyncSequence, Sendable {
    package typealias Element = ManagerMessage
    package typealias Failure = any Error
    let wire: RPCAsyncSequence<Weft_V1_ManagerMessage, any Error>
    let skipping: @Sendable ([WireError]) -> Void

    package func makeAsyncIterator() -> Iterator { Iterator(wire: wire.makeAsyncIterator(), skipping: skipping) }

    package struct Iterator: AsyncIteratorProtocol {
        var wire: RPCAsyncSequence<Weft_V1_ManagerMessage, any Error>.AsyncIterator
        let skipping: @Sendable ([WireError]) -> Void
        private var assembler = ManagerMessageAssembler()

        init(
            wire: RPCAsyncSequence<Weft_V1_ManagerMessage, any Error>.AsyncIterator,
            skipping: @escaping @Sendable ([WireError]) -> Void
        ) {
            self.wire = wire
            self.skipping = skipping
        }

        package mutating func next() async throws -> ManagerMessage? { try await next(isolation: nil) }

        package mutating func next(isolation actor: isolated (any Actor)?) async throws -> ManagerMessage? {
            while let part = try await wire.next(isolation: actor) {
                var skipped: [WireError] = []
                let message = try assembler.take(part, skipped: &skipped)
                if !skipped.isEmpty { skipping(skipped) }
                if let message { return message }
            }
            return nil
        }
    }
}
