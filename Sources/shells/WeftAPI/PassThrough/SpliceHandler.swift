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
    private var pause: Pause?

    /// What is kept from the partner for a moment, in this order.
    private struct Pause {
        var bytes: ByteBuffer
        var isInputClosed = false
        var isConnectionGone = false
        let end: Scheduled<Void>
    }

    /// How long a client has to read the head of a stream by itself. docker-py drops what its buffered reader takes in along
    /// with the head; other clients lose this once.
    private static let headTime = TimeAmount.milliseconds(5)

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
        // One whose connection is gone may have to say something still.
        if pause == nil { partner = nil }
    }

    /// Keeps `bytes`, and whatever comes from here, until the partner has had time to read what it was sent, or says something.
    func beginPaused(with bytes: ByteBuffer) {
        guard let context else {
            partner?.context?.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
            return connectionEnded()
        }
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        pause = Pause(bytes: bytes, end: context.eventLoop.scheduleTask(in: Self.headTime) { bound.value.endPause() })
    }

    private func endPause() {
        guard let pause else { return }
        self.pause = nil
        pause.end.cancel()
        partner?.context?.writeAndFlush(wrapOutboundOut(pause.bytes), promise: nil)
        if pause.isInputClosed { inputEnded() }
        if pause.isConnectionGone { connectionEnded() }
        resumeReading()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        partner?.endPause()
        guard pause == nil else {
            var bytes = unwrapInboundIn(data)
            pause?.bytes.writeBuffer(&bytes)
            return
        }
        guard let other = partner?.context else { return }
        other.write(data, promise: nil)
    }

    func channelReadComplete(context: ChannelHandlerContext) { partner?.context?.flush() }

    func read(context: ChannelHandlerContext) {
        guard pause == nil else {
            isReadHeld = true
            return
        }
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
        guard pause == nil else {
            pause?.isInputClosed = true
            return
        }
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

    func channelInactive(context: ChannelHandlerContext) {
        if pause == nil { connectionEnded() } else { pause?.isConnectionGone = true }
        context.fireChannelInactive()
    }

    /// The connection is gone. What was read from it still goes to the partner, which is then closed.
    private func connectionEnded() {
        guard let partner else { return }
        partner.isInputClosed = true
        partner.endOutput()
        partner.partner = nil
        self.partner = nil
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Whatever it is, `channelInactive` follows; a refused half-close of a closed connection changes nothing.
        if !(error is ChannelError) { context.close(promise: nil) }
    }
}
