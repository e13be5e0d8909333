import NIOCore
import NIOHTTP1

/// One client connection: takes requests one after another, in order, and answers each before the next is looked at.
///
/// What becomes of a request is decided at its head: a route of weftd's own gathers the body and then runs; what is the
/// engine's goes there part by part; everything else is refused, or thrown away, without keeping the body.
/// While a request is being answered, what the client pipelines behind it waits, at most one read's worth: reads are held
/// back then. A client that goes away cancels the answer under way.
final class ConnectionHandler: ChannelDuplexHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Bytes of body that an own route takes.
    static let bodySizeMax = 16 << 20

    private enum State {
        case idle
        case receiving(HTTPRequestHead, Router.Operation, RequestTarget, body: ByteBuffer)
        /// Answered already; the rest of the body is thrown away.
        case discarding(HTTPRequestHead)
        case answering(Task<Void, Never>)
        /// The engine answers.
        case passing(EngineExchange, HTTPRequestHead, isRequestWhole: Bool)
        /// Nothing more is answered; what still comes is thrown away until the client closes.
        case draining
        case closed
    }

    private let router: Router
    /// Before this handler in the pipeline.
    private var decoder: APIServer.RequestDecoder
    private var state = State.idle
    private var waiting = CircularBuffer<HTTPServerRequestPart>()
    private var isReadHeld = false
    private var isInputClosed = false
    private var context: ChannelHandlerContext?
    /// The head of a stream whose request is not whole yet.
    private var streamHead: ByteBuffer?

    init(router: Router, decoder: APIServer.RequestDecoder) {
        self.router = router
        self.decoder = decoder
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        waiting.append(unwrapInboundIn(data))
        proceed(context: context)
    }

    func read(context: ChannelHandlerContext) {
        // With nothing waiting, reading goes on even while answering: so it is noticed when the client goes away.
        if waiting.isEmpty, !awaitsStream { context.read() } else { isReadHeld = true }
    }

    /// What comes now is the decoder's to keep, and it keeps all of it.
    private var awaitsStream: Bool {
        if case .passing(_, let head, isRequestWhole: true) = state { head.leavesHTTP } else { false }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed {
            isInputClosed = true
            // A client may end its side and still wait for the answer (RFC 9112, 9.6).
            switch state {
            case .answering: break
            // What is to become a stream ends there.
            case .passing(_, let head, _) where head.headers.contains(name: "upgrade"): break
            case .passing(let exchange, _, _): exchange.endInput()
            default: close(context: context)
            }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable, case .passing(let exchange, _, _) = state { exchange.clientBecameWritable() }
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        abandon()
        state = .closed
        waiting.removeAll()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch (state, error) {
        case (.idle, let error as HTTPParserError), (.receiving, let error as HTTPParserError):
            refuse(.unreadable(error), head: nil, context: context)
        case (.passing(let exchange, let head, _), let error as HTTPParserError) where !exchange.isBegun:
            exchange.cancel()
            refuse(.unreadable(error), head: head, context: context)
        // The rest of what could not be read.
        case (.draining, is ByteToMessageDecoderError), (.closed, _): break
        default: close(context: context)
        }
    }

    /// Ends what is under way.
    private func abandon() {
        switch state {
        case .answering(let task): task.cancel()
        case .passing(let exchange, _, _): exchange.cancel()
        default: break
        }
    }

    /// Takes what waits, as far as the state allows.
    private func proceed(context: ChannelHandlerContext) {
        taking: while let part = waiting.first {
            switch (state, part) {
            case (.answering, _), (.passing(_, _, isRequestWhole: true), _): break taking
            case (.passing(let exchange, let head, isRequestWhole: false), let part):
                guard exchange.canSend else { break taking }
                waiting.removeFirst()
                switch part {
                case .body(let chunk): exchange.send(chunk)
                case .end(let trailers):
                    state = .passing(exchange, head, isRequestWhole: true)
                    exchange.sendEnd(trailers: trailers)
                    if let streamHead {
                        let bound = NIOLoopBound((self, streamHead), eventLoop: context.eventLoop)
                        // Not from within the decoder, which is to be removed.
                        context.eventLoop.execute { bound.value.0.becomeStream(head: bound.value.1) }
                    }
                case .head: break
                }
            case (.idle, .head(let head)):
                waiting.removeFirst()
                begin(head, context: context)
            case (.receiving(let head, let operation, let target, var body), .body(var chunk)):
                waiting.removeFirst()
                state = .idle
                body.writeBuffer(&chunk)
                if body.readableBytes > Self.bodySizeMax {
                    refuse(.bodyTooLarge, head: head, context: context)
                } else {
                    state = .receiving(head, operation, target, body: body)
                }
            case (.receiving(let head, let operation, let target, let body), .end):
                waiting.removeFirst()
                let request = APIRequest(
                    method: head.method, path: target.path, query: target.query, body: Array(body.readableBytesView),
                    uri: head.uri, headers: head.headers)
                run(operation, request, head: head, context: context)
            case (.discarding(let head), .end):
                waiting.removeFirst()
                becomeIdle(after: head, context: context)
            case (.discarding, _), (.draining, _), (.closed, _), (.idle, _), (.receiving, .head): waiting.removeFirst()
            }
        }
        if waiting.isEmpty, isReadHeld {
            isReadHeld = false
            context.read()
        }
    }

    private func begin(_ head: HTTPRequestHead, context: ChannelHandlerContext) {
        switch router.route(method: head.method, uri: head.uri) {
        case .refused(let error):
            state = .discarding(head)
            write(.failure(error), to: head, context: context)
            if !head.isKeepAlive { close(context: context) }
        case .engine(let socketPath):
            let exchange = EngineExchange(head: head, owner: self)
            state = .passing(exchange, head, isRequestWhole: false)
            exchange.connect(to: socketPath, on: context.eventLoop)
        case .own(let operation, let target):
            if let text = head.headers.first(name: "content-length"), let length = Int(text), length > Self.bodySizeMax {
                return refuse(.bodyTooLarge, head: head, context: context)
            }
            state = .receiving(head, operation, target, body: ByteBuffer())
            if head.headers.first(name: "expect")?.lowercased() == "100-continue" {
                context.writeAndFlush(
                    wrapOutboundOut(HTTPResponseHead(version: .http1_1, status: .continue).bytes), promise: nil)
            }
        }
    }

    /// Answers before the request is whole, which it may never be, and reads on only to let the client see the answer:
    /// closing while bytes are unread would reset the connection under it.
    private func refuse(_ error: APIError, head: HTTPRequestHead?, context: ChannelHandlerContext) {
        state = .draining
        write(.failure(error), to: head, closing: true, context: context)
        endOutput(context: context)
    }

    /// Half-closes once everything queued is written.
    private func endOutput(context: ChannelHandlerContext) {
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in
            bound.value.close(mode: .output, promise: nil)
        }
    }

    private func run(
        _ operation: @escaping Router.Operation, _ request: APIRequest, head: HTTPRequestHead,
        context: ChannelHandlerContext
    ) {
        let answering = Answering(
            router: router, operation: operation, request: request, head: head, channel: context.channel,
            handler: NIOLoopBound(self, eventLoop: context.eventLoop),
            context: NIOLoopBound(context, eventLoop: context.eventLoop))
        // Its life is the connection's: `channelInactive` cancels it.
        state = .answering(Task { await answering.run() })
    }

    /// What an answer under way needs outside the event loop.
    private struct Answering: Sendable {
        let router: Router
        let operation: Router.Operation
        let request: APIRequest
        let head: HTTPRequestHead
        let channel: any Channel
        let handler: NIOLoopBound<ConnectionHandler>
        let context: NIOLoopBound<ChannelHandlerContext>

        func run() async {
            let response = await router.run(operation, request)
            if case .stream(let produce) = response.body, head.method != .HEAD {
                let isWhole = await ConnectionHandler.stream(
                    response, isChunked: head.version != .http1_0, produce: produce, to: channel)
                channel.eventLoop.execute { handler.value.complete(head, isWhole: isWhole, context: context.value) }
            } else {
                channel.eventLoop.execute { handler.value.finish(response, head, context: context.value) }
            }
        }
    }

    private func finish(_ response: APIResponse, _ head: HTTPRequestHead, context: ChannelHandlerContext) {
        guard case .answering = state else { return }
        write(response, to: head, context: context)
        complete(head, isWhole: true, context: context)
    }

    /// Sends a streamed response; false when it was cut off, or when its end must be the connection's.
    private nonisolated static func stream(
        _ response: APIResponse, isChunked: Bool, produce: @Sendable (ResponseWriter) async throws -> Void,
        to channel: any Channel
    ) async -> Bool {
        var line = HTTPResponseHead(version: .http1_1, status: response.status, headers: response.headers)
        line.headers.replaceOrAdd(
            name: isChunked ? "Transfer-Encoding" : "Connection", value: isChunked ? "chunked" : "close")
        do {
            // The head goes out at once: clients wait for it before the first chunk.
            try await channel.writeAndFlush(line.bytes).get()
            try await produce(
                ResponseWriter { chunk in
                    var framed = ByteBuffer()
                    if isChunked { framed.writeString(String(chunk.readableBytes, radix: 16) + "\r\n") }
                    framed.writeImmutableBuffer(chunk)
                    if isChunked { framed.writeString("\r\n") }
                    try await channel.writeAndFlush(framed).get()
                })
            if isChunked { try await channel.writeAndFlush(ByteBuffer(string: "0\r\n\r\n")).get() }
            return isChunked
        } catch {
            return false
        }
    }

    /// The response is out: goes on with the next request, or ends the connection.
    private func complete(_ head: HTTPRequestHead, isWhole: Bool, context: ChannelHandlerContext) {
        guard case .answering = state else { return }
        guard isWhole, head.isKeepAlive else { return close(context: context) }
        becomeIdle(after: head, context: context)
        proceed(context: context)
        if isInputClosed, case .idle = state { close(context: context) }
    }

    /// The next request may come. A decoder that has read a request which would leave HTTP reads no further; when the answer
    /// stays in HTTP after all, a fresh one takes its place, and begins with the bytes it holds.
    private func becomeIdle(after head: HTTPRequestHead, context: ChannelHandlerContext) {
        state = .idle
        guard head.leavesHTTP else { return }
        let pipeline = context.channel.pipeline.syncOperations
        let stopped = decoder
        decoder = APIServer.requestDecoder()
        do {
            try pipeline.addHandler(decoder, position: .after(stopped))
            pipeline.removeHandler(context: try pipeline.context(handler: stopped), promise: nil)
        } catch {
            close(context: context)
        }
    }

    private func write(
        _ response: APIResponse, to head: HTTPRequestHead?, closing: Bool = false, context: ChannelHandlerContext
    ) {
        var headers = response.headers
        var content: [UInt8] = []
        if case .whole(let bytes) = response.body, response.status.mayHaveResponseBody {
            content = bytes
            headers.replaceOrAdd(name: "Content-Length", value: String(bytes.count))
        }
        if closing || !(head?.isKeepAlive ?? false) { headers.replaceOrAdd(name: "Connection", value: "close") }
        var bytes = HTTPResponseHead(version: .http1_1, status: response.status, headers: headers).bytes
        if head?.method != .HEAD { bytes.writeBytes(content) }
        context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
    }

    /// Closes once everything queued is written: `close` alone fails queued writes.
    private func close(context: ChannelHandlerContext) {
        abandon()
        state = .closed
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in bound.value.close(promise: nil) }
    }
}

