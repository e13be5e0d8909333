import Logging
import WeftAPI
import WeftControl
import WeftFiles
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
            throw UnreadableRecord(path: settings.storePath, reason: "it is missing or empty")
        }
        let store: SQLiteStore
        do { store = try SQLiteStore(path: settings.storePath, seal: seal.key.secretSeal) } catch {
            throw UnreadableRecord(path: settings.storePath, reason: "\(error)")
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
        let snapshot = try await store.snapshot()
        let manager = Manager(
            store: store, snapshot: snapshot, eventLog: eventLog, wallClock: Host.now, clock: Host.steadyNow, logger: logger)
        let replica = Replica(snapshot)
        guard let cluster = replica.cluster, let root = replica.joiningRoot else {
            throw UnreadableRecord(path: settings.storePath, reason: "it holds no swarm")
        }
        _ = try CertificateAuthority(rootCertificatePEM: root.certificatePEM, privateKeyPEM: root.privateKeyPEM)
        // The last run may have ended between the commit and the file.
        try seal.lock(with: cluster.unlockKey)
        let service = ManagerPort(
            manager: manager,
            joining: JoinService(manager: manager, credentials: credentials, wallClock: Host.now, logger: logger),
            advertised: replica.node(credentials.identity.node))
        let server = try ManagerServer(
            credentials: credentials, service: service,
            address: HostPort(host: membership.listenAddress.description, port: Int(membership.listenPort)),
            familiar: replica.nodes.compactMap(\.address), eventLoopGroup: EventLoops.swarm, logger: logger)
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
        var node = Node(id: .random(using: &generator), createdAt: now, spec: NodeSpec(role: .manager))
        node.spec.availability = request.availability
        node.description = try Host.describe()
        node.address = membership.advertiseAddress
        node.dataPathAddress = membership.dataPathAddress
        node.managerAddress = "\(membership.advertiseAddress):\(membership.advertisePort)"
        let store = try SQLiteStore(path: settings.storePath, seal: seal.key.secretSeal)
        let identity = try await Founding.found(store, spec: request.spec, manager: node, authority: authority, now: now)
        try store.close()
        return identity
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
