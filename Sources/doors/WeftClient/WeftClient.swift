// Requests to weftd's own socket, for the command line and the lab. Turns every failure into a sentence for the person who typed the
// command; knows no resource of the API.
import NIOCore
package import NIOHTTP1
import WeftHTTP
import WeftText

/// Speaks HTTP/1.1 with weftd over its unix socket, one connection per request.
///
/// The target is a door: bytes and JSON text in and out. It knows no resource of the API; its users do.
package struct WeftClient: Sendable {
    /// Where weftd listens when nothing else is said.
    package static let defaultHost = "unix:///run/weft/docker.sock"

    /// `unix:///path`.
    package let host: String
    private let client: UnixHTTPClient

    /// Takes `unix:///path` or a plain path; throws `ClientError.invalidHost` for anything else.
    package init(host: String = WeftClient.defaultHost) throws(ClientError) {
        guard let path = UnixHTTPClient.path(of: host) else { throw .invalidHost(host) }
        self.host = "unix://\(path)"
        client = UnixHTTPClient(socketPath: path, host: "weftd")
    }

    /// Sends a request and reads the whole answer, whatever its status.
    ///
    /// - Parameters:
    ///   - path: without query, percent-encoded by the caller where a part is not plain (`percentEncoded`).
    ///   - body: JSON text.
    package func request(
        _ method: HTTPMethod, _ path: String, query: [(String, String)] = [], body: [UInt8]? = nil
    ) async throws -> ClientResponse {
        do {
            let answer = try await client.whole(HTTPRequest(method, Self.uri(path, query), body: body))
            return ClientResponse(status: answer.status, headers: answer.headers, body: answer.body)
        } catch let failure as HTTPFailure {
            throw ClientError(failure, host: host)
        }
    }

    /// As `request`, and throws `ClientError.refused` with weftd's own sentence for a status of 400 and up.
    package func call(
        _ method: HTTPMethod, _ path: String, query: [(String, String)] = [], body: [UInt8]? = nil
    ) async throws -> ClientResponse {
        let response = try await request(method, path, query: query, body: body)
        guard response.status < 400 else { throw ClientError.refused(status: response.status, body: response.body) }
        return response
    }

    /// Sends a request and hands the answer's body over as it comes; returns at its end. Throws `ClientError`, of a status of 400 and up
    /// with weftd's own sentence, and what `chunk` throws.
    package func stream(
        _ method: HTTPMethod, _ path: String, query: [(String, String)] = [], chunk: ([UInt8]) async throws -> Void
    ) async throws {
        var refusal: [UInt8] = []
        do {
            let head = try await client.stream(HTTPRequest(method, Self.uri(path, query))) { head, bytes in
                let bytes = Array(bytes.readableBytesView)
                guard head.status.code < 400 else {
                    // A sentence; what is longer is none.
                    if refusal.count < 64 << 10 { refusal += bytes }
                    return
                }
                if !bytes.isEmpty { try await chunk(bytes) }
            }
            guard head.status.code < 400 else { throw ClientError.refused(status: Int(head.status.code), body: refusal) }
        } catch let failure as HTTPFailure {
            throw ClientError(failure, host: host)
        }
    }

    private static func uri(_ path: String, _ query: [(String, String)]) -> String {
        guard !query.isEmpty else { return path }
        return path + "?" + query.map { "\($0.0.percentEncoded)=\($0.1.percentEncoded)" }.joined(separator: "&")
    }
}

extension ClientError {
    fileprivate init(_ failure: HTTPFailure, host: String) {
        switch failure {
        case .absent: self = .unreachable(host: host)
        case .forbidden: self = .forbidden(host: host)
        case .silent: self = .broken(host: host, reason: "it does not take connections")
        case .broken(let reason): self = .broken(host: host, reason: reason)
        }
    }
}
