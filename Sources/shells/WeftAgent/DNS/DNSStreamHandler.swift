import NIOCore
import WeftNet
import WeftWire

/// One TCP connection of a client (RFC 7766): queries may come before earlier ones are answered.
///
/// It reads no more than it has answered: while queries wait for their turn, for resolvers outside, or for the client to take
/// the replies, the rest stays with the client.
final class DNSStreamHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// What is read at a time.
    static let readSize = 4096

    private let responder: DNSResponder
    private let container: ContainerResolver?
    private var decoder = DNSStreamDecoder(sizeMax: DNSLimits.querySizeMax)
    private var client: (address: IPv4Address, asker: DNSAsker)?
    private var context: ChannelHandlerContext?
    /// Queries that wait for an answer from outside.
    private var pending = 0
    /// It waits for a turn, or has it.
    private var isQueued = false
    private var isReadHeld = false
    /// When the message that has begun must be whole.
    private var patience: Scheduled<Void>?

    init(_ responder: DNSResponder, container: ContainerResolver? = nil) {
        self.responder = responder
        self.container = container
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelActive(context: ChannelHandlerContext) {
        guard let address = context.remoteAddress?.ipv4, let asker = responder.asker(at: address, in: container),
            responder.opened(context.channel, by: asker)
        else { return context.close(promise: nil) }
        client = (address, asker)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.context = nil
        endPatience()
        responder.closed(context.channel)
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        decoder.append(unwrapInboundIn(data).readableBytesView)
        waitForTurn()
    }

    private func waitForTurn() {
        guard let client, !isQueued, pending < responder.limits.pipelined, context?.channel.isWritable == true else { return }
        guard decoder.hasNext else { return readOn() }
        isQueued = true
        responder.turns.append(self, of: client.asker)
    }

    private var isBusy: Bool { isQueued || decoder.hasNext || pending >= responder.limits.pipelined || context?.channel.isWritable != true }

    /// Everything that is here has been taken; the rest of a message must not be long in coming.
    private func readOn() {
        guard let context else { return }
        if decoder.isInsideMessage, patience == nil {
            let time = responder.limits.times.message
            patience = context.eventLoop.assumeIsolated().scheduleTask(in: time) { [weak self] in self?.losePatience() }
        }
        if isReadHeld {
            isReadHeld = false
            context.read()
        }
    }

    /// The message that has begun is late, unless its rest could not be read meanwhile.
    private func losePatience() {
        patience = nil
        if !isBusy { context?.close(promise: nil) }
    }

    private func endPatience() {
        patience?.cancel()
        patience = nil
    }

    func read(context: ChannelHandlerContext) {
        if isBusy { isReadHeld = true } else { context.read() }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        waitForTurn()
        context.fireChannelWritabilityChanged()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event is IdleStateHandler.IdleStateEvent else { return context.fireUserInboundEventTriggered(event) }
        // It is not the client's fault when queries of its wait, as long as it takes replies.
        let isWaiting = (isQueued || decoder.hasNext || pending > 0) && context.channel.isWritable
        if !isWaiting { context.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

extension DNSStreamHandler: StreamTurn {
    func takeTurn() {
        isQueued = false
        guard let context, let client else { return }
        do throws(DNSFramingError) {
            if let message = try decoder.next() {
                endPatience()
                pending += 1
                var isInTurn = true
                responder.receive(message, from: client.address, in: container, over: .tcp) { self.replied($0, isInTurn: isInTurn) }
                isInTurn = false
            }
        } catch {
            // What came before is answered.
            context.flush()
            return context.close(promise: nil)
        }
        waitForTurn()
    }

    func endTurns() { context?.flush() }

    private func replied(_ reply: DNSReply, isInTurn: Bool) {
        pending -= 1
        guard let context else { return }
        switch reply {
        case .none: break
        case .turnedAway: return context.close(promise: nil)
        case .message(let bytes):
            // A client that asks on and takes no replies is not worth the memory.
            guard isInTurn || context.channel.isWritable, let framed = DNSStreamDecoder.frame(bytes) else {
                return context.close(promise: nil)
            }
            context.write(wrapOutboundOut(context.channel.allocator.buffer(bytes: framed)), promise: nil)
        }
        if !isInTurn {
            context.flush()
            waitForTurn()
        }
    }
}
