import NIOCore
import WeftNet
import WeftWire

/// One TCP connection of a client (RFC 7766): queries may come before earlier ones are answered.
final class DNSStreamHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// A connection on which nothing arrives is closed after this.
    static let idle = TimeAmount.seconds(10)

    private let responder: DNSResponder
    private let container: ContainerResolver?
    private var decoder = DNSStreamDecoder()
    private var asker: IPv4Address?

    init(_ responder: DNSResponder, container: ContainerResolver? = nil) {
        self.responder = responder
        self.container = container
    }

    func channelActive(context: ChannelHandlerContext) {
        asker = context.remoteAddress?.ipv4
        if !responder.opened(context.channel) { context.close(promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) { responder.closed(context.channel) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard let asker else {
            context.close(promise: nil)
            return
        }
        decoder.append(unwrapInboundIn(data).readableBytesView)
        while let message = decoder.next() {
            responder.receive(message, from: asker, in: container, over: .tcp) { reply in
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
