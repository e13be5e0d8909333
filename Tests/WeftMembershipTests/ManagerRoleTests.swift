import Foundation
import Logging
import NIOCore
import NIOPosix
import TestSupport
import Testing
import WeftAPI
import WeftControl
import WeftFiles
import WeftIdentity
import WeftManager
import WeftMembership
import WeftModel
import WeftNet
import WeftRPC
import WeftStore
import WeftStoreSQLite

private struct Place: StorePlace {
    let path: String
    var isEmpty: Bool { !FileManager.default.fileExists(atPath: path) }
    func open(_ seal: SecretSeal) throws -> any ClosableStore { try Closable(path: path, seal: seal) }

    /// SQLite's, as in weftd.
    private final class Closable: ClosableStore {
        private let store: SQLiteStore
        init(path: String, seal: SecretSeal) throws { store = try SQLiteStore(path: path, seal: seal) }
        func snapshot() async throws -> StoreSnapshot { try await store.snapshot() }
        func commit(_ transaction: Transaction) async throws -> Version { try await store.commit(transaction) }
        func watch(from revision: Version) -> any AsyncSequence<StoreCommit, any Error> & Sendable { store.watch(from: revision) }
        func close() throws { try store.close() }
    }
}

private let loop = MultiThreadedEventLoopGroup(numberOfThreads: 1)
private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
private let loopback = IPv4Address(rawValue: 0x7f00_0001)

/// A manager's files in a directory of the test's, and the role made from them.
private final class Files {
    let path = FileManager.default.temporaryDirectory.appending(path: "weft-role-\(UUID().uuidString)").path
    let seal: ManagerSeal
    var place: Place { Place(path: path + "/store.sqlite") }
    var membership: SavedMembership {
        SavedMembership(
            isManager: true, listenAddress: loopback, listenPort: 0, advertiseAddress: loopback, advertisePort: 2377,
            dataPathAddress: loopback, managers: ["127.0.0.1:2377"])
    }

    init() throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        seal = try ManagerSeal.make(directory: path)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func found(_ request: SwarmInitRequest = SwarmInitRequest()) async throws -> NodeCredentials {
        let host = NodeDescription(
            hostname: "host1", architecture: "x86_64", nanoCPUs: 1_000_000_000, memoryBytes: 1 << 30, weftVersion: "0.1")
        let identity = try await ManagerRole.found(
            place, request, as: membership, seal: seal, host: host, hasIPv6: true, now: .now)
        return try NodeCredentials(identity, directory: path, sealing: seal.key)
    }

    func open(_ credentials: NodeCredentials, _ seal: ManagerSeal? = nil, port: UInt16 = 0) async throws -> ManagerRole {
        var membership = membership
        membership.listenPort = port
        // A busy machine takes its time.
        var limits = PortLimits()
        (limits.handshake, limits.strangerLife) = (.minutes(5), .minutes(5))
        return try await ManagerRole.open(
            place, membership: membership, credentials: credentials, seal: seal ?? self.seal, eventLog: ClusterEventLog(),
            clocks: ManagerClocks(wall: { .now }, steady: { .now }), limits: limits, group: loop, logger: logger)
    }

    /// Runs the role with its port open while `body` runs.
    func running(_ role: ManagerRole, _ body: (HostPort) async throws -> Void) async throws {
        let serving = try await role.listen()
        let running = Task { await role.run() }
        do { try await body(try await role.listeningAddress) } catch {
            Issue.record(error)
        }
        role.stop()
        running.cancel()
        await running.value
        serving.cancel()
        try await serving.value
        try role.close()
    }

    func token(_ cluster: Cluster) throws -> String {
        JoinToken(
            rootDigest: try CertificateAuthority.digest(ofRootPEM: cluster.rootCertificatePEM), secret: cluster.workerTokenSecret
        ).exposed
    }
}

private func cluster(of role: ManagerRole) async throws -> Cluster {
    try #require(try await role.manager.read { $0.cluster })
}

