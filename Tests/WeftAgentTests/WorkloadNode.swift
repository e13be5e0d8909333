import Logging
import NIOPosix
import Synchronization
import TestSupport
import Testing
import WeftAgent
import WeftAgentCore
import WeftModel
import WeftNet
import WeftNode

private let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// A node in a swarm, with records, namespaces, ports and a sandbox driver in memory.
final class WorkloadNode: Sendable {
    final class Records: WorkloadStore {
        struct Full: Error {}
        let state = Mutex<(all: [WorkloadID: Workload], isFull: Bool)>(([:], false))

        var all: [WorkloadID: Workload] { state.withLock { $0.all } }
        func load() -> [Workload] { all.values.sorted { $0.id < $1.id } }
        func save(_ workload: Workload) throws {
            try state.withLock { state in
                if state.isFull { throw Full() }
                state.all[workload.id] = workload
            }
        }
        func remove(_ workload: Workload) { state.withLock { $0.all[workload.id] = nil } }
    }

    /// Namespaces of runtimes and of containers.
    final class Namespaces: NamespaceReader, ContainerNamespaces {
        let cookies = Mutex<[String: UInt64]>([:])
        func set(_ path: String, _ cookie: UInt64?) { cookies.withLock { $0[path] = cookie } }
        func namespace(at path: String) -> UInt64? { cookies.withLock { $0[path] } }
        func namespacePath(token: String) -> String { "/netns/\(token)" }
        func makeNamespace(token: String) -> Bool {
            let path = namespacePath(token: token)
            return cookies.withLock { cookies in
                guard cookies[path] == nil else { return false }
                cookies[path] = 1
                return true
            }
        }
        func removeNamespace(token: String) { set(namespacePath(token: token), nil) }
    }

    final class Ports: PortPublishing {
        let published = Mutex<[PublishedPort]>([])
        let taken = Mutex<Set<UInt16>>([])
        func publish(_ ports: [PublishedPort], interfaces: Set<EndpointID>) {
            published.withLock { $0 = ports }
        }
        func freePort(for wanted: WantedPort, taken: Set<UInt16>) -> UInt16? {
            let range = wanted.hostPorts ?? 50000...50010
            let others = self.taken.withLock { $0 }.union(taken)
            return range.first { !others.contains($0) }
        }
    }

    /// Sandboxes that do nothing; those named `sick` hang in whatever is asked of them, until `heal`.
    final class Sandboxes: WorkloadDriver {
        private let isHealed = Mutex(false)
        private let made = Mutex<Set<WorkloadID>>([])
        func heal() { isHealed.withLock { $0 = true } }
        private func sleepUntilHealed() async {
            while !Task.isCancelled, !isHealed.withLock({ $0 }) {
                try? await Task.sleep(for: .milliseconds(5))
            }
        }
        private func suffer(_ workload: Workload) async {
            if workload.name == "sick" { await sleepUntilHealed() }
        }
        func found(_ records: [Workload]) -> [FoundWorkload] {
            records.map { FoundWorkload($0, process: .ended) }
        }
        func prepare(_ workload: Workload) -> String {
            made.withLock { _ = $0.insert(workload.id) }
            return "/proc/\(workload.id)/ns/net"
        }
        func attached(_ endpoints: AttachedEndpoints, to workload: Workload) -> Workload.Prepared? { nil }
        func start(_ workload: Workload) async { await suffer(workload) }
        func wait(_ workload: Workload) async { await sleepUntilHealed() }
        func shutDown(_ workload: Workload, grace: Duration) async { await suffer(workload) }
        func kill(_ workload: Workload) {}
        func remove(_ workload: Workload) { made.withLock { _ = $0.remove(workload.id) } }
    }

    struct Kernel: Reconciling {
        func reconcile(_ request: ReconcileRequest) -> ReconcileOutcome {
            ReconcileOutcome(generation: request.generation)
        }
    }
    struct Disk: AgentStore {
        func saveOwn(_ change: SavedNode.OwnChange, interfaceIndexes: [EndpointID: Int]) {}
        func saveView(_ change: Assignments) {}
    }

