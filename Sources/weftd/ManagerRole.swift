import Logging
import WeftControl
import WeftLinux
import WeftManager
import WeftModel
import WeftNet
import WeftRPC
import WeftStore
import WeftStoreSQLite

/// What a manager runs besides its agent: the store, the machine's shell, the authority and the port.
final class ManagerRole: Sendable {
    let manager: Manager
    let authority: CertificateAuthority
    private let server: ManagerServer
    private let store: SQLiteStore

    private init(manager: Manager, authority: CertificateAuthority, server: ManagerServer, store: SQLiteStore) {
        self.manager = manager
        self.authority = authority
        self.server = server
        self.store = store
    }

    /// Opens the store that `bootstrap` filled.
    static func open(
        settings: Settings, membership: Membership, credentials: NodeCredentials, logger: Logger
    ) async throws -> ManagerRole {
        let store = try SQLiteStore(path: settings.storePath)
        let snapshot = try await store.snapshot()
        var cluster: Cluster?
        var key: AuthorityKey?
        for object in snapshot.objects {
            switch object {
            case .cluster(let found): cluster = found
            case .authority(let found): key = found
            default: break
            }
        }
        guard let cluster, let key else {
            throw UnreadableState(path: settings.storePath, reason: "it holds no swarm")
        }
        let authority = try CertificateAuthority(
            rootCertificatePEM: cluster.rootCertificatePEM, privateKeyPEM: key.privateKeyPEM)
        let manager = try await Manager(store: store, now: Host.now, logger: logger)
        let service = SwarmService(manager: manager, authority: authority, cluster: cluster.id, logger: logger)
        let server = try ManagerServer(
            credentials: credentials, service: service,
            address: HostPort(host: membership.listenAddress.description, port: Int(membership.listenPort)))
        return ManagerRole(manager: manager, authority: authority, server: server, store: store)
    }

    /// Fills the store of a new swarm and makes its first manager's identity.
    static func bootstrap(
        settings: Settings, membership: Membership, spec: ClusterSpec, availability: NodeAvailability
    ) async throws -> NodeIdentity {
        var generator = SystemRandomNumberGenerator()
        let now = Host.now()
        let authority = try CertificateAuthority.make(now: now)
        let cluster = Cluster(
            id: .random(using: &generator), createdAt: now, spec: spec,
            rootCertificatePEM: authority.rootCertificatePEM,
            workerTokenSecret: JoinToken.randomSecret(using: &generator),
            managerTokenSecret: JoinToken.randomSecret(using: &generator))
        var node = Node(id: .random(using: &generator), createdAt: now, spec: NodeSpec(role: .manager))
        node.spec.availability = availability
        node.description = try Host.describe()
        node.address = membership.advertiseAddress
        node.dataPathAddress = membership.dataPathAddress
        node.managerAddress = "\(membership.advertiseAddress):\(membership.advertisePort)"
        var transaction = try ControlMachine.bootstrap(cluster: cluster, manager: node, now: now, random: &generator)
        transaction.writes.append(
            .put(.authority(AuthorityKey(id: cluster.id, privateKeyPEM: authority.privateKeyPEM)), expecting: .none))
        let store = try SQLiteStore(path: settings.storePath)
        try await store.commit(transaction)
        try store.close()
        return try authority.makeIdentity(
            node: node.id, role: .manager, cluster: cluster.id, lifetimeSeconds: spec.certificateLifetimeSeconds, now: now)
    }

    /// Opens the port; returns once it is open, or throws why it cannot be.
    func listen() async throws -> Task<Void, any Error> {
        let server = server
        let serving = Task { try await server.run() }
        do {
            _ = try await server.listeningAddress
        } catch {
            serving.cancel()
            try await serving.value
            throw error
        }
        return serving
    }

    /// Runs until cancelled.
    func run() async {
        await withTaskGroup { group in
            group.addTask { await self.manager.run() }
            group.addTask {
                while !Task.isCancelled {
                    try? await Task.sleep(for: .seconds(1))
                    self.manager.tick()
                }
            }
            await group.next()
            group.cancelAll()
        }
    }

    /// Ends sessions and closes the store.
    func stop() {
        server.shutDown()
        manager.shutDown()
    }

    func close() throws { try store.close() }
}

/// What nodes ask of a manager over gRPC.
private struct SwarmService: ManagerService {
    let manager: Manager
    let authority: CertificateAuthority
    let cluster: ClusterID
    let logger: Logger

    func rootCertificatePEM() async throws -> String { authority.rootCertificatePEM }

    func join(secret: String, csrPEM: String, remoteAddress: String) async throws -> JoinGrant {
        guard let state = try await manager.read({ $0.cluster }), let role = JoinToken.role(forSecret: secret, in: state) else {
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
        // The certificate first: a request that is no good must not leave a node behind.
        let certificate = try sign(csrPEM, node, role, lifetime: state.spec.certificateLifetimeSeconds)
        _ = try await manager.perform(.admitNode(node, role, .active))
        logger.notice("a node joined", metadata: ["node": "\(node)", "from": "\(remoteAddress)"])
        return JoinGrant(
            node: node, cluster: cluster, certificatePEM: certificate,
            rootCertificatesPEM: authority.rootCertificatePEM)
    }

    func renew(
        _ peer: PeerIdentity, csrPEM: String
    ) async throws -> (certificatePEM: String, rootCertificatesPEM: String) {
        guard let node = try await manager.read({ $0.node(peer.node) }) else {
            throw Refusal(.denied, "this node was removed from the swarm")
        }
        let lifetime = try await manager.read { $0.cluster?.spec.certificateLifetimeSeconds } ?? 90 * 24 * 3600
        return (try sign(csrPEM, peer.node, node.spec.role, lifetime: lifetime), authority.rootCertificatePEM)
    }

    private func sign(_ csrPEM: String, _ node: NodeID, _ role: NodeRole, lifetime: Int64) throws -> String {
        do {
            return try authority.sign(
                csrPEM: csrPEM, node: node, role: role, cluster: cluster, lifetimeSeconds: lifetime, now: Host.now())
        } catch {
            throw Refusal(.invalid, "the certificate request cannot be used: \(error)")
        }
    }

    func isMember(_ node: NodeID) -> Bool { manager.isMember(node) }

    func session(_ session: NodeSession, incoming: NodeMessages) async throws {
        let address = (try? HostPort(parsing: session.remoteAddress)).flatMap { IPv4Address($0.host) }
        let outlet = SessionOutlet(
            send: { message in (try? session.send(message)) != nil }, close: { reason in session.close(reason: reason) })
        let id = manager.connect(session.node, address: address, outlet: outlet)
        defer { manager.disconnect(session.node, session: id) }
        for try await message in incoming {
            guard manager.receive(message, from: session.node, session: id) else {
                session.close(reason: "the manager does not keep up; try again")
                return
            }
        }
    }
}
