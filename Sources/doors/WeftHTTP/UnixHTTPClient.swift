// The one HTTP/1.1 client: over unix sockets, for weftd's own socket (WeftClient, weft-cni) and the container engine's
// (WeftEngine). A connection a request, so that who comes and goes at the other end needs no attention. It knows no resource
// and no JSON; its users turn an `HTTPFailure` into a sentence of their own.
package import NIOCore
package import NIOHTTP1
import NIOPosix

/// What is asked.
package struct HTTPRequest: Sendable {
    package var method: HTTPMethod
    /// Path and query as they go on the wire.
    package var uri: String
    package var headers: HTTPHeaders
    /// JSON, unless the headers say something else.
    package var body: [UInt8]?

    package init(_ method: HTTPMethod, _ uri: String, headers: HTTPHeaders = [:], body: [UInt8]? = nil) {
        self.method = method
        self.uri = uri
        self.headers = headers
        self.body = body
    }
}

/// A whole answer, whatever its status.
package struct HTTPAnswer: Sendable {
    package var status: Int
    package var headers: HTTPHeaders
    package var body: [UInt8]
}

/// Speaks HTTP/1.1 over a unix socket, one connection per request.
package struct UnixHTTPClient: Sendable {
    package let socketPath: String
    /// What the server is called in the requests' `Host`.
    private let host: String

    /// The longest path that fits into a sockaddr_un, beside its final zero.
    package static let pathBytesMax = 107
    /// Bytes of an answer that is read whole.
    package static let bodyBytesMax = 256 << 20

    package init(socketPath: String, host: String) {
        self.socketPath = socketPath
        self.host = host
    }

    /// The path in `unix:///path`, or a plain one; nil for anything else, and for one that is too long for a socket.
    package static func path(of address: String) -> String? {
        let path = address.hasPrefix("unix://") ? String(address.dropFirst("unix://".count)) : address
        return path.hasPrefix("/") && path.utf8.count <= pathBytesMax ? path : nil
    }

    /// Sends a request and reads the whole answer. Throws `HTTPFailure`.
    ///
    /// - Parameter limit: after which it throws `HTTPFailure.silent`; nil: waits as long as the server holds the connection.
    package func whole(_ request: HTTPRequest, within limit: Duration? = nil) async throws -> HTTPAnswer {
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        let answer = loop.makePromise(of: HTTPAnswer.self)
        let head = head(of: request)
        let connected = ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHTTPClientHandlers()
                    try channel.pipeline.syncOperations.addHandler(
                        WholeAnswer(to: head, body: request.body, answer: answer))
                }
            }
            .connect(unixDomainSocketPath: socketPath)
        connected.whenFailure { answer.fail(($0 as? IOError).map { HTTPFailure(connecting: $0) } ?? $0) }
        let late = limit.map { limit in
            loop.scheduleTask(in: TimeAmount(limit)) { answer.fail(HTTPFailure.silent) }
        }
        answer.futureResult.whenComplete { _ in
            late?.cancel()
            connected.whenSuccess { $0.close(promise: nil) }
        }
        return try await withTaskCancellationHandler {
            try await answer.futureResult.get()
        } onCancel: {
            answer.fail(CancellationError())
        }
    }

    /// Sends a request and hands the answer over as it comes: each chunk with the head, and the head alone (an empty chunk) as
    /// soon as it is there. Returns at the answer's end; a cancelled task closes the connection. Throws `HTTPFailure`, and
    /// what `chunk` throws.
    @discardableResult
    package func stream(
        _ request: HTTPRequest, chunk: (HTTPResponseHead, ByteBuffer) async throws -> Void
    ) async throws -> HTTPResponseHead {
        let channel = try await connect()
        do {
            return try await channel.executeThenClose { inbound, outbound in
                let body = request.body.map { [HTTPClientRequestPart.body(.byteBuffer(ByteBuffer(bytes: $0)))] } ?? []
                let parts = [.head(head(of: request))] + body + [.end(nil)]
                // Beside the reading: who refuses a request at its head, and closes, is heard though the rest cannot be written.
                async let _ = outbound.write(contentsOf: parts)
                return try await Self.read(inbound, chunk)
            }
        } catch let error as HTTPParserError {
            throw HTTPFailure.broken(reason: "it is not HTTP (\(error))")
        } catch let error as IOError {
            throw HTTPFailure.broken(reason: error.description)
        } catch is ChannelError {
            try Task.checkCancellation()
            throw HTTPFailure.broken(reason: "the connection was closed")
        }
    }

    private static func read(
        _ inbound: NIOAsyncChannelInboundStream<HTTPClientResponsePart>,
        _ chunk: (HTTPResponseHead, ByteBuffer) async throws -> Void
    ) async throws -> HTTPResponseHead {
        var head: HTTPResponseHead?
        for try await part in inbound {
            switch part {
            case .head(let received):
                guard received.status != .switchingProtocols else {
                    throw HTTPFailure.broken(reason: "it changes to another protocol, which was not asked for")
                }
                // 100-continue and the like announce nothing.
                guard !(100..<200).contains(received.status.code) else { continue }
                head = received
                try await chunk(received, ByteBuffer())
            case .body(let buffer): if let head { try await chunk(head, buffer) }
            case .end: if let head { return head }
            }
        }
        try Task.checkCancellation()
        throw HTTPFailure.broken(reason: head == nil ? "no answer came" : "it ended early")
    }

    private func head(of request: HTTPRequest) -> HTTPRequestHead {
        var head = HTTPRequestHead(version: .http1_1, method: request.method, uri: request.uri, headers: request.headers)
        // These are the connection's, not the request's (RFC 9110, 7.6.1).
        for name in ["Host", "Connection", "Content-Length", "Transfer-Encoding", "Expect", "Upgrade", "Accept-Encoding"] {
            head.headers.remove(name: name)
        }
        head.headers.add(name: "Host", value: host)
        head.headers.add(name: "Connection", value: "close")
        if request.body != nil, !head.headers.contains(name: "Content-Type") {
            head.headers.add(name: "Content-Type", value: "application/json")
        }
        if request.body != nil || (request.method != .GET && request.method != .HEAD) {
            head.headers.add(name: "Content-Length", value: String(request.body?.count ?? 0))
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
            throw HTTPFailure(connecting: error)
        }
    }
}
