import NIOCore
import NIOHTTP1

/// Sends one request once the connection is there, and gathers the answer. Everything happens on the connection's event loop:
/// every change of threads on the way would cost a command like `docker ps` a tenth of a millisecond.
final class WholeAnswer: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private let request: HTTPRequestHead
    private let body: [UInt8]?
    /// Who completes it first counts: this one, a limit in time, a cancelled task.
    private let answer: EventLoopPromise<HTTPAnswer>
    private var head: HTTPResponseHead?
    private var content: [UInt8] = []

    init(to request: HTTPRequestHead, body: [UInt8]?, answer: EventLoopPromise<HTTPAnswer>) {
        self.request = request
        self.body = body
        self.answer = answer
    }

    func channelActive(context: ChannelHandlerContext) {
        context.write(wrapOutboundOut(.head(request)), promise: nil)
        if let body { context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil) }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let received):
            guard received.status != .switchingProtocols else {
                return answer.fail(
                    HTTPFailure.broken(reason: "it changes to another protocol, which was not asked for"))
            }
            // 100-continue and the like announce nothing.
            if !(100..<200).contains(received.status.code) { head = received }
        case .body(let bytes):
            guard head != nil else { return }
            guard content.count + bytes.readableBytes <= UnixHTTPClient.bodyBytesMax else {
                return answer.fail(HTTPFailure.broken(reason: "it is longer than \(UnixHTTPClient.bodyBytesMax) bytes"))
            }
            content += bytes.readableBytesView
        case .end:
            guard let head else { return }
            answer.succeed(HTTPAnswer(status: Int(head.status.code), headers: head.headers, body: content))
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch error {
        case is HTTPParserError: answer.fail(HTTPFailure.broken(reason: "it is not HTTP (\(error))"))
        // What the server has said before it refused a write is still to be read; then it is `channelInactive`.
        case is ChannelError: break
        case let error as IOError: answer.fail(HTTPFailure.broken(reason: error.description))
        default: answer.fail(HTTPFailure.broken(reason: "\(error)"))
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        answer.fail(HTTPFailure.broken(reason: head == nil ? "no answer came" : "it ended early"))
        context.fireChannelInactive()
    }
}
