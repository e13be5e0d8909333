package import NIOCore
package import NIOHTTP1
import Synchronization
import WeftHTTP

/// A whole answer of the engine.
package struct EngineResponse: Sendable {
    package var status: Int
    package var headers: HTTPHeaders
    package var body: [UInt8]

    package init(status: Int, headers: HTTPHeaders, body: [UInt8]) {
        self.status = status
        self.headers = headers
        self.body = body
    }
}

/// Speaks HTTP/1.1 with the local container engine, one connection per request, so that an engine that comes and goes needs
/// no attention. Remembers whether it was silent.
package struct EngineClient: Sendable {
    private let client: UnixHTTPClient
    package var socketPath: String { client.socketPath }
    /// When the engine last did not answer in time; nil once it has answered again. Shared by all copies.
    private let silence = Silence()

    package init(socketPath: String) { client = UnixHTTPClient(socketPath: socketPath, host: "docker") }

    /// Sends a request and reads the whole answer, whatever its status. Throws `EngineError`.
    ///
    /// - Parameters:
    ///   - uri: with version prefix and query, as it goes on the wire.
    ///   - limit: after which it throws `EngineError.silent`; nil: waits as long as the engine holds the connection.
    package func request(
        _ method: HTTPMethod, _ uri: String, headers: HTTPHeaders = [:], body: [UInt8]? = nil, within limit: Duration? = nil
    ) async throws -> EngineResponse {
        do {
            let request = HTTPRequest(method, uri, headers: headers, body: body)
            let answer = try await client.whole(request, within: limit)
            if limit != nil { silence.since.withLock { $0 = nil } }
            return EngineResponse(status: answer.status, headers: answer.headers, body: answer.body)
        } catch let failure as HTTPFailure {
            if limit != nil, failure == .silent { silence.since.withLock { $0 = .now } }
            throw EngineError(failure, path: socketPath)
        }
    }

    private final class Silence: Sendable {
        let since = Mutex<ContinuousClock.Instant?>(nil)
    }

    /// True for a while after the engine did not answer in time.
    var wasSilent: Bool { silence.since.withLock { $0 }.map { ContinuousClock.now - $0 < .seconds(10) } ?? false }

    /// Sends a request and hands the answer over as it comes: each chunk with the head, and the head alone (an empty chunk) as
    /// soon as it is there. Returns at the answer's end; a cancelled task closes the connection.
    @discardableResult
    package func stream(
        _ method: HTTPMethod, _ uri: String, headers: HTTPHeaders = [:], body: [UInt8]? = nil,
        chunk: (HTTPResponseHead, ByteBuffer) async throws -> Void
    ) async throws -> HTTPResponseHead {
        do {
            return try await client.stream(HTTPRequest(method, uri, headers: headers, body: body), chunk: chunk)
        } catch let failure as HTTPFailure {
            throw EngineError(failure, path: socketPath)
        }
    }
}

extension EngineError {
    fileprivate init(_ failure: HTTPFailure, path: String) {
        switch failure {
        case .absent: self = .absent(path: path)
        case .silent: self = .silent(path: path)
        case .forbidden: self = .broken(reason: "its socket \(path) may not be opened")
        case .broken(let reason): self = .broken(reason: reason)
        }
    }
}
