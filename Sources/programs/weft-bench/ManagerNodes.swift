import Glibc
import Logging
import Synchronization
import WeftControl
import WeftManager
import WeftModel
import WeftNet
import WeftStore
import WeftStoreSQLite

enum ManagerClock {
    private static func read(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    static func now() -> Instant { Instant(nanoseconds: read(CLOCK_REALTIME)) }
    static func steady() -> Instant { Instant(nanoseconds: read(CLOCK_MONOTONIC)) }
    /// Processor time of this process.
    static func processor() -> Duration { .nanoseconds(read(CLOCK_PROCESS_CPUTIME_ID)) }
}

/// A store that counts its commits and how long each took.
final class TimedStore: Store {
    let base: SQLiteStore
    private let taken = Mutex<[Double]>([])

    init(_ base: SQLiteStore) { self.base = base }

    var times: [Double] { taken.withLock { $0 } }
    var count: Int { taken.withLock { $0.count } }

    func snapshot() async throws -> StoreSnapshot { try await base.snapshot() }

    func commit(_ transaction: Transaction) async throws -> Version {
        let start = ManagerClock.steady()
        let revision = try await base.commit(transaction)
        let took = (ManagerClock.steady() - start).components
        taken.withLock { $0.append(Double(took.seconds) + Double(took.attoseconds) / 1e18) }
        return revision
    }

    func watch(from revision: Version) -> any AsyncSequence<StoreCommit, any Error> & Sendable { base.watch(from: revision) }
}

/// A manager with sessions of nodes that say what they are told to say, and note when they heard of whom.
final class Running: Sendable {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    private struct State {
        /// Nodes that were told of an endpoint, and when it was said.
        var heard: [EndpointID: Int] = [:]
        var said: [EndpointID: Instant] = [:]
        var latencies: [Double] = []
        var leases: [NodeID: [String: AddressLease]] = [:]
        /// What each node is going to report.
        var planned: [NodeID: [Endpoint]] = [:]
        var complete = 0
        var sessions: [NodeID: SessionID] = [:]
        var closed: String?
    }

    let store: TimedStore
    let manager: Manager
    let nodes: [NodeID]
    private let state = Mutex(State())

    private init(_ store: TimedStore, _ manager: Manager, _ nodes: [NodeID]) {
        self.store = store
        self.manager = manager
        self.nodes = nodes
    }

    static func with(
        _ path: String, nodes count: Int, having: (NodeID) -> [Endpoint] = { _ in [] }, _ body: (Running) async throws -> Void
    ) async throws {
        let store = TimedStore(try SQLiteStore(path: path))
        let manager = Manager(
            store: store, snapshot: try await store.snapshot(), wallClock: ManagerClock.now, clock: ManagerClock.steady,
            logger: Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() })
        let running = Running(store, manager, (0..<count).map { NodeID("node\($0)") })
        let task = Task { await manager.run() }
        do {
            for (index, node) in running.nodes.enumerated() { try await running.connect(node, index, having(node)) }
            try await body(running)
        } catch {
            manager.shutDown()
            await task.value
            throw error
        }
        manager.shutDown()
        await task.value
        try store.base.close()
    }

    private func connect(_ node: NodeID, _ index: Int, _ endpoints: [Endpoint]) async throws {
        _ = try await manager.perform(.admitNode(node, .worker, .active))
        let outlet = SessionOutlet(
            send: { message in
                self.hear(message, node)
                return true
            }, close: { reason in self.state.withLock { $0.closed = reason } })
        let start = ManagerClock.steady()
        state.withLock { state in for endpoint in endpoints { state.said[endpoint.id] = start } }
        let session = manager.connect(node, address: nil, outlet: outlet)
        state.withLock { $0.sessions[node] = session }
        let description = NodeDescription(
            hostname: node.rawValue, architecture: "x86_64", nanoCPUs: 1, memoryBytes: 1, weftVersion: "bench")
        let address = IPv4Address(rawValue: 172 << 24 | 30 << 16 | UInt32(index + 1))
        try say(.hello(description, dataPathAddress: address, appliedRevision: Version(1), endpoints: endpoints), node)
    }

