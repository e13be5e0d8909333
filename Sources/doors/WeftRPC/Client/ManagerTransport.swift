internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import WeftIdentity
internal import WeftNet

/// Connections to managers.
enum ManagerTransport {
    /// - Parameters:
    ///   - source: the address to connect from.
    ///   - life: after which a connection from `source` is closed.
    static func make(
        _ address: HostPort, certificate: NIOSSLContextConfigurationOverride, verify: @escaping TrustRoots.Callback,
        from source: IPv4Address? = nil, forAtMost life: Duration? = nil, silenceLimit: Duration = .seconds(8),
        eventLoopGroup: MultiThreadedEventLoopGroup
    ) throws -> HTTP2ClientTransport.Posix {
        let security = try HTTP2ClientTransport.Posix.TransportSecurity.mTLS(
            certificateReloader: FixedCertificate(sslContextConfigurationOverride: certificate)
        ) {
            // The swarm's certificates name nodes and roles, not hosts; the callback checks them.
            $0.serverCertificateVerification = .noHostnameVerification
            // The default would read all authorities of the system, at every connection, for nothing.
            $0.trustRoots = .certificates([])
            $0.customVerificationCallback = verify
        }
        let config = HTTP2ClientTransport.Posix.Config.defaults {
            $0.connection.keepalive = .init(
                time: silenceLimit * 3 / 8, timeout: silenceLimit * 2, allowWithoutCalls: true)
            $0.connection.maxIdleTime = nil
            $0.channelDebuggingCallbacks.onCreateTCPConnection = { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        SilenceHandler(limit: TimeAmount(silenceLimit)), position: .first)
                }.flatMap {
                    guard let source, let local = try? SocketAddress(ipAddress: "\(source)", port: 0) else {
                        return channel.eventLoop.makeSucceededVoidFuture()
                    }
                    // Where nothing answers, connecting would go on for long after the call that it is for.
                    if let life { channel.eventLoop.scheduleTask(in: TimeAmount(life)) { channel.close(promise: nil) } }
                    return channel.bind(to: local)
                }
            }
        }
        let target: any ResolvableTarget =
            IPv4Address(address.host) == nil
            ? .dns(host: address.host, port: address.port) : .ipv4(address: address.host, port: address.port)
        return try HTTP2ClientTransport.Posix(
            target: target, transportSecurity: security, config: config, eventLoopGroup: eventLoopGroup)
    }

    static var callOptions: CallOptions {
        var options = CallOptions.defaults
        options.timeout = .seconds(10)
        // The transport limits what it reads by what it may send.
        options.maxRequestMessageBytes = Limits.messageBytes
        options.maxResponseMessageBytes = Limits.messageBytes
        return options
    }
}

/// Closes a connection on which nothing arrives, keepalive's answers included. It sits below TLS, whose orderly close
/// would wait for a peer that is gone.
private final class SilenceHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let limit: TimeAmount
    private var lastRead = NIODeadline.now()
    private var timer: Scheduled<Void>?

    init(limit: TimeAmount) { self.limit = limit }

    func handlerAdded(context: ChannelHandlerContext) { if context.channel.isActive { start(context) } }
    func channelActive(context: ChannelHandlerContext) {
        start(context)
        context.fireChannelActive()
    }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        lastRead = .now()
        context.fireChannelRead(data)
    }
    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        context.fireChannelInactive()
    }
    func handlerRemoved(context: ChannelHandlerContext) { timer?.cancel() }

    private func start(_ context: ChannelHandlerContext) {
        lastRead = .now()
        schedule(context, at: lastRead + limit)
    }

    private func schedule(_ context: ChannelHandlerContext, at deadline: NIODeadline) {
        timer?.cancel()
        timer = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { [self] in
            let due = lastRead + limit
            if due <= .now() { context.close(promise: nil) } else { schedule(context, at: due) }
        }
    }
}
