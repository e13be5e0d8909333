import NIOCore
package import NIOHTTP1
import NIOPosix

/// Speaks HTTP/1.1 with weftd over its unix socket, one connection per request.
///
/// The target is a door: bytes and JSON text in and out. It knows no resource of the API; its users do.
package struct WeftClient: Sendable {
    /// Where weftd listens when nothing else is said.
    package static let defaultHost = "unix:///run/weft/docker.sock"

    /// `unix:///path`.
    package let host: String
    private let socketPath: String

    /// Takes `unix:///path` or a plain path; throws `ClientError.invalidHost` for anything else.
    package init(host: String = WeftClient.defaultHost) throws(ClientError) {
        let path = host.hasPrefix("unix://") ? String(host.dropFirst("unix://".count)) : host
        // sockaddr_un holds 108 bytes with the final zero.
        guard path.hasPrefix("/"), path.utf8.count < 108 else { throw .invalidHost(host) }
        self.host = "unix://\(path)"
        socketPath = path
    }

    /// Sends a request and reads the whole answer, whatever its status.
    ///
    /// - Parameters:
    ///   - path: without query, percent-encoded by the caller where a part is not plain (`WeftClient.escaped`).
    ///   - body: JSON text.
    package func request(
        _ method: HTTPMethod, _ path: String, query: [(String, String)] = [], body: [UInt8]? = nil
    ) async throws -> ClientResponse {
        var bytes: [UInt8] = []
        let head = try await stream(method, path, query: query, body: body) { _, chunk in bytes += chunk }
        return ClientResponse(status: Int(head.status.code), headers: head.headers, body: bytes)
    }

    /// As `request`, and throws `ClientError.refused` with weftd's own sentence for a status of 400 and up.
    package func call(
        _ method: HTTPMethod, _ path: String, query: [(String, String)] = [], body: [UInt8]? = nil
    ) async throws -> ClientResponse {
        let response = try await request(method, path, query: query, body: body)
        guard response.status < 400 else { throw ClientError.refused(status: response.status, body: response.body) }
        return response
    }

    /// Sends a request and hands the body over as it comes, each time with the status; returns at its end.
    @discardableResult
    package func stream(
        _ method: HTTPMethod, _ path: String, query: [(String, String)] = [], body: [UInt8]? = nil,
        chunk: (Int, [UInt8]) async throws -> Void
    ) async throws -> HTTPResponseHead {
        let channel = try await connect()
        do {
            return try await channel.executeThenClose { inbound, outbound in
                var parts: [HTTPClientRequestPart] = [.head(requestHead(method, path, query, body))]
                if let body { parts.append(.body(.byteBuffer(ByteBuffer(bytes: body)))) }
                // In one go: who answers the head at once and closes must not make a later write fail.
                try await outbound.write(contentsOf: parts + [.end(nil)])
                var head: HTTPResponseHead?
                for try await part in inbound {
                    switch part {
                    // 100-continue and the like announce nothing.
                    case .head(let received): head = (100..<200).contains(received.status.code) ? nil : received
                    case .body(let buffer):
                        if let head { try await chunk(Int(head.status.code), Array(buffer.readableBytesView)) }
                    case .end:
                        if let head { return head }
                    }
                }
                throw ClientError.broken(
                    host: host, reason: head == nil ? "no answer came" : "the answer is not whole")
            }
        } catch let error as HTTPParserError {
            throw ClientError.broken(host: host, reason: "the answer is not HTTP (\(error))")
        } catch let error as IOError {
            throw ClientError.broken(host: host, reason: error.description)
        } catch is ChannelError {
            throw ClientError.broken(host: host, reason: "it was closed")
        }
    }

    private func requestHead(
        _ method: HTTPMethod, _ path: String, _ query: [(String, String)], _ body: [UInt8]?
    ) -> HTTPRequestHead {
        var head = HTTPRequestHead(version: .http1_1, method: method, uri: Self.uri(path, query))
        head.headers.add(name: "Host", value: "weftd")
        head.headers.add(name: "Connection", value: "close")
        if body != nil { head.headers.add(name: "Content-Type", value: "application/json") }
        if body != nil || (method != .GET && method != .HEAD) {
            head.headers.add(name: "Content-Length", value: String(body?.count ?? 0))
        }
        return head
    }

    private typealias Channel = NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>

    private func connect() async throws -> Channel {
        do {
            return try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
                .connect(unixDomainSocketPath: socketPath) { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHTTPClientHandlers()
                        return try NIOAsyncChannel(wrappingChannelSynchronously: channel)
                    }
                }
        } catch let error as IOError {
            switch error.errnoCode {
            case 13, 1: throw ClientError.forbidden(host: host)  // EACCES, EPERM
            case 2, 111: throw ClientError.unreachable(host: host)  // ENOENT, ECONNREFUSED
            default: throw ClientError.broken(host: host, reason: error.description)
            }
        }
    }

    private static func uri(_ path: String, _ query: [(String, String)]) -> String {
        guard !query.isEmpty else { return path }
        return path + "?" + query.map { "\(escaped($0.0))=\(escaped($0.1))" }.joined(separator: "&")
    }

    /// Percent-encodes all but RFC 3986's unreserved characters, for a part of a path or of a query.
    package static func escaped(_ text: String) -> String {
        var output = ""
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e:
                output.unicodeScalars.append(UnicodeScalar(byte))
            default:
                let hex = String(byte, radix: 16, uppercase: true)
                output += "%" + (hex.count < 2 ? "0" : "") + hex
            }
        }
        return output
    }
}