@Suite("A manager, from its files to its port", .timeLimit(.minutes(5)))
struct ManagerRoleTests {
    @Test("lets in who has the token, and after a rotation who has the new one")
    func join() async throws {
        let files = try Files()
        let role = try await files.open(try await files.found())
        try await files.running(role) { address in
            let first = try await cluster(of: role)
            let worker = try await JoinClient(patience: patience).join(token: try files.token(first), manager: address.description)
            #expect(worker.role == .worker && worker.cluster == first.id)
            #expect(role.manager.isMember(worker.node))

            var rotation = SwarmRotation()
            rotation.tokens = [.worker]
            let now = try await cluster(of: role)
            try await role.update(version: now.version, spec: now.spec, rotate: rotation)
            await #expect(throws: JoinError.self) {
                try await JoinClient(patience: patience).join(token: try files.token(first), manager: address.description)
            }
            let second = try await cluster(of: role)
            #expect(second.managerTokenSecret == first.managerTokenSecret)
            let drained = try await JoinClient(patience: patience).join(
                token: try files.token(second), manager: address.description, as: .drain)
            #expect(try await role.manager.read { $0.node(drained.node)?.spec.availability } == .drain)
            #expect(try await role.manager.read { $0.node(worker.node)?.spec.availability } == .active)
            #expect(try await role.manager.read { $0.nodes.count } == 3)
        }
    }

    @Test("is what it was after a restart")
    func restart() async throws {
        let files = try Files()
        let credentials = try await files.found()
        let first = try await files.open(credentials)
        var before: Cluster?
        try await files.running(first) { _ in before = try await cluster(of: first) }
        let second = try await files.open(credentials)
        try await files.running(second) { _ in
            let after = try await cluster(of: second)
            #expect(after == before)
        }
    }

    @Test("takes up no store that is lost, of no swarm, or sealed with another key")
    func stores() async throws {
        let files = try Files()
        let credentials = try await files.found()
        await #expect(throws: (any Error).self) {
            _ = try await files.open(credentials, ManagerSeal(key: DataKey(), file: SealFile(directory: files.path), lockedBy: nil))
        }
        for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: files.place.path + suffix) }
        await #expect(throws: UnreadableRecord(path: files.place.path, reason: "it is missing or empty")) {
            try await files.open(credentials)
        }
        #expect(!FileManager.default.fileExists(atPath: files.place.path))
        try files.place.open(files.seal.key.secretSeal).close()
        await #expect(throws: UnreadableRecord(path: files.place.path, reason: "it holds no swarm")) {
            try await files.open(credentials)
        }
    }

    @Test("locks its data key with the swarm's unlock key by the time an update returns, and opens it again")
    func autolock() async throws {
        let files = try Files()
        let role = try await files.open(try await files.found())
        try await files.running(role) { _ in
            var now = try await cluster(of: role)
            now.spec.locksManagers = true
            try await role.update(version: now.version, spec: now.spec, rotate: SwarmRotation())
            now = try await cluster(of: role)
            let unlockKey = try #require(now.unlockKey)
            guard case .locked(let key)? = try SealFile(directory: files.path).load() else {
                Issue.record("the key lies open")
                return
            }
            let sealed = try files.seal.key.secretSeal.seal("token")
            #expect(try key.open(with: unlockKey).secretSeal.open(sealed) == "token")

            now.spec.locksManagers = false
            try await role.update(version: now.version, spec: now.spec, rotate: SwarmRotation())
            guard case .open? = try SealFile(directory: files.path).load() else {
                Issue.record("the key is locked")
                return
            }
        }
    }

    @Test("makes a new root when it is asked for one, and takes no root that is none")
    func newRoot() async throws {
        let files = try Files()
        let role = try await files.open(try await files.found())
        try await files.running(role) { _ in
            var now = try await cluster(of: role)
            var rotation = SwarmRotation()
            rotation.signingCA = SigningCA(certificatePEM: "junk", keyPEM: Secret("junk"))
            await #expect(throws: RootRefusal.certificateUnreadable) {
                try await role.update(version: now.version, spec: now.spec, rotate: rotation)
            }
            #expect(try await cluster(of: role).rootRotation == nil)
            now.spec.rootGeneration = (now.spec.rootGeneration ?? 0) + 1
            try await role.update(version: now.version, spec: now.spec, rotate: SwarmRotation())
            #expect(try await cluster(of: role).rootRotation != nil)
        }
    }

    @Test("says so when its port is taken")
    func portTaken() async throws {
        let files = try Files()
        let credentials = try await files.found()
        let role = try await files.open(credentials)
        let others = try Files()
        let othersCredentials = try await others.found()
        try await files.running(role) { address in
            let other = try await others.open(othersCredentials, port: UInt16(address.port))
            await #expect(throws: ListenError.self) { _ = try await other.listen() }
            other.stop()
            try other.close()
        }
    }
}
