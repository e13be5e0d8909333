package import Logging
package import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import WeftEngine

/// The Engine API on a unix socket: HTTP/1.1, one pipeline for weftd's own routes.
package struct APIServer: Sendable {
    /// How much of a stream may wait on its way through. NIO's own mark, 64 KiB, stops and starts the reader for every
    /// other piece that an engine writes.
    static let streamWaterMark = ChannelOptions.Types.WriteBufferWaterMark(low: 256 << 10, high: 1 << 20)

    /// What is taken of a stream at once. More would empty the sender's socket (208 KiB) in one go: then it sleeps until that has
    /// gone on, and what goes on has left the processor's cache.
    static let streamReads = AdaptiveRecvByteBufferAllocator(minimum: 2048, initial: 16384, maximum: 64 << 10)

    /// As much head as Go's servers take: a client's credentials for many registries come in one field.
    static let headSizeMax = 1 << 20

    typealias RequestDecoder = ByteToMessageHandler<HTTPRequestDecoder>

    static func requestDecoder() -> RequestDecoder {
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = headSizeMax
        limits.maxHeaderListSize = headSizeMax
        limits.maxHeaderFieldCount = 10_000
        return ByteToMessageHandler(
            HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: limits))
    }

    private let router: Router
    private let socketPath: String
    private let inherited: CInt?
    private let secure: SecureListener?
    private let logger: Logger

    /// - Parameter socketPath: at most 107 bytes; its directory exists. A socket that is left there is replaced.
    ///   `inherited`: a listening socket at that path that somebody else made and keeps. `secure`: serve there as well.
    package init(
        router: Router, socketPath: String, inherited: CInt? = nil, secure: SecureListener? = nil, logger: Logger
    ) {
        self.router = router
        self.socketPath = socketPath
        self.inherited = inherited
        self.secure = secure
        self.logger = logger
    }

    /// Serves until the task is cancelled; open connections are closed then. Calls `started` once clients can connect.
    package func run(
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton, started: @Sendable () async -> Void = {}
    ) async throws {
        if inherited == nil, let other = try? await ClientBootstrap(group: group).connect(unixDomainSocketPath: socketPath).get() {
            try? await other.close()
            throw APIError(
                500, "another daemon serves \(socketPath); stop it first, or give this one another run directory")
        }
        let router = router
        let connections = ConnectionSet()
        func bootstrap(_ tls: NIOSSLContext?) -> ServerBootstrap {
            ServerBootstrap(group: group)
                .serverChannelOption(.backlog, value: 256)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .childChannelOption(.allowRemoteHalfClosure, value: true)
                .childChannelOption(.writeBufferWaterMark, value: Self.streamWaterMark)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        connections.insert(channel)
                        if let tls { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls)) }
                        // By hand, not by `configureHTTPServerPipeline`: its validators and pipelining assistance stand in
                        // the way of a connection that becomes a raw stream.
                        let decoder = Self.requestDecoder()
                        try channel.pipeline.syncOperations.addHandlers([
                            decoder, ConnectionHandler(router: router, decoder: decoder),
                        ])
                    }
                }
        }
        let remote: (any Channel)? =
            if let secure {
                try await bootstrap(secure.tls).bind(host: secure.host, port: secure.port).get()
            } else { nil }
        if let address = remote?.localAddress { logger.info("serving the API over TLS", metadata: ["address": "\(address)"]) }
        defer { remote?.close(promise: nil) }
        let channel =
            if let inherited { try await bootstrap(nil).withBoundSocket(inherited).get() } else {
                try await bootstrap(nil).bind(unixDomainSocketPath: socketPath, cleanupExistingSocketFile: true).get()
            }
        do {
            try SocketFile(path: socketPath).restrict()
            logger.info("serving the API", metadata: ["socket": "\(socketPath)"])
            await started()
        } catch {
            try? await channel.close()
            throw error
        }
        await withTaskCancellationHandler {
            try? await channel.closeFuture.get()
        } onCancel: {
            channel.close(promise: nil)
        }
        await connections.closeAll()
        if inherited == nil { SocketFile(path: socketPath).remove() }
    }
}
