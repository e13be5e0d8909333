import NIOCore
import WeftWire

/// A connected UDP socket to one resolver.
final class UpstreamDatagramHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>

    private let onMessage: ([UInt8]) -> Void
    private let onError: () -> Void

    init(onMessage: @escaping ([UInt8]) -> Void, onError: @escaping () -> Void) {
        self.onMessage = onMessage
        self.onError = onError
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        onMessage(Array(unwrapInboundIn(data).data.readableBytesView))
    }

    /// ECONNREFUSED and its like: nobody listens there, or there is no way.
    func errorCaught(context: ChannelHandlerContext, error: any Error) { onError() }
}

/// A TCP connection to one resolver.
final class UpstreamStreamHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let onMessage: ([UInt8]) -> Void
    private let onEnd: () -> Void
    private var decoder = DNSStreamDecoder()

    init(onMessage: @escaping ([UInt8]) -> Void, onEnd: @escaping () -> Void) {
        self.onMessage = onMessage
        self.onEnd = onEnd
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        decoder.append(unwrapInboundIn(data).readableBytesView)
        do throws(DNSFramingError) { while let message = try decoder.next() { onMessage(message) } } catch { context.close(promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) { onEnd() }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
