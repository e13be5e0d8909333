import NIOCore
import NIOHTTP1

/// One client connection: takes requests one after another, in order, and answers each before the next is looked at.
///
/// What becomes of a request is decided at its head: a route of weftd's own gathers the body and then runs; everything
/// else is refused, or thrown away, without keeping the body.
/// While a request is being answered, what the client pipelines behind it waits, at most one read's worth: reads are held
/// back then. A client that goes away cancels the answer under way.
final class ConnectionHandler: ChannelDuplexHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    /// Bytes of body that an own route takes.
    static let bodySizeMax = 16 << 20

    private enum State {
        case idle
        case receiving(HTTPRequestHead, Router.Operation, RequestTarget, body: ByteBuffer)
        /// Answered already; the rest of the body is thrown away.
        case discarding
        case answering(Task<Void, Never>)
        /// Nothing more is answered; what still comes is thrown away until the client closes.
        case draining
        case closed
    }

    private let router: Router
    private var state = State.idle
    private var waiting = CircularBuffer<HTTPServerRequestPart>()
    private var isReadHeld = false
    private var isInputClosed = false

    init(router: Router) { self.router = router }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        waiting.append(unwrapInboundIn(data))
        proceed(context: context)
    }

    func read(context: ChannelHandlerContext) {
        // With nothing waiting, reading goes on even while answering: so it is noticed when the client goes away.
        if waiting.isEmpty { context.read() } else { isReadHeld = true }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed {
            isInputClosed = true
            // A client may end its side and still wait for the answer (RFC 9112, 9.6).
            if case .answering = state {} else { close(context: context) }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        if case .answering(let task) = state { task.cancel() }
        state = .closed
        waiting.removeAll()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch state {
        case .idle where error is HTTPParserError:
            write(.failure(.badRequest("the request is not HTTP/1.1: \(error)")), to: nil, context: context)
            close(context: context)
        case .idle, .receiving, .discarding, .answering, .draining: close(context: context)
        case .closed: break
        }
    }

    /// Takes what waits, as far as the state allows.
    private func proceed(context: ChannelHandlerContext) {
        taking: while let part = waiting.first {
            switch (state, part) {
            case (.answering, _): break taking
            case (.idle, .head(let head)):
                waiting.removeFirst()
                begin(head, context: context)
            case (.receiving(let head, let operation, let target, var body), .body(var chunk)):
                waiting.removeFirst()
                state = .idle
                body.writeBuffer(&chunk)
                if body.readableBytes > Self.bodySizeMax {
                    refuseBody(of: head, context: context)
                } else {
                    state = .receiving(head, operation, target, body: body)
                }
            case (.receiving(let head, let operation, let target, let body), .end):
                waiting.removeFirst()
                let request = APIRequest(
                    method: head.method, path: target.path, query: target.query, body: Array(body.readableBytesView))
                run(operation, request, head: head, context: context)
            case (.discarding, .end):
                waiting.removeFirst()
                state = .idle
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
            state = .discarding
            write(.failure(error), to: head, context: context)
            if !head.isKeepAlive { close(context: context) }
        case .own(let operation, let target):
            if let text = head.headers.first(name: "content-length"), let length = Int(text), length > Self.bodySizeMax
            {
                return refuseBody(of: head, context: context)
            }
            state = .receiving(head, operation, target, body: ByteBuffer())
            if head.headers.first(name: "expect")?.lowercased() == "100-continue" {
                context.writeAndFlush(
                    wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .continue))), promise: nil)
            }
        }
    }

    /// Answers before the body is there, which may be without end, and reads on only to let the client see the answer:
    /// closing while bytes are unread would reset the connection under it.
    private func refuseBody(of head: HTTPRequestHead, context: ChannelHandlerContext) {
        state = .draining
        write(
            .failure(APIError(413, "the request's body is larger than \(Self.bodySizeMax) bytes")), to: head,
            closing: true,
            context: context)
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(ByteBuffer())))).whenComplete { _ in
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
                let isWhole = await ConnectionHandler.stream(response, produce: produce, to: channel)
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

    /// Sends a streamed response; false when it was cut off.
    private nonisolated static func stream(
        _ response: APIResponse, produce: @Sendable (ResponseWriter) async throws -> Void, to channel: any Channel
    ) async -> Bool {
        let line = HTTPResponseHead(version: .http1_1, status: response.status, headers: response.headers)
        do {
            // The head goes out at once: clients wait for it before the first chunk.
            try await channel.writeAndFlush(HTTPServerResponsePart.head(line)).get()
            try await produce(
                ResponseWriter { chunk in
                    try await channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(chunk))).get()
                })
            try await channel.writeAndFlush(HTTPServerResponsePart.end(nil)).get()
            return true
        } catch {
            return false
        }
    }

    /// The response is out: goes on with the next request, or ends the connection.
    private func complete(_ head: HTTPRequestHead, isWhole: Bool, context: ChannelHandlerContext) {
        guard case .answering = state else { return }
        guard isWhole, head.isKeepAlive else { return close(context: context) }
        state = .idle
        proceed(context: context)
        if isInputClosed, case .idle = state { close(context: context) }
    }

    private func write(
        _ response: APIResponse, to head: HTTPRequestHead?, closing: Bool = false, context: ChannelHandlerContext
    ) {
        var headers = response.headers
        var content: [UInt8] = []
        if case .whole(let bytes) = response.body {
            content = bytes
            headers.replaceOrAdd(name: "Content-Length", value: String(bytes.count))
        }
        if closing || !(head?.isKeepAlive ?? false) { headers.replaceOrAdd(name: "Connection", value: "close") }
        let line = HTTPResponseHead(version: .http1_1, status: response.status, headers: headers)
        context.write(wrapOutboundOut(.head(line)), promise: nil)
        // The encoder does not know that this answers HEAD, and would end a body that must not be there.
        if head?.method != .HEAD {
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: content)))), promise: nil)
            context.write(wrapOutboundOut(.end(nil)), promise: nil)
        }
        context.flush()
    }

    /// Closes once everything queued is written: `close` alone fails queued writes.
    private func close(context: ChannelHandlerContext) {
        if case .answering(let task) = state { task.cancel() }
        state = .closed
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(ByteBuffer())))).whenComplete { _ in
            bound.value.close(promise: nil)
        }
    }
}
