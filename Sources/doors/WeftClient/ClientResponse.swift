import FoundationEssentials
package import NIOHTTP1
import WeftJSON

/// A whole answer.
package struct ClientResponse: Sendable {
    package let status: Int
    package let headers: HTTPHeaders
    package let body: [UInt8]

    /// The body as text.
    package var text: String { String(decoding: body, as: UTF8.self) }

    /// Decodes the body as JSON.
    package func decode<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value {
        try JSONText.decode(type, from: body)
    }
}
