import NIOCore
import WeftNet
import WeftWire

/// One TCP connection of a client (RFC 7766): queries may come before earlier ones are answered.
final class DNSStreamHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Connections open at once; one more is closed as soon as it is accepted.
    static let connectionsMax = 256
    /// A connection on which nothing arrives is closed after this.
    static let idle = TimeAmount.seconds(10)

    private let responder: DNSResponder
    private var decoder = DNSStreamDecoder()
    private var asker: IPv4Address?

    /// Nil when there are too many connections.
    init?(_ responder: DNSResponder) {
        guard responder.connectionCount < Self.connectionsMax else { return nil }
        self.responder = responder
    }

    func handlerAdded(context: ChannelHandlerContext) { responder.connectionCount += 1 }

    func handlerRemoved(context: ChannelHandlerContext) { responder.connectionCount -= 1 }

    func channelActive(context: ChannelHandlerContext) { asker = context.remoteAddress?.ipv4 }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard let asker else {
            context.close(promise: nil)
            return
        }
        decoder.append(unwrapInboundIn(data).readableBytesView)
        while let message = decoder.next() {
            responder.receive(message, from: asker, over: .tcp) { reply in
                guard let framed = DNSStreamDecoder.frame(reply) else { return }
                let buffer = context.channel.allocator.buffer(bytes: framed)
                context.writeAndFlush(self.wrapOutboundOut(buffer), promise: nil)
            }
        }
    }

    /// Who does not read the replies is not read from either.
    func channelWritabilityChanged(context: ChannelHandlerContext) {
        context.channel.setOption(.autoRead, value: context.channel.isWritable).whenFailure { _ in }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent { context.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
