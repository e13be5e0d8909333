import Logging
import NIOPosix
import WeftAPI
import WeftIdentity
import WeftKernel
import WeftLinux
import WeftManager
import WeftMembership
import WeftModel
import WeftNet
import WeftRPC
import WeftStoreSQLite
import WeftTunnelClient

/// What this node is made of: kernel, agent, session, and on a manager its role.
struct WeftParts: NodeParts {
    let settings: Settings
    let workloads: Workloads
    let eventLog: ClusterEventLog
    let threads: NIOThreadPool
    let logger: Logger

    func address(_ given: HostAddress?, option: String) throws -> IPv4Address { try Host.address(given, option: option) }

    func sourceAddress(towards host: String) throws -> IPv4Address? {
        try IPv4Address(host).flatMap { try HostInterfaces.read().sourceAddress(towards: $0) }
    }

    func found(
        _ request: SwarmInitRequest, as membership: SavedMembership, _ seal: ManagerSeal
    ) async throws -> NodeIdentity {
        try await ManagerRole.found(
            SQLitePlace(path: settings.storePath), request, as: membership, seal: seal, host: Host.describe(),
            hasIPv6: HostSystem.hasIPv6, now: Host.now())
    }

    func join(_ token: Secret, manager: String, as availability: NodeAvailability) async throws -> NodeIdentity {
        do {
            return try await JoinClient(eventLoopGroup: EventLoops.swarm).join(token: token.exposed, manager: manager, as: availability)
        } catch { throw JoinFailure(error) }
    }

    func prepare(
        _ membership: SavedMembership, _ credentials: NodeCredentials, _ seal: ManagerSeal?
    ) async throws -> Participation {
        guard let seal else { return Participation(credentials: credentials, role: nil) }
        let role = try await ManagerRole.open(
            SQLitePlace(path: settings.storePath), membership: membership, credentials: credentials, seal: seal, eventLog: eventLog,
            clocks: ManagerClocks(wall: Host.now, steady: Host.steadyNow), group: EventLoops.swarm, logger: logger)
        return Participation(credentials: credentials, role: role)
    }

    func begin(_ membership: SavedMembership, _ node: NodeID, _ participation: Participation?) async throws -> Member {
        try await Member.start(
            settings: settings, membership: membership, node: node, participation: participation, workloads: workloads,
            threads: threads, logger: logger)
    }

    func clearKernel() async throws {
        let (pins, run) = (settings.bpfDirectory, settings.runDirectory)
        try await threads.runIfActive {
            // It holds the interface that is to go.
            try TunnelProcess.end(runDirectory: run)
            try KernelDatapath.teardown(pinDirectory: pins)
        }
    }
}

/// The store as SQLite keeps it, in a file.
private struct SQLitePlace: StorePlace {
    let path: String

    var isEmpty: Bool { get throws { try FileSystem.size(path) ?? 0 == 0 } }

    func open(_ seal: SecretSeal) throws -> any ClosableStore { try SQLiteStore(path: path, seal: seal) }
}

extension SQLiteStore: ClosableStore {}
