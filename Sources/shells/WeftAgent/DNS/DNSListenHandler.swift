import NIOCore

/// A socket that takes connections: says when it has taken all, and rests when none can be had.
final class DNSListenHandler: ChannelInboundHandler {
    typealias InboundIn = any Channel

    /// Connections that are taken before other sockets are looked at.
    static let connectionsAtOnce = 16
    /// When the process or the host has no descriptor left, or no memory: the event loop would be told at once again.
    private static let rest = TimeAmount.milliseconds(100)

    private let responder: DNSResponder
    /// It is the node's socket, not one in a container.
    private let isNodes: Bool
    private var readCount = 0

    init(_ responder: DNSResponder, isNodes: Bool) {
        self.responder = responder
        self.isNodes = isNodes
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        readCount += 1
        context.fireChannelRead(data)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if readCount < Self.connectionsAtOnce, isNodes { responder.drained(.tcp) }
        readCount = 0
        context.fireChannelReadComplete()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard error is IOError else { return }
        let channel = context.channel
        channel.setOption(.autoRead, value: false).whenFailure { _ in }
        channel.eventLoop.assumeIsolated().scheduleTask(in: Self.rest) {
            channel.setOption(.autoRead, value: true).whenFailure { _ in }
        }
    }
}
