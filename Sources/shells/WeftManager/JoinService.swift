// Who gets a certificate of the swarm, and which: a join token's secret gives a role, a role and a request a certificate.
// Whether a caller showed a member's certificate is the port's to check (WeftRPC); what it is worth is checked here.
package import Logging
import WeftControl
package import WeftIdentity
package import WeftModel

/// Lets nodes in, and gives members new certificates.
package struct JoinService: Sendable {
    private let manager: Manager
    /// This manager's own, which must come to trust a root before a member shows a certificate of it.
    private let credentials: NodeCredentials
    private let wallClock: @Sendable () -> Instant
    private let logger: Logger

    private var cluster: ClusterID { credentials.identity.cluster }

    /// - Parameter wallClock: for what certificates say of time.
    package init(
        manager: Manager, credentials: NodeCredentials, wallClock: @escaping @Sendable () -> Instant, logger: Logger
    ) {
        self.manager = manager
        self.credentials = credentials
        self.wallClock = wallClock
        self.logger = logger
    }

    /// The certificate whose digest is in the join tokens.
    package func rootCertificatePEM() async throws -> String { try await state().rootCertificatePEM }

    /// Lets a node in whose token holds `secret`. Which node it is, and with which role, the request has no say in.
    ///
    /// - Parameter remoteAddress: where it called from, for the log.
    package func join(
        secret: String, csrPEM: String, as availability: NodeAvailability = .active, remoteAddress: String
    ) async throws -> JoinGrant {
        let state = try await state()
        guard let role = JoinToken.role(forSecret: secret, in: state) else {
            throw Refusal(
                .denied,
                "the join token is not valid any more or was mistyped; `weft swarm join-token worker` on a manager prints "
                    + "the one that is")
        }
        guard role == .worker else {
            throw Refusal(
                .unavailable, "this version of Weft has one manager in a swarm; join with the worker's token instead")
        }
        var generator = SystemRandomNumberGenerator()
        let node = NodeID.random(using: &generator)
        // The certificate first: a request that is no good must not leave a node behind. It is of the root that the
        // joiner knows, though another may be on its way.
        let root = try await manager.read { $0.joiningRoot }
        let certificate = try sign(csrPEM, node, role, by: root, in: state)
        _ = try await manager.perform(.admitNode(node, role, availability))
        logger.notice("a node joined", metadata: ["node": "\(node)", "from": "\(remoteAddress)"])
        return JoinGrant(
            node: node, cluster: cluster, certificatePEM: certificate, rootCertificatesPEM: state.trustRoots(for: role))
    }

    /// A new certificate for a member. Its role is the one that the swarm has for it, whatever its old certificate says.
    package func renew(
        _ peer: PeerIdentity, csrPEM: String
    ) async throws -> (certificatePEM: String, rootCertificatesPEM: String) {
        guard peer.cluster == cluster else { throw Refusal(.denied, "this certificate is of another swarm") }
        guard let node = try await manager.read({ $0.node(peer.node) }) else {
            throw Refusal(.denied, "this node was removed from the swarm")
        }
        let role = node.spec.role
        let (root, cluster, revision) = try await manager.read { ($0.signingRoot(for: role), $0.cluster, $0.revision) }
        guard let cluster else { throw Self.noSwarm }
        // The node shows its new certificate next, and this manager must know by then whose it is.
        try credentials.replaceRoots(pem: cluster.trustRoots(for: credentials.identity.role), ofOwnStoreAt: revision)
        return (try sign(csrPEM, peer.node, role, by: root, in: cluster), cluster.trustRoots(for: role))
    }

    private static let noSwarm = Refusal(.unavailable, "this manager holds no swarm")

    private func state() async throws -> Cluster {
        guard let cluster = try await manager.read({ $0.cluster }) else { throw Self.noSwarm }
        return cluster
    }

    private typealias Root = (certificatePEM: String, privateKeyPEM: Secret)

    private func sign(
        _ csrPEM: String, _ node: NodeID, _ role: NodeRole, by root: Root?, in state: Cluster
    ) throws -> String {
        guard let root else { throw Refusal(.unavailable, "this manager holds no root key") }
        do {
            let authority = try CertificateAuthority(
                rootCertificatePEM: root.certificatePEM, privateKeyPEM: root.privateKeyPEM)
            return try authority.sign(
                csrPEM: csrPEM, node: node, role: role, cluster: cluster,
                lifetimeSeconds: state.spec.effectiveCertificateLifetimeSeconds, now: wallClock())
        } catch {
            throw Refusal(.invalid, "the certificate request cannot be used: \(error)")
        }
    }
}

extension ClusterSpec {
    var effectiveCertificateLifetimeSeconds: Int64 {
        certificateLifetimeSeconds > 0 ? certificateLifetimeSeconds : Self.defaultCertificateLifetimeSeconds
    }
}
