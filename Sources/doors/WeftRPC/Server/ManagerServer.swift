internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
package import Logging
internal import NIOCore
package import NIOPosix
package import WeftIdentity
internal import WeftModel
package import WeftNet

/// Why a manager cannot listen.
package enum ListenError: Error, CustomStringConvertible {
    case cannotListen(HostPort, reason: String)

    package var description: String {
        switch self {
        case .cannotListen(let address, let reason):
            "cannot listen on \(address) for nodes of the swarm: \(reason); "
                + "give another with --listen-addr, or stop what listens there"
        }
    }
}

/// A manager's port (2377): joins, renewals and sessions, over mutual TLS.
package final class ManagerServer: Sendable {
    private let server: GRPCServer<HTTP2ServerTransport.Posix>
    private let address: HostPort
    private let port: PortGuard
    private let eventLoopGroup: MultiThreadedEventLoopGroup

    /// Sets the server up; `run` opens the port. `address` is an IPv4 address, 0.0.0.0 for all of them; port 0 takes any.
    /// A session is closed when `queueLimit` messages wait in it. `eventLoopGroup` has one loop: a connection that another loop sets up
    /// while the server ends would be nobody's. `familiar`: where members are known to come from.
    package convenience init(
        credentials: NodeCredentials, service: any ManagerService, address: HostPort, familiar: [IPv4Address] = [],
        limits: PortLimits = PortLimits(), eventLoopGroup: MultiThreadedEventLoopGroup, logger: Logger
    ) throws {
        try self.init(
            credentials: credentials, service: service, address: address, familiar: familiar, queueLimit: 1024, limits: limits,
            eventLoopGroup: eventLoopGroup, logger: logger)
    }

    init(
        credentials: NodeCredentials, service: any ManagerService, address: HostPort, familiar: [IPv4Address] = [],
        queueLimit: Int, limits: PortLimits,
        eventLoopGroup: MultiThreadedEventLoopGroup, logger: Logger
    ) throws {
        self.address = address
        self.eventLoopGroup = eventLoopGroup
        let port = PortGuard(limits: limits, familiar: familiar, isMember: service.isMember, logger: logger)
        self.port = port
        let security = try HTTP2ServerTransport.Posix.TransportSecurity.mTLS(
            certificateReloader: LiveCertificate(credentials: credentials)
        ) {
            // Not the system's authorities: the callback decides.
            $0.trustRoots = .certificates([])
            $0.customVerificationCallback = credentials.trust.verifyingClients(of: credentials.identity.cluster)
            $0.requireALPN = true
        }
        let transport = HTTP2ServerTransport.Posix(
            address: .ipv4(host: address.host, port: address.port), transportSecurity: security,
            config: .defaults {
                $0.connection.keepalive.time = .seconds(10)
                $0.connection.keepalive.timeout = .seconds(5)
                $0.connection.keepalive.clientBehavior.allowWithoutCalls = true
                $0.connection.keepalive.clientBehavior.minPingIntervalWithoutCalls = .seconds(1)
                $0.http2.maxConcurrentStreams = 4
                $0.rpc.maxRequestPayloadSize = Limits.receivedMessageBytes
                $0.channelDebuggingCallbacks.onBindTCPListener = port.watchListener
                $0.channelDebuggingCallbacks.onAcceptTCPConnection = port.watchConnection
            },
            eventLoopGroup: eventLoopGroup)
        server = GRPCServer(
            transport: transport,
            services: [
                MembershipHandler(service: service),
                DispatcherHandler(service: service, queueLimit: queueLimit, logger: logger),
            ],
            interceptors: [AccessInterceptor(service: service)])
    }

    /// Serves until `shutDown` or until the task is cancelled.
    package func run() async throws {
        let serving = Task { [server] in try await server.serve() }
        do {
            // The loop comes to it when every connection that was let in is gRPC's.
            try await withTaskCancellationHandler {
                try await serving.value
            } onCancel: {
                port.close()
                eventLoopGroup.next().execute { serving.cancel() }
            }
        } catch {
            if Task.isCancelled { return }
            let cause = (error as? RuntimeError)?.cause ?? error
            throw ListenError.cannotListen(address, reason: "\(cause)")
        }
    }

    /// Where the server listens, once it does.
    package var listeningAddress: HostPort {
        get async throws {
            guard let bound = try await server.transport.listeningAddress.ipv4 else { return address }
            return HostPort(host: bound.host, port: bound.port)
        }
    }

    /// Takes no more calls. Sessions go on until their nodes or the service end them.
    package func shutDown() { server.beginGracefulShutdown() }
}

enum Limits {
    /// What one message is filled up to; what is more goes into the next ones. A single object may be larger.
    static let partBytes = 1 << 20
    /// What a manager takes for one message of a member's.
    static let receivedMessageBytes = 4 << 20
    /// What a manager takes for one hello, however many messages it comes in.
    static let helloBytes = 64 << 20
    /// What a node takes for one message of its manager's, of those versions too that sent everything in one.
    static let messageBytes = 64 << 20
}
