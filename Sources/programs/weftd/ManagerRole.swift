import Logging
import WeftAPI
import WeftControl
import WeftIdentity
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
    private let server: ManagerServer
    private let store: SQLiteStore
    private let seal: ManagerSeal

    private init(manager: Manager, server: ManagerServer, store: SQLiteStore, seal: ManagerSeal) {
        self.manager = manager
        self.server = server
        self.store = store
        self.seal = seal
    }

    /// Opens the store that `bootstrap` filled.
    static func open(
        settings: Settings, membership: SavedMembership, credentials: NodeCredentials, seal: ManagerSeal,
        eventLog: ClusterEventLog, logger: Logger
    ) async throws -> ManagerRole {
        // An empty one made in its place would look like a swarm that never was.
        guard try FileSystem.size(settings.storePath) ?? 0 > 0 else {
            throw UnreadableState(path: settings.storePath, reason: "it is missing or empty")
        }
        let store: SQLiteStore
        do { store = try SQLiteStore(path: settings.storePath, seal: seal.key.secretSeal) } catch {
            throw UnreadableState(path: settings.storePath, reason: "\(error)")
        }
        do {
            return try await open(
                store: store, settings: settings, membership: membership, credentials: credentials, seal: seal, eventLog: eventLog,
                logger: logger)
        } catch {
            try? store.close()
            throw error
        }
    }

    private static func open(
        store: SQLiteStore, settings: Settings, membership: SavedMembership, credentials: NodeCredentials, seal: ManagerSeal,
        eventLog: ClusterEventLog, logger: Logger
    ) async throws -> ManagerRole {
        let manager = try await Manager(store: store, eventLog: eventLog, wallClock: Host.now, clock: Host.steadyNow, logger: logger)
        let machine = ControlMachine(snapshot: try await store.snapshot())
        guard let cluster = machine.cluster, let root = machine.joiningRoot else {
            throw UnreadableState(path: settings.storePath, reason: "it holds no swarm")
        }
        _ = try CertificateAuthority(rootCertificatePEM: root.certificatePEM, privateKeyPEM: root.privateKeyPEM)
        // The last run may have ended between the commit and the file.
        try seal.lock(with: cluster.unlockKey)
        let service = SwarmService(
            manager: manager, credentials: credentials, cluster: cluster.id,
            advertised: machine.node(credentials.identity.node), logger: logger)
        let server = try ManagerServer(
            credentials: credentials, service: service,
            address: HostPort(host: membership.listenAddress.description, port: Int(membership.listenPort)),
            familiar: machine.nodes.compactMap(\.address), eventLoopGroup: EventLoops.swarm, logger: logger)
        return ManagerRole(manager: manager, server: server, store: store, seal: seal)
    }

    /// Replaces the swarm's settings, and what the update asks for besides. When it returns the data key on disk is
    /// locked as the settings say.
    func update(version: Version, spec: ClusterSpec, rotate: SwarmRotation) async throws {
        guard let cluster = try await manager.read({ $0.cluster }) else { throw NotInSwarm() }
        var rotation = ClusterRotation()
        rotation.tokens = Set(rotate.tokens.map { $0 == .worker ? .worker : .manager })
        rotation.unlockKey = rotate.unlockKey
        if let given = rotate.signingCA {
            rotation.root = try given.authority(replacing: cluster.rootCertificatePEM).rootAuthority
        } else if spec.rootGeneration ?? 0 != cluster.spec.rootGeneration ?? 0 {
            rotation.root = try CertificateAuthority.make(now: Host.now()).rootAuthority
        }
        guard
            case .cluster(let updated) = try await manager.perform(
                .updateCluster(version: version, spec, rotating: rotation))
        else { return }
        try seal.lock(with: updated.unlockKey)
    }

    /// Fills the store of a new swarm and makes its first manager's identity.
    static func bootstrap(
        settings: Settings, membership: SavedMembership, request: SwarmInitRequest, seal: ManagerSeal
    ) async throws -> NodeIdentity {
        var generator = SystemRandomNumberGenerator()
        let now = Host.now()
        let authority = try request.signingCA?.authority(replacing: "") ?? CertificateAuthority.make(now: now)
        var cluster = Cluster(
            id: .random(using: &generator), createdAt: now, spec: request.spec,
            rootCertificatePEM: authority.rootCertificatePEM,
            workerTokenSecret: JoinToken.randomSecret(using: &generator),
            managerTokenSecret: JoinToken.randomSecret(using: &generator))
        cluster.renewUnlockKey(isAskedFor: false, random: &generator)
        var node = Node(id: .random(using: &generator), createdAt: now, spec: NodeSpec(role: .manager))
        node.spec.availability = request.availability
        node.description = try Host.describe()
        node.address = membership.advertiseAddress
        node.dataPathAddress = membership.dataPathAddress
        node.managerAddress = "\(membership.advertiseAddress):\(membership.advertisePort)"
        var transaction = try ControlMachine.bootstrap(cluster: cluster, manager: node, now: now, random: &generator)
        transaction.writes.append(
            .put(StoredObject(AuthorityKey(id: cluster.id, privateKeyPEM: authority.privateKeyPEM)), expecting: .none))
        let store = try SQLiteStore(path: settings.storePath, seal: seal.key.secretSeal)
        try await store.commit(transaction)
        try store.close()
        return try authority.makeIdentity(
            node: node.id, role: .manager, cluster: cluster.id,
            lifetimeSeconds: request.spec.effectiveCertificateLifetimeSeconds, now: now)
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

extension SigningCA {
    func authority(replacing current: String) throws(RootRefusal) -> CertificateAuthority {
        try CertificateAuthority.given(
            certificatePEM: certificatePEM, privateKeyPEM: keyPEM, replacing: current, now: Host.now())
    }
}

extension ClusterSpec {
    fileprivate var effectiveCertificateLifetimeSeconds: Int64 {
        certificateLifetimeSeconds > 0 ? certificateLifetimeSeconds : Self.defaultCertificateLifetimeSeconds
    }
}

/// What nodes ask of a manager over gRPC.
private struct SwarmService: ManagerService {
    let manager: Manager
    let credentials: NodeCredentials
    let cluster: ClusterID
    /// This manager, as the swarm knew it when it started.
    let advertised: Node?
    let logger: Logger

    private typealias Root = (certificatePEM: String, privateKeyPEM: Secret)

    func rootCertificatePEM() async throws -> String { try await state().rootCertificatePEM }

    func join(secret: String, csrPEM: String, remoteAddress: String) async throws -> JoinGrant {
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
        let certificate = try sign(csrPEM, node, role, by: root, lifetime: state.spec.effectiveCertificateLifetimeSeconds)
        _ = try await manager.perform(.admitNode(node, role, .active))
        logger.notice("a node joined", metadata: ["node": "\(node)", "from": "\(remoteAddress)"])
        return JoinGrant(
            node: node, cluster: cluster, certificatePEM: certificate, rootCertificatesPEM: state.trustRoots(for: role))
    }

    func renew(
        _ peer: PeerIdentity, csrPEM: String
    ) async throws -> (certificatePEM: String, rootCertificatesPEM: String) {
        guard let node = try await manager.read({ $0.node(peer.node) }) else {
            throw Refusal(.denied, "this node was removed from the swarm")
        }
        let role = node.spec.role
        let (root, state) = try await manager.read { ($0.signingRoot(for: role), $0.cluster) }
        guard let state else { throw Refusal(.unavailable, "this manager holds no swarm") }
        // The node shows its new certificate next, and this manager must know by then whose it is.
        try credentials.replaceRoots(pem: state.trustRoots(for: credentials.identity.role))
        let certificate = try sign(
            csrPEM, peer.node, role, by: root, lifetime: state.spec.effectiveCertificateLifetimeSeconds)
        return (certificate, state.trustRoots(for: role))
    }

    private func state() async throws -> Cluster {
        guard let cluster = try await manager.read({ $0.cluster }) else {
            throw Refusal(.unavailable, "this manager holds no swarm")
        }
        return cluster
    }

    private func sign(
        _ csrPEM: String, _ node: NodeID, _ role: NodeRole, by root: Root?, lifetime: Int64
    ) throws -> String {
        guard let root else { throw Refusal(.unavailable, "this manager holds no root key") }
        do {
            let authority = try CertificateAuthority(
                rootCertificatePEM: root.certificatePEM, privateKeyPEM: root.privateKeyPEM)
            return try authority.sign(
                csrPEM: csrPEM, node: node, role: role, cluster: cluster, lifetimeSeconds: lifetime, now: Host.now())
        } catch {
            throw Refusal(.invalid, "the certificate request cannot be used: \(error)")
        }
    }

    func addressShown(_ address: IPv4Address, by peer: PeerIdentity) async throws -> AddressReply {
        manager.addressShown(address, by: peer.node)
        // Behind what was just queued: the hello that follows finds it done.
        let known = try await manager.read { $0.node(peer.node)?.dataPathAddress }
        return AddressReply(
            dataPathAddress: known, managerAddresses: [advertised?.dataPathAddress, advertised?.address].compactMap(\.self))
    }

    func isMember(_ node: NodeID) -> Bool { manager.isMember(node) }

    func session(_ session: NodeSession, incoming: NodeMessages) async throws {
        guard let address = (try? HostPort(parsing: session.remoteAddress)).flatMap({ IPv4Address($0.host) }) else {
            throw Refusal(.invalid, "sessions come over IPv4")
        }
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
