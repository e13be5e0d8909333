import NIOCore

/// One end of two connections that have left HTTP: bytes go to the partner as they come. An end of input becomes a half-close
/// of the partner, never more; reads wait while the partner cannot be written.
final class SpliceHandler: ChannelInboundHandler, ChannelOutboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var context: ChannelHandlerContext?
    /// The pair holds itself until one end is gone.
    private var partner: SpliceHandler?
    private var isReadHeld = false
    private var isInputClosed = false

    /// Two handlers, each other's partner. Both channels must be of one event loop.
    static func pair() -> (SpliceHandler, SpliceHandler) {
        let first = SpliceHandler()
        let second = SpliceHandler()
        first.partner = second
        second.partner = first
        return (first, second)
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        partner = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard let other = partner?.context else { return }
        other.write(data, promise: nil)
    }

    func channelReadComplete(context: ChannelHandlerContext) { partner?.context?.flush() }

    func read(context: ChannelHandlerContext) {
        guard let partner, let other = partner.context else { return context.read() }
        if other.channel.isWritable { context.read() } else { isReadHeld = true }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { partner?.resumeReading() }
    }

    /// Reads, when a handler that was here before had held a read back.
    func resume() {
        if let context { read(context: context) }
    }

    private func resumeReading() {
        guard isReadHeld, let context else { return }
        isReadHeld = false
        context.read()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let event = event as? ChannelEvent, event == .inputClosed else {
            return context.fireUserInboundEventTriggered(event)
        }
        inputEnded()
    }

    func inputEnded() {
        isInputClosed = true
        partner?.endOutput()
    }

    /// Half-closes once everything queued is written; closes when nothing comes from here either.
    private func endOutput() {
        guard let context else { return }
        let mode: CloseMode = isInputClosed ? .all : .output
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in
            bound.value.close(mode: mode, promise: nil)
        }
    }

    /// The connection is gone. What was read from it still goes to the partner, which is then closed.
    func channelInactive(context: ChannelHandlerContext) {
        if let partner {
            partner.isInputClosed = true
            partner.endOutput()
            partner.partner = nil
        }
        partner = nil
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Whatever it is, `channelInactive` follows; a refused half-close of a closed connection changes nothing.
        if !(error is ChannelError) { context.close(promise: nil) }
    }
}