    private func say(_ message: NodeMessage, _ node: NodeID) throws {
        guard let session = state.withLock({ $0.sessions[node] }), manager.receive(message, from: node, session: session) else {
            throw Failure(description: "the manager is busy")
        }
    }

    private func hear(_ message: ManagerMessage, _ node: NodeID) {
        guard case .assignments(let told) = message else { return }
        let now = ManagerClock.steady()
        state.withLock { state in
            for lease in told.leases { state.leases[node, default: [:]][lease.id] = lease }
            for endpoint in told.endpoints {
                state.heard[endpoint.id, default: 0] += 1
                guard state.heard[endpoint.id] == nodes.count, let said = state.said[endpoint.id] else { continue }
                let took = (now - said).components
                state.latencies.append(Double(took.seconds) + Double(took.attoseconds) / 1e18)
                state.complete += 1
            }
        }
    }

    func latencies() -> [Double] { state.withLock { $0.latencies } }

    /// A network of which every node leases addresses for so many endpoints, which are planned then.
    func network(_ name: String, subnet: IPv4Prefix?, endpoints count: Int) async throws -> Network {
        var spec = NetworkSpec(name: name)
        spec.attachable = true
        spec.ipam.subnet = subnet
        guard case .network(let network) = try await manager.perform(.createNetwork(spec)) else {
            throw Failure(description: "no network")
        }
        func plan(_ node: NodeID, _ state: borrowing State) -> [Endpoint] {
            Self.endpoints(count, of: node, in: state.leases[node, default: [:]].values.filter { $0.network == network.id }, network)
        }
        for node in nodes {
            var number: RequestNumber = 0
            while state.withLock({ plan(node, $0).count }) < count {
                number += 1
                let held = state.withLock { $0.leases[node]?.count ?? 0 }
                try say(.leaseRequest(number, SubnetID(network.id, .v4), address: nil, isSpare: true), node)
                try await wait("a lease") { $0.leases[node]?.count ?? 0 > held }
            }
            state.withLock { $0.planned[node] = plan(node, $0) }
        }
        return network
    }

    /// Endpoints in a node's leases of a network.
    static func endpoints(_ count: Int, of node: NodeID, in leases: [AddressLease], _ network: Network) -> [Endpoint] {
        let addresses = leases.compactMap(\.block.v4).sorted().lazy.flatMap { block in
            (0..<UInt32(1) << UInt32(32 - block.length)).lazy.compactMap { block.network.advanced(by: $0) }
        }
        return addresses.prefix(count).enumerated().map { index, ipv4 in
            Endpoint(
                id: EndpointID("\(network.spec.name)-\(node)-\(index)"), network: network.id, node: node,
                sandbox: SandboxID("sandbox-\(node)-\(index)"), ipv4: ipv4, mac: MACAddress(forIPv4: ipv4), name: "c\(index)",
                aliases: ["abcdef\(index)"])
        }
    }

    /// Each node in turn reports the next endpoint that is planned.
    func attach(_ number: Int, at said: Instant) throws {
        let node = nodes[number % nodes.count]
        let endpoint = try state.withLock { state in
            guard let planned = state.planned[node], number / nodes.count < planned.count else {
                throw Failure(description: "\(node) has no address left")
            }
            let endpoint = planned[number / nodes.count]
            state.said[endpoint.id] = said
            return endpoint
        }
        try say(.endpointsChanged(added: [endpoint], removed: []), node)
    }

    /// Until every node was told of so many endpoints.
    func settle(_ count: Int) async throws {
        try await wait("\(count) endpoints") { $0.complete >= count }
    }

    private func wait(_ what: String, _ condition: (borrowing State) -> Bool) async throws {
        let deadline = ManagerClock.steady() + .seconds(120)
        while !state.withLock({ condition($0) }) {
            if let reason = state.withLock({ $0.closed }) { throw Failure(description: "a session was closed: \(reason)") }
            guard ManagerClock.steady() < deadline else { throw Failure(description: "\(what): not within 120 s") }
            try await Task.sleep(for: .milliseconds(1))
        }
    }
}
