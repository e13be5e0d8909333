import NIOCore
import NIOHTTP1
import NIOPosix

/// What an exchange tells the client's side, on the client's event loop.
protocol EngineExchangeOwner: AnyObject {
    /// The engine can take more of the request's body.
    func exchangeCanSend()
    /// Bytes of the answer, as the engine sent them.
    func exchangeReceived(_ bytes: ByteBuffer)
    /// All that was read so far has been handed over.
    func exchangeReceivedAll()
    /// The answer is whole. `closes`: the connection cannot carry another one.
    func exchangeEnded(closes: Bool)
    /// The connection leaves HTTP: `head` is still to be sent, then everything goes by `splice(to:)`.
    func exchangeBecameStream(head: ByteBuffer)
    /// No answer, or half of one (`isBegun`).
    func exchangeFailed(_ error: APIError, isBegun: Bool)
    var exchangeClientIsWritable: Bool { get }
}

/// One request on its way to the engine, over a connection of its own, and the answer on its way back.
///
/// The request is written anew from its parts, with the head as it came; the answer is not touched. All of it lives on the
/// client's event loop.
final class EngineExchange: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let head: HTTPRequestHead
    private let isChunked: Bool
    private weak var owner: (any EngineExchangeOwner)?
    private var context: ChannelHandlerContext?
    private var framer: ResponseFramer
    private var isReadHeld = false
    /// Something of the answer has gone to the client.
    private(set) var isBegun = false
    private var answer: ResponseHead?
    private var isOver = false
    private var endsInputOnceConnected = false
    /// Engine's own last bytes behind the head of a stream.
    private(set) var rest = ByteBuffer()

    init(head: HTTPRequestHead, owner: any EngineExchangeOwner) {
        self.head = head
        self.owner = owner
        isChunked = head.headers["transfer-encoding"].contains { $0.lowercased().hasSuffix("chunked") }
        framer = ResponseFramer(answersHead: head.method == .HEAD)
    }

    func connect(to socketPath: String, on eventLoop: any EventLoop) {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        ClientBootstrap(group: eventLoop)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelOption(.recvAllocator, value: APIServer.streamReads)
            .channelOption(.writeBufferWaterMark, value: APIServer.streamWaterMark)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(bound.value) }
            }
            .connect(unixDomainSocketPath: socketPath)
            .whenFailure { _ in bound.value.fail(.noEngine) }
    }

    // MARK: From the client

    /// The engine takes more of the request now.
    var canSend: Bool { context?.channel.isActive == true && context?.channel.isWritable == true }

    /// Sends a part of the body. A chunked body is chunked again.
    func send(_ chunk: ByteBuffer) {
        guard let context, chunk.readableBytes > 0 else { return }
        if isChunked {
            context.write(wrapOutboundOut(ByteBuffer(string: String(chunk.readableBytes, radix: 16) + "\r\n")), promise: nil)
            context.write(wrapOutboundOut(chunk), promise: nil)
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: "\r\n")), promise: nil)
        } else {
            context.writeAndFlush(wrapOutboundOut(chunk), promise: nil)
        }
    }

    /// The request is whole.
    func sendEnd(trailers: HTTPHeaders?) {
        guard isChunked, let context else { return }
        var buffer = ByteBuffer(string: "0\r\n")
        for (name, value) in trailers ?? [:] { buffer.writeString("\(name): \(value)\r\n") }
        buffer.writeString("\r\n")
        context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
    }

    /// The client ended its side; the engine is told the same way, and cancels what it cancels then.
    func endInput() {
        guard let context, context.channel.isActive else {
            endsInputOnceConnected = true
            return
        }
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in
            bound.value.close(mode: .output, promise: nil)
        }
    }

    /// The client is gone.
    func cancel() {
        isOver = true
        context?.close(promise: nil)
    }

    func clientBecameWritable() {
        guard isReadHeld, let context else { return }
        isReadHeld = false
        context.read()
    }

    /// Hands the connection to `handler`, in this one's place.
    func splice(to handler: SpliceHandler) throws {
        guard let context else { return }
        isOver = true
        try context.channel.pipeline.syncOperations.addHandler(handler)
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        if isReadHeld { handler.resume() }
    }

    // MARK: To and from the engine

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelActive(context: ChannelHandlerContext) {
        guard !isOver else { return context.close(promise: nil) }
        var buffer = ByteBuffer()
        buffer.writeString("\(head.method.rawValue) \(head.uri) HTTP/\(head.version.major).\(head.version.minor)\r\n")
        for (name, value) in head.headers { buffer.writeString("\(name): \(value)\r\n") }
        buffer.writeString("\r\n")
        context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
        if endsInputOnceConnected { endInput() }
        owner?.exchangeCanSend()
        context.fireChannelActive()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { owner?.exchangeCanSend() }
    }

    func read(context: ChannelHandlerContext) {
        if owner?.exchangeClientIsWritable ?? true { context.read() } else { isReadHeld = true }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isOver else { return }
        framer.append(unwrapInboundIn(data))
        do {
            while !isOver, let piece = try framer.next() { take(piece) }
        } catch {
            fail(Self.broken("\(error)"))
        }
    }

    private func take(_ piece: ResponseFramer.Piece) {
        switch piece {
        case .interim(let bytes), .body(let bytes): owner?.exchangeReceived(bytes)
        case .head(let head, let bytes):
            isBegun = true
            answer = head
            if head.isStream {
                rest = framer.takeRest()
                owner?.exchangeBecameStream(head: bytes)
            } else {
                owner?.exchangeReceived(bytes)
            }
        case .end: end(closes: answer?.closes ?? true)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) { owner?.exchangeReceivedAll() }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed { inputEnded() }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        inputEnded()
        self.context = nil
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A refused write is followed by what the engine had said before, and then by `channelInactive`.
        if !(error is ChannelError) { context.close(promise: nil) }
    }

    private func inputEnded() {
        guard !isOver else { return }
        if framer.endsWithConnection { return end(closes: true) }
        fail(Self.broken("it closed the connection"))
    }

    private func end(closes: Bool) {
        isOver = true
        context?.close(promise: nil)
        owner?.exchangeEnded(closes: closes)
    }

    private func fail(_ error: APIError) {
        guard !isOver else { return }
        isOver = true
        context?.close(promise: nil)
        owner?.exchangeFailed(error, isBegun: isBegun)
    }

    private static func broken(_ reason: String) -> APIError {
        APIError(502, "the container engine gave no whole answer: \(reason)")
    }
}

extension EngineExchange: RemovableChannelHandler {}
