import Foundation
import Logging
import Synchronization
import WeftAPI
import WeftIdentity
import WeftMembership
import WeftModel
import WeftNet

/// A node whose members are in memory. Identities, keys and files are real, in a directory of the test's; the log tells what was
/// done, in order.
final class MemoryNode: NodeParts, MemberFollowers {
    struct Broken: Error, Equatable { let step: String }

    struct Participation: Sendable {
        let credentials: NodeCredentials
        let isManager: Bool
    }

    final class Life: MemberLife {
        let membership: SavedMembership
        let node: NodeID
        /// Nil: without session and role.
        let participation: Participation?
        private let log: @Sendable (String) -> Void
        var isManaging: Bool { participation?.isManager == true }

        init(
            _ membership: SavedMembership, _ node: NodeID, _ participation: Participation?, log: @escaping @Sendable (String) -> Void
        ) {
            self.membership = membership
            self.node = node
            self.participation = participation
            self.log = log
        }

        func sayGoodbye() async { log("goodbye") }
        func stop() async { log("end") }
    }

    private struct State {
        var membership = NodeMembership<Life>()
        var log: [String] = []
        /// What fails from now on.
        var broken: Set<String> = []
        /// Who waits at the gate, when there is one.
        var gate: CheckedContinuation<Void, Never>?
        var hasGate = false
    }

    let path: String
    private let state = Mutex(State())
    private let authority: CertificateAuthority
    private let cluster = ClusterID("cluster1")

    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "weft-membership-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path + "/containers", withIntermediateDirectories: true)
        authority = try CertificateAuthority.make(now: .now)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// As weftd makes it at its start, in the same directory each time.
    func lifecycle() -> NodeLifecycle<MemoryNode, MemoryNode> {
        let membership = NodeMembership<Life>()
        state.withLock { $0.membership = membership }
        return NodeLifecycle(
            parts: self, followers: self, membership: membership, files: StateDirectory(path), keeping: ["containers"],
            retry: .milliseconds(5), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    // MARK: For tests

    /// Of the lifecycle that was made last.
    var membership: NodeMembership<Life> { state.withLock { $0.membership } }
    var log: [String] { state.withLock { $0.log } }
    func clearLog() { state.withLock { $0.log = [] } }
    func setBroken(_ steps: Set<String>) { state.withLock { $0.broken = steps } }
    var files: [String] { get throws { try FileManager.default.contentsOfDirectory(atPath: path).sorted() } }

    /// Founding a swarm waits from now on.
    func closeGate() { state.withLock { $0.hasGate = true } }
    var isSomebodyWaiting: Bool { state.withLock { $0.gate != nil } }
    func openGate() {
        let waiting = state.withLock { state in
            defer { (state.gate, state.hasGate) = (nil, false) }
            return state.gate
        }
        waiting?.resume()
    }

    private func does(_ step: String) throws {
        try state.withLock { state in
            guard !state.broken.contains(step) else { throw Broken(step: step) }
            state.log.append(step)
        }
    }

    private func note(_ step: String) { state.withLock { $0.log.append(step) } }

    // MARK: NodeParts

    func address(_ given: HostAddress?, option: String) throws -> IPv4Address {
        if case .address(let address)? = given { return address }
        return IPv4Address(rawValue: 0xac1e_0001)
    }

    func sourceAddress(towards host: String) throws -> IPv4Address? { IPv4Address(rawValue: 0xac1e_0002) }

    func found(
        _ request: SwarmInitRequest, as membership: SavedMembership, _ seal: ManagerSeal
    ) async throws -> NodeIdentity {
        if state.withLock({ $0.hasGate }) {
            await withCheckedContinuation { waiting in state.withLock { $0.gate = waiting } }
        }
        try does("found")
        return try identity("manager1", .manager)
    }

    func join(_ token: Secret, manager: String, as availability: NodeAvailability) async throws -> NodeIdentity {
        let manner = availability == .active ? "" : " as \(availability)"
        do { try does("join \(manager)\(manner)") } catch { throw JoinFailure(error) }
        return try identity("worker1", .worker)
    }

    private func identity(_ node: String, _ role: NodeRole) throws -> NodeIdentity {
        try authority.makeIdentity(
            node: NodeID(node), role: role, cluster: cluster, lifetimeSeconds: 3600, now: .now)
    }

    func prepare(
        _ membership: SavedMembership, _ credentials: NodeCredentials, _ seal: ManagerSeal?
    ) async throws -> Participation {
        try does("prepare")
        return Participation(credentials: credentials, isManager: seal != nil)
    }

    func begin(_ membership: SavedMembership, _ node: NodeID, _ participation: Participation?) async throws -> Life {
        try does(participation == nil ? "begin alone" : "begin")
        return Life(membership, node, participation) { [weak self] in self?.note($0) }
    }

    func clearKernel() async throws { try does("clear kernel") }

    // MARK: MemberFollowers

    func start() async {}
    func run() async {}
    func stop() async {}
    func follow(_ member: Life) async { note("follow") }
    func closeDoors() async { note("close doors") }
    func release() async { note("release") }
    func forget() async { note("forget") }
}

extension Instant {
    static var now: Instant { Instant(nanoseconds: Int64(Date.now.timeIntervalSince1970 * 1_000_000_000)) }
}
