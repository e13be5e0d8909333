internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
package import Logging
package import NIOPosix
internal import Synchronization
package import WeftIdentity
internal import WeftModel
package import WeftNet

/// Keeps a node in session with one of the swarm's managers, and its certificate fresh.
package final class DispatcherClient: Sendable {
    private let credentials: NodeCredentials
    private let managers: Mutex<[HostPort]>
    private let queueLimit: Int
    private let eventLoopGroup: MultiThreadedEventLoopGroup
    private let logger: Logger
    private let renewal: CertificateRenewal
    private let silenceLimit: Duration
    private let opening: OpeningTimes
    private let addressProof: AddressProof?
    private let logs: LogServing?

    /// A manager from which nothing came for so long counts as dead; keepalive makes a living one answer.
    package static let defaultSilenceLimit = Duration.seconds(8)
    /// The part of a certificate's life after which it is renewed lies in here.
    package static let defaultRenewalShare = 0.5...0.8
    /// How long the beginning of a session may take.
    package struct OpeningTimes: Sendable {
        /// A session must be open within this time.
        package var session = Duration.seconds(5)
        /// An attempt to show the data path address, which comes first.
        package var addressProof = Duration.seconds(1)

        package init() {}
    }
    /// A session that lasted so long was a good one; one that ended before is a failed attempt like others.
    private static let goodSession = Duration.seconds(10)

    /// `logs` serves what managers want to read of the node's tasks' output, beside each session.
    package init(
        credentials: NodeCredentials, managers: [HostPort], dataPathAddress: IPv4Address? = nil, queueLimit: Int = 1024,
        silenceLimit: Duration = defaultSilenceLimit, renewalShare: ClosedRange<Double> = defaultRenewalShare,
        opening: OpeningTimes = OpeningTimes(), logs: LogServing? = nil,
        eventLoopGroup: MultiThreadedEventLoopGroup = .singletonMultiThreadedEventLoopGroup, logger: Logger
    ) {
        self.credentials = credentials
        self.managers = Mutex(managers)
        self.queueLimit = queueLimit
        self.silenceLimit = silenceLimit
        self.opening = opening
        self.eventLoopGroup = eventLoopGroup
        self.logger = logger
        self.logs = logs
        addressProof = dataPathAddress.map {
            AddressProof(
                credentials: credentials, address: $0, patience: opening.addressProof, eventLoopGroup: eventLoopGroup, logger: logger)
        }
        renewal = CertificateRenewal(credentials: credentials, share: renewalShare, logger: logger)
    }

    /// The managers to try from the next attempt on.
    package func setManagers(_ new: [HostPort]) { managers.withLock { $0 = new } }

    /// Opens sessions, one after the other, until the task is cancelled. `serve` is called for each that opens: it sends
    /// the hello, reads `incoming` and returns or throws when the session is to end; it is cancelled when the session is
    /// over. `ended` is told of each session and of each attempt that failed, before the wait for the next.
    package func run(
        serve: @escaping @Sendable (_ session: ManagerSession, _ incoming: ManagerMessages) async throws -> Void,
        ended: @Sendable (SessionEnd) async -> Void
    ) async {
        var backoff = Backoff()
        var index = 0
        while !Task.isCancelled {
            let candidates = managers.withLock { $0 }
            guard !candidates.isEmpty else {
                try? await Task.sleep(for: Backoff.longest)
                continue
            }
            let manager = candidates[index % candidates.count]
            let (kind, reason, lasted) = await oneSession(manager, serve)
            if Task.isCancelled { return }
            switch kind {
            case .finished, .lost: if lasted >= Self.goodSession { backoff = Backoff() }
            case .notOpened: index = (index + 1) % candidates.count
            case .refused:
                index = (index + 1) % candidates.count
                backoff.exhaust()
            }
            let delay = backoff.next()
            await ended(SessionEnd(manager: manager, kind: kind, reason: reason, retryAfter: delay))
            try? await Task.sleep(for: delay)
        }
    }

    private func oneSession(
        _ manager: HostPort,
        _ serve: @escaping @Sendable (ManagerSession, ManagerMessages) async throws -> Void
    ) async -> (SessionEnd.Kind, String, lasted: Duration) {
        let opened = Flag()
        let (kind, reason) = await oneSession(manager, opened, serve)
        return (kind, reason, opened.age)
    }

    private func oneSession(
        _ manager: HostPort, _ opened: Flag,
        _ serve: @escaping @Sendable (ManagerSession, ManagerMessages) async throws -> Void
    ) async -> (SessionEnd.Kind, String) {
        let session = ManagerSession(manager: manager, queueLimit: queueLimit)
        do {
            let transport = try ManagerTransport.make(
                manager, certificate: credentials.tls, verify: credentials.trust.verifyingManager(of: credentials.identity.cluster),
                silenceLimit: silenceLimit, eventLoopGroup: eventLoopGroup)
            try await withGRPCClient(transport: transport) { client in
                try await withThrowingTaskGroup { group in
                    group.addTask {
                        try await self.hold(session, client, opened, serve)
                    }
                    group.addTask {
                        try await Task.sleep(for: self.opening.session)
                        guard opened.isSet else { throw OpenTimeout() }
                        for await _ in AsyncStream<Never>.makeStream().stream {}
                    }
                    group.addTask {
                        for await _ in opened.signal {}
                        try Task.checkCancellation()
                        async let _ = self.keepLogs(with: manager, over: Weft_V1_Dispatcher.Client(wrapping: client))
                        try await self.renewal.run(over: Weft_V1_Membership.Client(wrapping: client))
                    }
                    defer { group.cancelAll() }
                    try await group.next()
                }
            }
            if let overflow = session.outbox.overflow { return (.lost, "\(overflow)") }
            return (.finished, "ended by this node")
        } catch {
            return describe(error, wasOpen: opened.isSet)
        }
    }

    private func hold(
        _ session: ManagerSession, _ client: GRPCClient<HTTP2ClientTransport.Posix>, _ opened: Flag,
        _ serve: @escaping @Sendable (ManagerSession, ManagerMessages) async throws -> Void
    ) async throws {
        var options = ManagerTransport.callOptions
        options.timeout = nil
        let dispatcher = Weft_V1_Dispatcher.Client(wrapping: client)
        await addressProof?.show(to: session.manager, over: dispatcher)
        // gRPC runs the producer of requests by itself; it hands its writer over to the tasks of the session.
        let (writers, writersIn) = AsyncStream<RPCWriter<Weft_V1_NodeMessage>>.makeStream()
        let done = AsyncStream<Never>.makeStream()
        let request = StreamingClientRequest<Weft_V1_NodeMessage> { writer in
            writersIn.yield(writer)
            for await _ in done.stream {}
        }
        try await dispatcher.session(request: request, options: options) { response in
            defer { done.continuation.finish() }
            _ = try response.accepted.get()
            let incoming = ManagerMessages(wire: response.messages) { [logger = self.logger] skipped in
                for error in skipped {
                    logger.warning("the manager said what cannot be", metadata: ["problem": "\(error)"])
                }
            }
            guard let writer = await writers.first(where: { _ in true }) else { throw SessionError.closed }
            opened.set()
            let failure = await SessionTasks.run(
                outbox: session.outbox,
                write: { for part in Weft_V1_NodeMessage.parts(of: $0) { try await writer.write(part) } },
                serve: { try await serve(session, incoming) })
            if let failure { throw failure }
        }
    }

    /// Has a stream for tasks' output as long as the session lasts. Nothing that happens to it is the session's affair.
    private func keepLogs(with manager: HostPort, over dispatcher: Weft_V1_Dispatcher.Client<HTTP2ClientTransport.Posix>) async {
        while let logs, !Task.isCancelled {
            do { try await LogCall.run(logs, over: dispatcher) } catch let error as RPCError where error.code == .unimplemented {
                logger.info("the manager does not read tasks' output, being of an earlier version", metadata: ["manager": "\(manager)"])
                break
            } catch {
                if !Task.isCancelled { logger.info("the stream of tasks' output ended", metadata: ["reason": "\(error)"]) }
            }
            try? await Task.sleep(for: .seconds(1))
        }
    }

    private func describe(_ error: any Error, wasOpen: Bool) -> (SessionEnd.Kind, String) {
        let kind: SessionEnd.Kind = wasOpen ? .lost : .notOpened
        switch error {
        case is OpenTimeout:
            return (.notOpened, "no session within \(opening.session); check the network between here and the manager")
        case let error as RPCError where error.code == .permissionDenied:
            return (.refused, error.message)
        case let error as RPCError where !wasOpen && error.code == .unavailable:
            let now = Instant.now
            let identity = credentials.identity
            if identity.expiry < now {
                return (
                    .refused,
                    "this node's certificate has expired; run `weft swarm leave --force` and join the swarm again"
                )
            }
            return (kind, "it cannot be reached, or does not accept this node's certificate: \(error.message)")
        case let error as RPCError:
            return (kind, error.message)
        default:
            return (kind, "\(error)")
        }
    }

    private struct OpenTimeout: Error {}

    /// Set once.
    private final class Flag: Sendable {
        private let value = Mutex<SuspendingClock.Instant?>(nil)
        private let continuation: AsyncStream<Never>.Continuation
        /// Ends when the flag is set.
        let signal: AsyncStream<Never>

        init() { (signal, continuation) = AsyncStream.makeStream() }

        var isSet: Bool { value.withLock { $0 } != nil }
        /// Time since it was set.
        var age: Duration { value.withLock { $0 }.map { SuspendingClock.now - $0 } ?? .zero }
        func set() {
            value.withLock { $0 = .now }
            continuation.finish()
        }
    }
}

/// Waiting times between attempts: 0.1 s doubled up to 5 s, each drawn between half of it and the whole.
struct Backoff {
    static let longest = Duration.seconds(5)
    private var ceiling = Duration.milliseconds(100)

    mutating func next() -> Duration {
        defer { ceiling = min(ceiling * 2, Self.longest) }
        return ceiling * Double.random(in: 0.5...1)
    }

    mutating func exhaust() { ceiling = Self.longest }
}
