import NIOCore
import NIOHTTP1

/// One connection of the engine's: answers its calls one after another.
final class PluginConnection: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private static let bodySizeMax = 1 << 20
    private static let contentType = "application/vnd.docker.plugins.v1.1+json"

    private let service: PluginService
    private var head: HTTPRequestHead?
    private var body = ByteBuffer()

    init(service: PluginService) { self.service = service }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            body.clear()
        case .body(var chunk):
            body.writeBuffer(&chunk)
            if body.readableBytes > Self.bodySizeMax { context.close(promise: nil) }
        case .end:
            guard let head else { return }
            self.head = nil
            answer(head, body: Array(body.readableBytesView), context: context)
        }
    }

    /// The pipeline hands the next call in only when this one is answered.
    private func answer(_ head: HTTPRequestHead, body: [UInt8], context: ChannelHandlerContext) {
        let method = String(head.uri.drop { $0 == "/" })
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let loop = context.eventLoop
        // Not cancelled with the connection: what an engine asked for is done, so that it finds it done when it asks again.
        let isCall = head.method == .POST
        Task { [service] in
            let call = isCall ? await service.begin(method: method, body: body) : nil
            let answer = isCall ? await service.answer(method: method, body: call.map { Array($0.body.utf8) } ?? body) : nil
            loop.execute {
                let (handler, context) = bound.value
                handler.write(answer, to: head, context: context) {
                    // Whether it arrived or not: nobody asks again by a connection that was there until now.
                    if let call { Task { await service.end(call) } }
                }
            }
        }
    }

    private func write(
        _ answer: [UInt8]?, to head: HTTPRequestHead, context: ChannelHandlerContext, done: @escaping @Sendable () -> Void
    ) {
        let bytes = answer ?? Array(#"{"Err":"Weft's plugin has no such method"}"#.utf8)
        let headers: HTTPHeaders = [
            "Content-Type": Self.contentType, "Content-Length": String(bytes.count),
            "Connection": head.isKeepAlive ? "keep-alive" : "close",
        ]
        let line = HTTPResponseHead(version: .http1_1, status: answer == nil ? .notFound : .ok, headers: headers)
        context.write(wrapOutboundOut(.head(line)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: bytes)))), promise: nil)
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in
            done()
            if !head.isKeepAlive { bound.value.close(promise: nil) }
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
