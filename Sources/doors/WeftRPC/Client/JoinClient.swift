internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
package import NIOPosix
internal import NIOSSL
internal import SwiftProtobuf
package import WeftIdentity
package import WeftModel

/// Why a node did not get into a swarm.
package enum JoinError: Error, CustomStringConvertible {
    case token(JoinTokenError)
    case address(HostPortError)
    case unreachable(HostPort, reason: String)
    /// The manager's root certificate has another digest than the token says.
    case otherSwarm(HostPort)
    case wrongSecret(HostPort)
    case refused(HostPort, reason: String)
    /// The connection stands but TLS or gRPC fails on it.
    case secureConnection(HostPort, reason: String)
    /// The manager's answer is of no use.
    case answer(HostPort, reason: String)

    package var description: String {
        switch self {
        case .token(let error): "\(error)"
        case .address(let error): "\(error)"
        case .unreachable(let address, let reason): "the manager at \(address) cannot be reached: \(reason)"
        case .otherSwarm(let address):
            "the manager at \(address) is not of the swarm this token belongs to; "
                + "check the address, or print the token again on a manager of that swarm"
        case .wrongSecret(let address):
            "the manager at \(address) does not accept this token: it was mistyped or has been rotated; "
                + "print the current one with `weft swarm join-token` on a manager"
        case .refused(let address, let reason): "the manager at \(address) refused: \(reason)"
        case .secureConnection(let address, let reason):
            "no secure connection to \(address): \(reason); check that a manager of the swarm listens there"
        case .answer(let address, let reason): "the manager at \(address) answered something unusable: \(reason)"
        }
    }
}

/// The joining side of `swarm join`.
package struct JoinClient: Sendable {
    private let eventLoopGroup: MultiThreadedEventLoopGroup
    private let patience: Duration

    /// - Parameter patience: with the manager, for each of its answers.
    package init(
        eventLoopGroup: MultiThreadedEventLoopGroup = .singletonMultiThreadedEventLoopGroup, patience: Duration = .seconds(10)
    ) {
        self.eventLoopGroup = eventLoopGroup
        self.patience = patience
    }

    /// Joins the swarm that the token belongs to, through the manager at `host` or `host:port`.
    ///
    /// The manager's root certificate is compared with the token's digest, and the manager's own certificate verified
    /// against that root, before the token's secret is sent.
    package func join(
        token tokenText: String, manager addressText: String, as availability: NodeAvailability = .active
    ) async throws(JoinError) -> NodeIdentity {
        let token: JoinToken
        do { token = try JoinToken(parsing: tokenText) } catch { throw .token(error) }
        let address: HostPort
        do { address = try HostPort(parsing: addressText) } catch { throw .address(error) }
        if let problem = await Reachability.problem(with: address, eventLoopGroup: eventLoopGroup) {
            throw .unreachable(address, reason: problem)
        }
        do { return try await join(token, address, availability) } catch let error as JoinError { throw error } catch {
            throw .answer(address, reason: "\(error)")
        }
    }

    private func join(_ token: JoinToken, _ address: HostPort, _ availability: NodeAvailability) async throws -> NodeIdentity {
        let key = NodeKey()
        let stranger = try key.strangerTLS()

        let offered = try await calling(address, certificate: stranger, verify: TrustRoots.acceptingAnyone()) {
            try await $0.rootCertificate(.init(), options: options).rootCertificatePem
        }
        guard let trust = try token.trust(among: offered) else { throw JoinError.otherSwarm(address) }

        let request = try Weft_V1_JoinRequest.with {
            $0.secret = token.secret.exposed
            $0.csrPem = try key.requestPEM()
            if availability != .active { $0.availability = availability.rawValue }
        }
        let response = try await calling(address, certificate: stranger, verify: trust.verifyingManager(of: nil)) {
            try await $0.join(request, options: options)
        }
        try await trust.verify(pem: response.certificatePem)
        let identity = try await NodeIdentity(
            key: key, certificatePEM: response.certificatePem, rootCertificatesPEM: response.rootCertificatesPem)
        guard identity.node.rawValue == response.nodeID, identity.cluster.rawValue == response.clusterID else {
            throw JoinError.answer(address, reason: "the certificate names another node or swarm than the answer")
        }
        return identity
    }

    private var options: CallOptions {
        var options = ManagerTransport.callOptions
        options.timeout = patience
        return options
    }

    private typealias Client = Weft_V1_Membership.Client<HTTP2ClientTransport.Posix>

    private func calling<Result: Sendable>(
        _ address: HostPort, certificate: NIOSSLContextConfigurationOverride, verify: @escaping TrustRoots.Callback,
        _ call: (Client) async throws -> Result
    ) async throws -> Result {
        let transport = try ManagerTransport.make(
            address, certificate: certificate, verify: verify, eventLoopGroup: eventLoopGroup)
        do {
            return try await withGRPCClient(transport: transport) { try await call(Client(wrapping: $0)) }
        } catch let error as RPCError {
            switch error.code {
            case .permissionDenied: throw JoinError.wrongSecret(address)
            case .unavailable where error.cause != nil, .deadlineExceeded, .unimplemented:
                throw JoinError.secureConnection(address, reason: error.message)
            default: throw JoinError.refused(address, reason: error.message)
            }
        }
    }
}
