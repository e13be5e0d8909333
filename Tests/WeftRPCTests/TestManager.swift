import Foundation
import Logging
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing
import WeftModel
import WeftNet

@testable import WeftIdentity
@testable import WeftRPC

/// A directory of its own, removed with it.
final class Scratch: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "weft-rpc-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    func directory(_ name: String) throws -> String {
        let result = path + "/" + name
        try FileManager.default.createDirectory(atPath: result, withIntermediateDirectories: true)
        return result
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// A swarm's management half as small as it can be: members in memory, sessions that answer what they are told to.
final class TestManager: ManagerService {
    let authority: CertificateAuthority
    let cluster: Cluster
    let lifetimeSeconds: Int64
    let members = Mutex<Set<NodeID>>([])
    /// The authority to come: renewals are from it.
    let next = Mutex<CertificateAuthority?>(nil)
    let sessions = Mutex<[NodeSession]>([])
    let sessionsEnded = Mutex(0)
    let received = Mutex<[NodeMessage]>([])
    /// What a session does with each message, besides recording it.
    let answer: @Sendable (NodeMessage, NodeSession) throws -> Void

    init(
        lifetimeSeconds: Int64 = 3600,
        answer: @escaping @Sendable (NodeMessage, NodeSession) throws -> Void = { _, _ in }
    ) throws {
        authority = try CertificateAuthority.make(now: .now)
        var generator = SystemRandomNumberGenerator()
        cluster = Cluster(
            id: .random(using: &generator), createdAt: .now, spec: ClusterSpec(),
            rootCertificatePEM: authority.rootCertificatePEM,
            workerTokenSecret: JoinToken.randomSecret(using: &generator),
            managerTokenSecret: JoinToken.randomSecret(using: &generator))
        self.lifetimeSeconds = lifetimeSeconds
        self.answer = answer
    }

    var workerToken: String {
        get throws { JoinToken(rootDigest: try authority.rootDigest, secret: cluster.workerTokenSecret).exposed }
    }

    func rootCertificatePEM() async throws -> String { authority.rootCertificatePEM }

    func join(secret: String, csrPEM: String, as availability: NodeAvailability, remoteAddress: String) async throws -> JoinGrant {
        guard let role = JoinToken.role(forSecret: secret, in: cluster) else {
            throw Refusal(.denied, "no such secret")
        }
        var generator = SystemRandomNumberGenerator()
        let node = NodeID.random(using: &generator)
        let certificate = try authority.sign(
            csrPEM: csrPEM, node: node, role: role, cluster: cluster.id, lifetimeSeconds: lifetimeSeconds, now: .now)
        members.withLock { _ = $0.insert(node) }
        return JoinGrant(
            node: node, cluster: cluster.id, certificatePEM: certificate,
            rootCertificatesPEM: cluster.rootCertificatePEM)
    }

    /// Makes managers of all, by which a test knows the new certificate from the old.
    func renew(_ peer: PeerIdentity, csrPEM: String) async throws -> (
        certificatePEM: String, rootCertificatesPEM: String
    ) {
        if let next = next.withLock({ $0 }) {
            let certificate = try next.sign(
                csrPEM: csrPEM, node: peer.node, role: peer.role, cluster: peer.cluster, lifetimeSeconds: 3600, now: .now)
            return (certificate, next.rootCertificatePEM + authority.rootCertificatePEM)
        }
        let certificate = try authority.sign(
            csrPEM: csrPEM, node: peer.node, role: .manager, cluster: peer.cluster, lifetimeSeconds: 3600, now: .now)
        return (certificate, cluster.rootCertificatePEM)
    }

    let shown = Mutex<[(NodeID, IPv4Address)]>([])
    let known = Mutex<IPv4Address?>(nil)

    func addressShown(_ address: IPv4Address, by peer: PeerIdentity) async throws -> AddressReply {
        shown.withLock { $0.append((peer.node, address)) }
        return AddressReply(dataPathAddress: known.withLock { $0 }, managerAddresses: [IPv4Address(rawValue: 0x7f00_0001)])
    }

    let logStreams = Mutex<[NodeLogStream]>([])
    let logs = Mutex<[NodeLog]>([])

    func logs(_ stream: NodeLogStream, incoming: NodeLogMessages) async throws {
        logStreams.withLock { $0.append(stream) }
        for try await log in incoming { logs.withLock { $0.append(log) } }
    }

    func isMember(_ node: NodeID) -> Bool { members.withLock { $0.contains(node) } }

    func session(_ session: NodeSession, incoming: NodeMessages) async throws {
        sessions.withLock { $0.append(session) }
        defer { sessionsEnded.withLock { $0 += 1 } }
        for try await message in incoming {
            received.withLock { $0.append(message) }
            try answer(message, session)
        }
    }
}

/// As in weftd: one thread for a manager's port.
let serverLoop = MultiThreadedEventLoopGroup(numberOfThreads: 1)

extension PortLimits {
    /// With time for callers on a machine that has none.
    static var patient: PortLimits {
        var limits = PortLimits()
        (limits.handshake, limits.strangerLife) = (.minutes(5), .minutes(5))
        return limits
    }
}

extension DispatcherClient.OpeningTimes {
    static var patient: Self {
        var times = Self()
        (times.session, times.addressProof) = (patience * 2, patience)
        return times
    }
}

/// Runs a server for the service while `body` runs; it listens on a port of its own.
func withServer<Result>(
    _ service: TestManager, queueLimit: Int = 1024, limits: PortLimits = .patient, _ body: (HostPort) async throws -> Result
) async throws -> Result {
    let scratch = try Scratch()
    let identity = try service.authority.makeIdentity(
        node: NodeID("manager1"), role: .manager, cluster: service.cluster.id, lifetimeSeconds: 3600, now: .now)
    service.members.withLock { _ = $0.insert(identity.node) }
    let server = try ManagerServer(
        credentials: try NodeCredentials(identity, directory: scratch.path), service: service,
        address: HostPort(host: "127.0.0.1", port: 0), queueLimit: queueLimit, limits: limits,
        eventLoopGroup: serverLoop, logger: logger)
    return try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await server.run() }
        let result: Result
        do {
            result = try await body(server.listeningAddress)
        } catch {
            group.cancelAll()
            throw error
        }
        group.cancelAll()
        return result
    }
}

let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

func join(_ service: TestManager, _ address: HostPort) async throws -> NodeIdentity {
    try await JoinClient(patience: patience).join(token: service.workerToken, manager: address.description)
}

let description = NodeDescription(
    hostname: "host2", architecture: "x86_64", nanoCPUs: 2_000_000_000, memoryBytes: 1 << 30, weftVersion: "0.1")
let hello = NodeMessage.hello(
    description, dataPathAddress: IPv4Address(rawValue: 0xac1e_0002), appliedRevision: .none, endpoints: [])
