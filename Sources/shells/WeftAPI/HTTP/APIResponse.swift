import NIOCore
package import NIOHTTP1
import WeftText

/// What the router answers.
package struct APIResponse: Sendable {
    package enum Body: Sendable {
        /// Sent with `Content-Length`.
        case whole([UInt8])
        /// Sent chunk by chunk as it is written; ends when the closure returns, and is cut off when it throws.
        case stream(@Sendable (ResponseWriter) async throws -> Void)
    }

    package var status: HTTPResponseStatus
    package var headers: HTTPHeaders
    package var body: Body

    package init(status: HTTPResponseStatus, headers: HTTPHeaders = [:], body: Body = .whole([])) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// `json` and a newline, as Docker ends its bodies.
    static func json(_ json: JSON, status: HTTPResponseStatus = .ok) -> APIResponse {
        APIResponse(status: status, headers: ["Content-Type": "application/json"], body: .whole(json.utf8 + [0x0a]))
    }

    static let ok = APIResponse(status: .ok)
    static let noContent = APIResponse(status: .noContent)

    package static func failure(_ error: APIError) -> APIResponse {
        .json(["message": .string(error.message)], status: HTTPResponseStatus(statusCode: error.status))
    }
}

/// Writes the body of a streamed response. Each write returns once the bytes are in the kernel, which is the
/// back-pressure, and throws when the client has gone.
package struct ResponseWriter: Sendable {
    let writeChunk: @Sendable (ByteBuffer) async throws -> Void

    package func write(_ bytes: [UInt8]) async throws {
        if !bytes.isEmpty { try await writeChunk(ByteBuffer(bytes: bytes)) }
    }
}
