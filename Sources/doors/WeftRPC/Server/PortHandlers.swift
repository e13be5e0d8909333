internal import NIOCore
internal import NIOTLS

/// Turns connections away before anything is made for them, and stops accepting while descriptors are short or nothing but
/// refusals comes of it.
final class AcceptHandler: ChannelDuplexHandler {
    typealias InboundIn = any Channel
    typealias InboundOut = any Channel
    typealias OutboundIn = any Channel

    private let port: PortGuard
    private var refused = 0
    private var tenthBegan = NIODeadline.now()
    private var isPaused = false

    init(port: PortGuard) { self.port = port }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let channel = unwrapInboundIn(data)
        // One of another loop looks at it itself, later.
        if channel.eventLoop.inEventLoop, port.leavesTooFewDescriptors(channel) {
            channel.close(promise: nil)
            return pause(context, for: .seconds(1))
        }
        guard port.admit(channel) else {
            channel.close(promise: nil)
            return countRefusal(context)
        }
        context.fireChannelRead(data)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Out of descriptors or memory: accepting fails until something is closed, and would be tried without end.
        if error is IOError {
            port.note("cannot accept: \(error)")
            pause(context, for: .seconds(1))
        }
        context.fireErrorCaught(error)
    }

    private func countRefusal(_ context: ChannelHandlerContext) {
        let now = NIODeadline.now()
        if now - tenthBegan >= .milliseconds(100) {
            tenthBegan = now
            refused = 0
        }
        refused += 1
        if refused >= port.limits.refusalsPerTenth { pause(context, for: .milliseconds(100)) }
    }

    /// The listening socket is not looked at meanwhile; the kernel keeps who comes.
    private func pause(_ context: ChannelHandlerContext, for time: TimeAmount) {
        guard !isPaused, let options = context.channel.syncOptions else { return }
        isPaused = true
        try? options.setOption(.autoRead, value: false)
        let channel = context.channel
        context.eventLoop.assumeIsolated().scheduleTask(in: time) { [self] in
            isPaused = false
            try? channel.syncOptions?.setOption(.autoRead, value: true)
        }
    }
}

/// Below TLS: how long a caller may remain unknown, and how much may arrive from it until then.
final class ArrivalHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let port: PortGuard
    private let frames: FrameHandler
    private var bytes = 0
    private var timers: [Scheduled<Void>] = []

    init(port: PortGuard, frames: FrameHandler) {
        self.port = port
        self.frames = frames
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let loop = context.eventLoop.assumeIsolated()
        frames.closeNow = { context.close(promise: nil) }
        timers = [
            loop.scheduleTask(in: port.limits.handshake) { [port, frames] in
                guard !frames.isMember, !frames.hasCalled else { return }
                port.note(frames.isSecure ? "strangers without a call" : "unfinished handshakes")
                frames.closeNow()
            },
            loop.scheduleTask(in: port.limits.strangerLife) { [port, frames] in
                guard !frames.isMember else { return }
                port.note("strangers that stayed")
                frames.closeNow()
            },
        ]
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        for timer in timers { timer.cancel() }
        frames.closeNow = {}
    }

    func channelInactive(context: ChannelHandlerContext) {
        for timer in timers { timer.cancel() }
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if !frames.isMember {
            bytes += unwrapInboundIn(data).readableBytes
            guard bytes <= port.limits.strangerWireBytes else {
                port.note(FrameGauge.Violation.connection.rawValue)
                return context.close(promise: nil)
            }
        }
        context.fireChannelRead(data)
    }
}

/// Between TLS and HTTP/2: who calls, and what passes.
final class FrameHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let port: PortGuard
    private var gauge: FrameGauge
    private(set) var isSecure = false
    private var isClosed = false
    /// Closes the connection below TLS, whose orderly close would wait for the caller.
    var closeNow: () -> Void = {}

    init(port: PortGuard) {
        self.port = port
        gauge = FrameGauge(limits: port.limits, now: .now())
    }

    var isMember: Bool { gauge.caller == .member }
    var hasCalled: Bool { gauge.hasCalled }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted? = event as? TLSUserEvent {
            isSecure = true
            if port.identify(context.channel) { gauge.caller = .member }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isClosed else { return }
        do throws(FrameGauge.Violation) {
            try gauge.receive(unwrapInboundIn(data).readableBytesView, now: .now())
            context.fireChannelRead(data)
        } catch {
            isClosed = true
            port.note("\(isMember ? "of a member: " : "")\(error.rawValue)")
            closeNow()
        }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        gauge.sent(unwrapOutboundIn(data).readableBytes)
        context.write(data, promise: promise)
    }
}