// MARK: The engine's answers

extension ConnectionHandler: EngineExchangeOwner {
    var exchangeClientIsWritable: Bool { context?.channel.isWritable ?? true }

    func exchangeCanSend() {
        if let context { proceed(context: context) }
    }

    func exchangeReceived(_ bytes: ByteBuffer) { context?.write(wrapOutboundOut(bytes), promise: nil) }

    func exchangeReceivedAll() { context?.flush() }

    func exchangeEnded(closes: Bool) {
        guard let context, case .passing(_, let head, let isRequestWhole) = state else { return }
        context.flush()
        if closes || !head.isKeepAlive {
            // Closing while bytes are unread would reset the connection under the answer.
            if isRequestWhole { return close(context: context) }
            state = .draining
            endOutput(context: context)
        } else {
            if isRequestWhole { becomeIdle(after: head, context: context) } else { state = .discarding(head) }
        }
        proceed(context: context)
        if isInputClosed, case .idle = state { close(context: context) }
    }

    func exchangeFailed(_ error: APIError, isBegun: Bool) {
        guard let context, case .passing(_, let head, let isRequestWhole) = state else { return }
        // Half an answer can only be cut off.
        if isBegun { return close(context: context) }
        if !isRequestWhole {
            refuse(error, head: head, context: context)
        } else {
            write(.failure(error), to: head, context: context)
            if !head.isKeepAlive || isInputClosed { return close(context: context) }
            becomeIdle(after: head, context: context)
        }
        proceed(context: context)
    }