    let records: Records
    let namespaces: Namespaces
    let ports = Ports()
    let sandboxes = Sandboxes()
    let agent: Agent
    let workloads: WorkloadKeeper
    let attachments: AttachmentKeeper
    let containers: ContainerKeeper
    private let threads = NIOThreadPool(numberOfThreads: 2)
    private let running: Task<Void, Never>
    private let revision = Mutex<Int64>(9)

    init(records: Records = Records(), namespaces: Namespaces = Namespaces()) throws {
        (self.records, self.namespaces) = (records, namespaces)
        threads.start()
        let now: @Sendable () -> Instant = { Instant(nanoseconds: 1_700_000_000_000_000_000) }
        let foreign = ForeignDriver(
            reader: namespaces, threads: threads, interval: .milliseconds(20), logger: quiet)
        let containerDriver = ContainerDriver(
            namespaces: namespaces, publisher: PortPublisher(ports: ports, logger: quiet), logger: quiet)
        workloads = WorkloadKeeper(
            drivers: [.sandbox: sandboxes, .foreign: foreign, .prepared: containerDriver], store: records,
            now: now, logger: quiet)
        attachments = AttachmentKeeper(driver: foreign, workloads: workloads)
        containers = ContainerKeeper(driver: containerDriver, workloads: workloads, now: now)
        let description = NodeDescription(
            hostname: "h1", architecture: "x86_64", nanoCPUs: 1, memoryBytes: 1, weftVersion: "test")
        let agent = Agent(
            machine: NodeMachine(
                id: NodeID("n1"), description: description,
                dataPathAddress: try #require(IPv4Address("172.30.0.1"))),
            placements: Placements(), store: Disk(), kernel: Kernel(), names: { _ in }, now: now,
            tasks: { _ in },
            lost: { [workloads] in
                _ = $1
                workloads.lost($0)
            }, dismissed: { _ in }, logger: quiet)
        self.agent = agent
        running = Task { await agent.run() }
    }

    /// Takes part in a swarm with the networks `id-net` and `id-inner`, which is internal.
    func join() async throws {
        await workloads.start()
        let namespaces = await workloads.use(agent)
        agent.sandboxesFound(namespaces)
        agent.sessionOpened { _ in true }
        try tell(["net", "inner"])
        try await workloads.follow()
    }

    func tell(_ networks: [String]) throws {
        let revision = revision.withLock { revision in
            revision += 1
            return revision
        }
        var all = Assignments(isFull: true, baseRevision: .none, revision: Version(revision))
        all.cluster = ClusterView(
            id: ClusterID("c"), dataPathPort: 4789, heartbeatSeconds: 5, rootCertificatesPEM: "PEM")
        for (index, name) in networks.enumerated() {
            var spec = NetworkSpec(name: name)
            spec.attachable = true
            spec.isInternal = name == "inner"
            let subnet = try #require(IPv4Prefix("10.0.\(index + 1).0/24"))
            let network = Network(
                id: NetworkID("id-\(name)"), createdAt: Instant(nanoseconds: 0), spec: spec,
                vni: try #require(VNI(UInt32(4097 + index))),
                subnet: subnet, gateway: try #require(subnet.network.advanced(by: 1)))
            all.networks.append(network)
            all.leases.append(
                AddressLease(
                    network: network.id, block: try #require(AnyIPPrefix("10.0.\(index + 1).0/25")),
                    node: NodeID("n1")))
        }
        _ = agent.received(.assignments(all))
    }

    func endpoints() async throws -> [Endpoint] { try await agent.read { $0.ownEndpoints } }

    func end() async throws {
        sandboxes.heal()
        await workloads.shutDown()
        agent.shutDown()
        await running.value
        try await threads.shutdownGracefully()
    }
}

func withWorkloads(
    records: WorkloadNode.Records = WorkloadNode.Records(), namespaces: WorkloadNode.Namespaces = WorkloadNode.Namespaces(),
    _ body: (WorkloadNode) async throws -> Void
) async throws {
    let node = try WorkloadNode(records: records, namespaces: namespaces)
    do {
        try await node.join()
        try await body(node)
    } catch {
        try await node.end()
        throw error
    }
    try await node.end()
}
