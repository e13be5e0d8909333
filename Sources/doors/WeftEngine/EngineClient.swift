package import NIOCore
package import NIOHTTP1
import NIOPosix
import Synchronization

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

/// Speaks HTTP/1.1 with the local container engine over its unix socket, one connection per request, so that an engine that
/// comes and goes needs no attention.
package struct EngineClient: Sendable {
    package let socketPath: String
    /// When the engine last did not answer in time; nil once it has answered again. Shared by all copies.
    private let silence = Silence()

    /// Bytes of an answer that is read whole.
    private static let bodySizeMax = 256 << 20

    package init(socketPath: String) { self.socketPath = socketPath }

    /// Sends a request and reads the whole answer, whatever its status. Throws `EngineError`.
    ///
    /// - Parameters:
    ///   - uri: with version prefix and query, as it goes on the wire.
    ///   - limit: after which it throws `EngineError.silent`; nil: waits as long as the engine holds the connection.
    package func request(
        _ method: HTTPMethod, _ uri: String, headers: HTTPHeaders = [:], body: [UInt8]? = nil, within limit: Duration? = nil
    ) async throws -> EngineResponse {
        guard let limit else { return try await whole(method, uri, headers, body) }
        do {
            let response = try await limited(to: limit, late: EngineError.silent(path: socketPath)) {
                try await whole(method, uri, headers, body)
            }
            silence.since.withLock { $0 = nil }
            return response
        } catch let error as EngineError {
            if case .silent = error { silence.since.withLock { $0 = .now } }
            throw error
        }
    }

    private final class Silence: Sendable {
        let since = Mutex<ContinuousClock.Instant?>(nil)
    }

    /// True for a while after the engine did not answer in time.
    var wasSilent: Bool { silence.since.withLock { $0 }.map { ContinuousClock.now - $0 < .seconds(10) } ?? false }

    private func whole(
        _ method: HTTPMethod, _ uri: String, _ headers: HTTPHeaders, _ body: [UInt8]?
    ) async throws -> EngineResponse {
        var bytes: [UInt8] = []
        let head = try await stream(method, uri, headers: headers, body: body) { _, chunk in
            guard bytes.count + chunk.readableBytes <= Self.bodySizeMax else {
                throw EngineError.broken(reason: "it is longer than \(Self.bodySizeMax) bytes")
            }
            bytes += chunk.readableBytesView
        }
        return EngineResponse(status: Int(head.status.code), headers: head.headers, body: bytes)
    }

    /// Sends a request and hands the answer over as it comes: each chunk with the head, and the head alone (an empty chunk) as
    /// soon as it is there. Returns at the answer's end; a cancelled task closes the connection.
    @discardableResult
    package func stream(
        _ method: HTTPMethod, _ uri: String, headers: HTTPHeaders = [:], body: [UInt8]? = nil,
        chunk: (HTTPResponseHead, ByteBuffer) async throws -> Void
    ) async throws -> HTTPResponseHead {
        let channel = try await connect()
        do {
            return try await channel.executeThenClose { inbound, outbound in
                var parts: [HTTPClientRequestPart] = [.head(requestHead(method, uri, headers, body))]
                if let body { parts.append(.body(.byteBuffer(ByteBuffer(bytes: body)))) }
                // In one go: who answers the head at once and closes must not make a later write fail.
                try await outbound.write(contentsOf: parts + [.end(nil)])
                var head: HTTPResponseHead?
                for try await part in inbound {
                    switch part {
                    case .head(let received):
                        // 100-continue and the like announce nothing.
                        guard !(100..<200).contains(received.status.code) else { continue }
                        head = received
                        try await chunk(received, ByteBuffer())
                    case .body(let buffer): if let head { try await chunk(head, buffer) }
                    case .end: if let head { return head }
                    }
                }
                try Task.checkCancellation()
                throw EngineError.broken(reason: head == nil ? "no answer came" : "it ended early")
            }
        } catch let error as HTTPParserError {
            throw EngineError.broken(reason: "it is not HTTP (\(error))")
        } catch let error as IOError {
            throw EngineError.broken(reason: error.description)
        } catch is ChannelError {
            try Task.checkCancellation()
            throw EngineError.broken(reason: "it closed the connection")
        }
    }

    private func requestHead(
        _ method: HTTPMethod, _ uri: String, _ headers: HTTPHeaders, _ body: [UInt8]?
    ) -> HTTPRequestHead {
        var head = HTTPRequestHead(version: .http1_1, method: method, uri: uri, headers: headers)
        // These are the connection's, not the request's (RFC 9110, 7.6.1).
        for name in ["Host", "Connection", "Content-Length", "Transfer-Encoding", "Expect", "Upgrade", "Accept-Encoding"] {
            head.headers.remove(name: name)
        }
        head.headers.add(name: "Host", value: "docker")
        head.headers.add(name: "Connection", value: "close")
        if body != nil, !head.headers.contains(name: "Content-Type") {
            head.headers.add(name: "Content-Type", value: "application/json")
        }
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
            case 2, 111: throw EngineError.absent(path: socketPath)  // ENOENT, ECONNREFUSED
            // EAGAIN: it has not accepted any connection for long.
            case 11: throw EngineError.silent(path: socketPath)
            default: throw EngineError.broken(reason: error.description)
            }
        }
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
