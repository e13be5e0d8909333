import FoundationEssentials
package import NIOCore
package import NIOHTTP1

/// A whole answer.
package struct ClientResponse: Sendable {
    package let status: Int
    package let headers: HTTPHeaders
    package let body: [UInt8]

    /// The body as text.
    package var text: String { String(decoding: body, as: UTF8.self) }

    /// Decodes the body as JSON.
    package func decode<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value {
        try JSONDecoder().decode(type, from: Data(body))
    }
}

/// The body of an answer, chunk by chunk as it arrives.
package struct ClientBody: AsyncSequence {
    package typealias Element = ByteBuffer
    private let parts: NIOAsyncChannelInboundStream<HTTPClientResponsePart>.AsyncIterator

    init(parts: NIOAsyncChannelInboundStream<HTTPClientResponsePart>.AsyncIterator) { self.parts = parts }

    package struct AsyncIterator: AsyncIteratorProtocol {
        private var parts: NIOAsyncChannelInboundStream<HTTPClientResponsePart>.AsyncIterator
        private var ended = false

        init(parts: NIOAsyncChannelInboundStream<HTTPClientResponsePart>.AsyncIterator) { self.parts = parts }

        package mutating func next() async throws -> ByteBuffer? {
            while !ended, let part = try await parts.next() {
                switch part {
                case .body(let buffer): return buffer
                case .end: ended = true
                case .head: continue
                }
            }
            return nil
        }
    }

    package func makeAsyncIterator() -> AsyncIterator { AsyncIterator(parts: parts) }
}
