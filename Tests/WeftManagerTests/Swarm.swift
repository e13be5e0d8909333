import Foundation
import Logging
import WeftControl
import WeftManager
import WeftModel
import WeftNet

@testable import WeftIdentity

/// A swarm with one manager, founded in a store in memory, and the manager's own credentials in a directory of the test's.
final class Swarm: Sendable {
    let store: MemoryStore
    let manager: Manager
    let joining: JoinService
    let credentials: NodeCredentials
    let authority: CertificateAuthority
    private let directory: String
    private let running: Task<Void, Never>

    init(certificateLifetimeSeconds: Int64 = 0) async throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        directory = FileManager.default.temporaryDirectory.appending(path: "weft-manager-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        store = MemoryStore()
        authority = try CertificateAuthority.make(now: .now)
        var node = Node(id: NodeID("manager1"), createdAt: .now, spec: NodeSpec(role: .manager))
        node.managerAddress = "172.30.0.1:2377"
        var spec = ClusterSpec()
        spec.certificateLifetimeSeconds = certificateLifetimeSeconds
        let identity = try await Founding.found(store, spec: spec, manager: node, authority: authority, now: .now)
        credentials = try NodeCredentials(identity, directory: directory)
        manager = Manager(
            store: store, snapshot: try await store.snapshot(), wallClock: { .now }, clock: { .now }, logger: logger)
        joining = JoinService(manager: manager, credentials: credentials, wallClock: { .now }, logger: logger)
        running = Task { [manager] in await manager.run() }
    }

    deinit {
        manager.shutDown()
        try? FileManager.default.removeItem(atPath: directory)
    }

    var cluster: Cluster {
        get async throws {
            guard let cluster = try await manager.read({ $0.cluster }) else { throw Refusal(.unavailable, "no swarm") }
            return cluster
        }
    }

    var nodes: [NodeID] { get async throws { try await manager.read { $0.nodes.map(\.id) } } }

    /// Joins as a worker does: a key, a request, the worker's secret; and takes up what it was granted.
    func worker(_ key: NodeKey = NodeKey()) async throws -> NodeIdentity {
        let secret = try await cluster.workerTokenSecret.exposed
        let grant = try await joining.join(secret: secret, csrPEM: key.requestPEM(), remoteAddress: "172.30.0.9:40000")
        return try await NodeIdentity(
            key: key, certificatePEM: grant.certificatePEM, rootCertificatesPEM: grant.rootCertificatesPEM)
    }

    func renew(_ peer: PeerIdentity, _ key: NodeKey = NodeKey()) async throws -> NodeIdentity {
        let renewed = try await joining.renew(peer, csrPEM: key.requestPEM())
        return try await NodeIdentity(
            key: key, certificatePEM: renewed.certificatePEM, rootCertificatesPEM: renewed.rootCertificatesPEM)
    }

    /// Updates the cluster by its version of the moment.
    func update(rotating: ClusterRotation) async throws {
        let now = try await cluster
        _ = try await manager.perform(.updateCluster(version: now.version, now.spec, rotating: rotating))
    }
}

extension Instant {
    static var now: Instant { Instant(nanoseconds: Int64(Date.now.timeIntervalSince1970 * 1_000_000_000)) }
}
