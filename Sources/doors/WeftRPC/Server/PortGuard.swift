internal import Glibc
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import NIOTLS
internal import SwiftASN1
internal import Synchronization
internal import WeftModel
internal import WeftNet
internal import X509

/// Stands before gRPC on a manager's port: who may connect, how long an unknown caller may stay, and how much anybody may
/// send. gRPC itself has one limit for all callers, and begins to count when it has a message's head.
final class PortGuard: Sendable {
    private struct State {
        var shares: PortShares
        var connections: [PortShares.ConnectionID: any Channel] = [:]
        var ids: [ObjectIdentifier: PortShares.ConnectionID] = [:]
        /// What was turned away since it was last said, by the reason.
        var refusals: [String: Int] = [:]
        var lastReport: NIODeadline
        var isClosed = false
    }

    let limits: PortLimits
    private let state: Mutex<State>
    private let isMember: @Sendable (NodeID) -> Bool
    private let logger: Logger

    init(
        limits: PortLimits, familiar: some Sequence<IPv4Address>, isMember: @escaping @Sendable (NodeID) -> Bool,
        logger: Logger
    ) {
        self.limits = limits
        self.isMember = isMember
        self.logger = logger
        let now = NIODeadline.now()
        state = Mutex(State(shares: PortShares(limits: limits, familiar: familiar, now: now), lastReport: now))
    }

    /// For a listening channel, before gRPC's own handlers.
    func watchListener(_ channel: any Channel) -> EventLoopFuture<Void> {
        channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(AcceptHandler(port: self), position: .first)
        }
    }

    /// For an accepted channel that gRPC has set up. Never fails: gRPC has made an asynchronous writer by now, and one that nobody
    /// comes to use ends the process (NIOAsyncWriter). A closed connection is used, and found closed.
    func watchConnection(_ channel: any Channel) -> EventLoopFuture<Void> {
        do {
            if leavesTooFewDescriptors(channel) { throw ChannelError.ioOnClosedChannel }
            let pipeline = channel.pipeline.syncOperations
            let tls = try pipeline.handler(type: NIOSSLServerHandler.self)
            let frames = FrameHandler(port: self)
            try pipeline.addHandler(frames, position: .after(tls))
            try pipeline.addHandler(ArrivalHandler(port: self, frames: frames), position: .first)
        } catch {
            channel.close(promise: nil)
        }
        return channel.eventLoop.makeSucceededVoidFuture()
    }

    /// Lets nobody in from now on.
    func close() { state.withLock { $0.isClosed = true } }

    /// False: the connection is to be closed.
    fileprivate func admit(_ channel: any Channel) -> Bool {
        guard let source = channel.remoteAddress?.ipAddress.flatMap({ IPv4Address($0) }) else { return false }
        let (result, ended) = state.withLock { state -> (Result<PortShares.Admission, PortShares.Refusal>?, (any Channel)?) in
            if state.isClosed { return (nil, nil) }
            let result = state.shares.admit(source, now: .now())
            guard case .success(let admission) = result else { return (result, nil) }
            state.connections[admission.id] = channel
            state.ids[ObjectIdentifier(channel)] = admission.id
            return (result, admission.ended.flatMap { state.connections[$0] })
        }
        if let ended {
            note("strangers that gave way to others of their address")
            ended.close(promise: nil)
        }
        switch result {
        case nil: return false
        case .failure(let refusal):
            note(refusal.rawValue)
            return false
        case .success(let admission):
            let id = admission.id
            let key = ObjectIdentifier(channel)
            channel.closeFuture.whenComplete { [weak self] _ in
                self?.state.withLock { state in
                    state.shares.close(id)
                    state.connections[id] = nil
                    state.ids[key] = nil
                }
            }
            return true
        }
    }

    /// Whether a connection whose handshake is done is a member's.
    fileprivate func identify(_ channel: any Channel) -> Bool {
        guard let chain = try? channel.pipeline.syncOperations.nioSSL_peerValidatedCertificateChain(),
            let certificate = try? Certificate(derEncoded: chain.leaf.toDERBytes()),
            let peer = try? PeerIdentity(certificate: certificate), isMember(peer.node)
        else { return false }
        let surplus = state.withLock { state -> [any Channel] in
            guard let id = state.ids[ObjectIdentifier(channel)] else { return [] }
            return state.shares.identify(id, as: peer.node).compactMap { state.connections[$0] }
        }
        for channel in surplus { channel.close(promise: nil) }
        return true
    }

    /// Descriptors are given out from the lowest: the number tells how many there are.
    fileprivate func leavesTooFewDescriptors(_ channel: any Channel) -> Bool {
        var limit = rlimit()
        let descriptor = try? channel.pipeline.syncOperations
            .withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { $0 }
        guard let descriptor, getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return false }
        guard UInt(descriptor) + UInt(limits.descriptorReserve) >= limit.rlim_cur else { return false }
        note("descriptors are short")
        return true
    }

    /// Counts what was turned away, and says so now and then: its number is the callers' to choose.
    fileprivate func note(_ reason: String) {
        let report = state.withLock { state -> [String: Int] in
            state.refusals[reason, default: 0] += 1
            guard NIODeadline.now() - state.lastReport >= .seconds(10) else { return [:] }
            defer { state.refusals = [:] }
            state.lastReport = .now()
            return state.refusals
        }
        guard !report.isEmpty else { return }
        logger.notice(
            "connections to the managers' port were ended",
            metadata: .init(uniqueKeysWithValues: report.map { ($0.key, "\($0.value)") }))
    }
}

/// Turns connections away before anything is made for them, and stops accepting while descriptors are short or nothing but
/// refusals comes of it.
private final class AcceptHandler: ChannelDuplexHandler {
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
private final class ArrivalHandler: ChannelInboundHandler {
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
private final class FrameHandler: ChannelDuplexHandler {
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
