package import Logging
package import NIOPosix
package import WeftAPI
import WeftControl
import WeftFiles
package import WeftIdentity
package import WeftManager
package import WeftModel
import WeftNet
package import WeftRPC
package import WeftStore

/// Where a manager keeps the swarm's objects.
package protocol StorePlace: Sendable {
    var path: String { get }
    /// Nothing was ever kept there, or it is lost.
    var isEmpty: Bool { get throws }
    /// Opens what is there, or makes it; what is secret in it lies sealed.
    func open(_ seal: SecretSeal) throws -> any ClosableStore
}

package protocol ClosableStore: Store {
    func close() throws
}

/// The clocks of a manager: the wall's, for what is shown and for certificates, and one that nobody sets, for all that waits.
package struct ManagerClocks: Sendable {
    package let wall: @Sendable () -> Instant
    package let steady: @Sendable () -> Instant

    package init(wall: @escaping @Sendable () -> Instant, steady: @escaping @Sendable () -> Instant) {
        self.wall = wall
        self.steady = steady
    }
}

/// What a manager runs besides its agent: the store, the machine's shell, the authority and the port.
package final class ManagerRole: Sendable {
    package let manager: Manager
    /// Of tasks on all nodes.
    package let logs: TaskLogDesk
    private let server: ManagerServer
    private let store: any ClosableStore
    private let seal: ManagerSeal
    private let clocks: ManagerClocks

    private init(
        manager: Manager, logs: TaskLogDesk, server: ManagerServer, store: any ClosableStore, seal: ManagerSeal,
        clocks: ManagerClocks
    ) {
        self.manager = manager
        self.logs = logs
        self.server = server
        self.store = store
        self.seal = seal
        self.clocks = clocks
    }

    /// Opens the store that `found` filled.
    ///
    /// - Parameter group: has one event loop.
    package static func open(
        _ place: some StorePlace, membership: SavedMembership, credentials: NodeCredentials, seal: ManagerSeal,
        eventLog: ClusterEventLog, clocks: ManagerClocks, limits: PortLimits = PortLimits(),
        group: MultiThreadedEventLoopGroup, logger: Logger
    ) async throws -> ManagerRole {
        // An empty one made in its place would look like a swarm that never was.
        guard try !place.isEmpty else { throw UnreadableRecord(path: place.path, reason: "it is missing or empty") }
        let store: any ClosableStore
        do { store = try place.open(seal.key.secretSeal) } catch {
            throw UnreadableRecord(path: place.path, reason: "\(error)")
        }
        do {
            let snapshot = try await store.snapshot()
            let manager = Manager(
                store: store, snapshot: snapshot, eventLog: eventLog, wallClock: clocks.wall, clock: clocks.steady,
                logger: logger)
            let replica = Replica(snapshot)
            guard let cluster = replica.cluster, let root = replica.joiningRoot else {
                throw UnreadableRecord(path: place.path, reason: "it holds no swarm")
            }
            _ = try CertificateAuthority(rootCertificatePEM: root.certificatePEM, privateKeyPEM: root.privateKeyPEM)
            // The last run may have ended between the commit and the file.
            try seal.lock(with: cluster.unlockKey)
            let logs = TaskLogDesk { id in try await manager.read { $0.node(id) } }
            let service = ManagerPort(
                manager: manager, desk: logs,
                joining: JoinService(manager: manager, credentials: credentials, wallClock: clocks.wall, logger: logger),
                advertised: replica.node(credentials.identity.node))
            let server = try ManagerServer(
                credentials: credentials, service: service,
                address: HostPort(host: membership.listenAddress.description, port: Int(membership.listenPort)),
                familiar: replica.nodes.compactMap(\.address), limits: limits, eventLoopGroup: group, logger: logger)
            return ManagerRole(manager: manager, logs: logs, server: server, store: store, seal: seal, clocks: clocks)
        } catch {
            try? store.close()
            throw error
        }
    }

    /// Replaces the swarm's settings, and what the update asks for besides. When it returns the data key on disk is
    /// locked as the settings say.
    package func update(version: Version, spec: ClusterSpec, rotate: SwarmRotation) async throws {
        guard let cluster = try await manager.read({ $0.cluster }) else { throw NotInSwarm() }
        var rotation = ClusterRotation()
        rotation.tokens = Set(rotate.tokens.map { $0 == .worker ? .worker : .manager })
        rotation.unlockKey = rotate.unlockKey
        rotation.keys = rotate.keys
        if let given = rotate.signingCA {
            rotation.root = try given.authority(replacing: cluster.rootCertificatePEM, now: clocks.wall()).rootAuthority
        } else if spec.rootGeneration ?? 0 != cluster.spec.rootGeneration ?? 0 {
            rotation.root = try CertificateAuthority.make(now: clocks.wall()).rootAuthority
        }
        guard
            case .cluster(let updated) = try await manager.perform(
                .updateCluster(version: version, spec, rotating: rotation))
        else { return }
        try seal.lock(with: updated.unlockKey)
    }

    /// Fills the store of a new swarm and makes its first manager's identity.
    ///
    /// - Parameters:
    ///   - host: this host, as the swarm is to know it.
    ///   - hasIPv6: it has IPv6.
    package static func found(
        _ place: some StorePlace, _ request: SwarmInitRequest, as membership: SavedMembership, seal: ManagerSeal,
        host: NodeDescription, hasIPv6: Bool, now: Instant
    ) async throws -> NodeIdentity {
        var generator = SystemRandomNumberGenerator()
        let authority =
            try request.signingCA?.authority(replacing: "", now: now) ?? CertificateAuthority.make(now: now)
        var node = Node(id: .random(using: &generator), createdAt: now, spec: NodeSpec(role: .manager))
        node.spec.availability = request.availability
        node.description = host
        node.address = membership.advertiseAddress
        node.dataPathAddress = membership.dataPathAddress
        node.managerAddress = "\(membership.advertiseAddress):\(membership.advertisePort)"
        let store = try place.open(seal.key.secretSeal)
        let identity = try await Founding.found(
            store, spec: request.spec, manager: node, hasIPv6: hasIPv6, authority: authority, now: now)
        try store.close()
        return identity
    }

    /// Where nodes call, once the port is open.
    package var listeningAddress: HostPort { get async throws { try await server.listeningAddress } }

    /// Opens the port; returns once it is open, or throws why it cannot be.
    package func listen() async throws -> Task<Void, any Error> {
        let server = server
        let serving = Task { try await server.run() }
        do {
            _ = try await server.listeningAddress
        } catch {
            // It ends by itself, and knows why.
            try await serving.value
            throw error
        }
        return serving
    }

    /// Runs until cancelled.
    package func run() async {
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
    package func stop() {
        server.shutDown()
        manager.shutDown()
        logs.shutDown()
    }

    package func close() throws { try store.close() }
}

extension SigningCA {
    fileprivate func authority(replacing current: String, now: Instant) throws(RootRefusal) -> CertificateAuthority {
        try CertificateAuthority.given(
            certificatePEM: certificatePEM, privateKeyPEM: keyPEM, replacing: current, now: now)
    }
}

extension ManagerRole {
    /// Who looks at a new swarm's node finds it complete, in a version that stays: until it has said what it is, a change by the version that
    /// was read comes too late. A node that is not let in tells of it in its own time.
    package func awaitHello(of node: NodeID) async {
        for _ in 0..<100 {
            guard let record = try? await manager.read({ $0.node(node) }), record.state != .ready, record.problem == nil else { return }
            do { try await Task.sleep(for: .milliseconds(50)) } catch { return }
        }
    }
}