    func exchangeBecameStream(head: ByteBuffer) {
        if case .passing(_, _, isRequestWhole: true) = state { becomeStream(head: head) } else { streamHead = head }
    }

    /// Takes HTTP out of both connections and joins them.
    private func becomeStream(head: ByteBuffer) {
        guard let context, case .passing(let exchange, _, _) = state else { return }
        let pipeline = context.channel.pipeline.syncOperations
        let (client, engine) = SpliceHandler.pair()
        do {
            context.writeAndFlush(wrapOutboundOut(head), promise: nil)
            try pipeline.addHandler(client)
            try exchange.splice(to: engine)
            engine.beginPaused(with: exchange.rest)
            let decoder = try pipeline.context(handler: decoder)
            state = .closed
            pipeline.removeHandler(context: context, promise: nil)
            // What the decoder holds already belongs to the stream.
            pipeline.removeHandler(context: decoder, promise: nil)
            if isReadHeld { client.resume() }
            if isInputClosed { client.inputEnded() }
        } catch {
            close(context: context)
        }
    }
}

extension ConnectionHandler: RemovableChannelHandler {}

extension HTTPRequestHead {
    /// The request would leave HTTP (RFC 9110, 7.8 and 9.3.6), as the decoder sees it.
    fileprivate var leavesHTTP: Bool {
        method == .CONNECT
            || (headers.contains(name: "upgrade")
                && headers[canonicalForm: "connection"].contains { $0.lowercased() == "upgrade" })
    }
}

extension APIError {
    fileprivate static let bodyTooLarge = APIError(
        413, "the request's body is larger than \(ConnectionHandler.bodySizeMax) bytes")

    fileprivate static func unreadable(_ error: HTTPParserError) -> APIError {
        error == .headerOverflow
            ? APIError(431, "the request's head is larger than \(APIServer.headSizeMax) bytes, or has too many fields")
            : .badRequest("the request is not HTTP/1.1: \(error)")
    }
}
