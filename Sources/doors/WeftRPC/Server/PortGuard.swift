internal import Glibc
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import SwiftASN1
internal import Synchronization
internal import WeftIdentity
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
    func admit(_ channel: any Channel) -> Bool {
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
    func identify(_ channel: any Channel) -> Bool {
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
    func leavesTooFewDescriptors(_ channel: any Channel) -> Bool {
        var limit = rlimit()
        let descriptor = try? channel.pipeline.syncOperations
            .withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { $0 }
        guard let descriptor, getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return false }
        guard UInt(descriptor) + UInt(limits.descriptorReserve) >= limit.rlim_cur else { return false }
        note("descriptors are short")
        return true
    }

    /// Counts what was turned away, and says so now and then: its number is the callers' to choose.
    func note(_ reason: String) {
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
