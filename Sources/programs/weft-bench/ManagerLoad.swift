import ArgumentParser
import Glibc
import Logging
import Synchronization
import WeftControl
import WeftManager
import WeftModel
import WeftNet
import WeftStore
import WeftStoreSQLite

/// Measures one manager and its store: nodes are streams in this process, without gRPC and TLS.
struct ManagerLoad: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "manager", abstract: "Measures attaches a second on one manager, and its restart, with its store on disk.")

    @Option(help: "Where the store is made; it is removed at the end.") var directory = "/var/tmp/weft-bench-manager"
    @Option(help: "Nodes with a session.") var nodes = 10
    @Option(help: "Attaches a second, of all nodes together.") var rate = 200
    @Option(help: "Seconds of attaches.") var seconds = 10
    @Option(help: "Endpoints that all nodes together have when the manager starts again.") var endpoints = 1000

    func run() async throws {
        _ = rmdirTree(directory)
        defer { _ = rmdirTree(directory) }
        let path = directory + "/store.db"
        try await Self.begin(path)
        print("\(nodes) nodes, store at \(path), \(Self.isOptimised ? "release" : "debug") build")
        try await attach(path)
        try await burst(path)
        try await restart(path, knowsEndpoints: true)
        try await restart(path, knowsEndpoints: false)
    }

    private static var isOptimised: Bool {
        var isDebug = false
        assert(
            {
                isDebug = true; return true
            }())
        return !isDebug
    }

    private static func begin(_ path: String) async throws {
        var random = SystemRandomNumberGenerator()
        let now = ManagerClock.now()
        let manager = Node(id: NodeID("manager"), createdAt: now, spec: NodeSpec(role: .manager))
        let cluster = Cluster(
            id: .random(using: &random), createdAt: now, spec: ClusterSpec(), rootCertificatePEM: "root",
            workerTokenSecret: Secret("w"), managerTokenSecret: Secret("m"))
        let store = try SQLiteStore(path: path)
        try await store.commit(try Bootstrap.transaction(cluster: cluster, manager: manager, now: now, random: &random))
        try store.close()
    }

    // MARK: Runs

    /// Attaches come at their rate, whether or not the former are done.
    private func attach(_ path: String) async throws {
        try await Running.with(path, nodes: nodes) { running in
            let total = rate * seconds
            let each = (total + nodes - 1) / nodes
            _ = try await running.network("attach", subnet: IPv4Prefix("10.100.0.0/16"), endpoints: each)
            let start = ManagerClock.steady()
            let (cpu, commits) = (ManagerClock.processor(), running.store.count)
            for number in 0..<total {
                let due = start + .nanoseconds(1_000_000_000 / Int64(rate) * Int64(number))
                let now = ManagerClock.steady()
                if due > now { try await Task.sleep(for: due - now) }
                try running.attach(number, at: due)
            }
            try await running.settle(total)
            report(
                "\(rate) attaches a second for \(seconds) s", running, total, commits: running.store.count - commits,
                took: ManagerClock.steady() - start, cpu: ManagerClock.processor() - cpu)
        }
    }

    /// As many at once as the sessions take.
    private func burst(_ path: String) async throws {
        try await Running.with(path, nodes: nodes) { running in
            let total = endpoints / nodes * nodes
            _ = try await running.network("burst", subnet: IPv4Prefix("10.200.0.0/16"), endpoints: endpoints / nodes)
            let start = ManagerClock.steady()
            let (cpu, commits) = (ManagerClock.processor(), running.store.count)
            for number in 0..<total { try running.attach(number, at: start) }
            try await running.settle(total)
            report(
                "\(total) attaches at once", running, total, commits: running.store.count - commits,
                took: ManagerClock.steady() - start, cpu: ManagerClock.processor() - cpu)
        }
    }

    /// A manager starts, and all nodes come back with what they have. Without its endpoints the store is as one that does
    /// not keep them.
    private func restart(_ path: String, knowsEndpoints: Bool) async throws {
        if !knowsEndpoints {
            let store = try SQLiteStore(path: path)
            let known = try await store.snapshot().objects.filter { $0.kind == Endpoint.kind }
            try await store.commit(Transaction(known.map { .delete($0.key, expecting: nil) }))
            try store.close()
        }
        let store = try SQLiteStore(path: path)
        let snapshot = try await store.snapshot()
        try store.close()
        let leases = snapshot.objects.compactMap { $0.as(AddressLease.self) }
        let network = snapshot.objects.compactMap { $0.as(Network.self) }.first { $0.spec.name == "burst" }
        guard let network else { return }
        let start = ManagerClock.steady()
        let cpu = ManagerClock.processor()
        try await Running.with(
            path, nodes: nodes,
            having: { node in
                let own = leases.filter { $0.node == node && $0.network == network.id }
                return Running.endpoints(endpoints / nodes, of: node, in: own, network)
            }
        ) { running in
            try await running.settle(endpoints / nodes * nodes)
            report(
                "start with \(endpoints) endpoints, \(knowsEndpoints ? "all in the store" : "none in the store")", running, endpoints,
                commits: running.store.count, took: ManagerClock.steady() - start, cpu: ManagerClock.processor() - cpu)
        }
    }

    private func report(_ what: String, _ running: Running, _ total: Int, commits: Int, took: Duration, cpu: Duration) {
        let told = running.latencies()
        func ms(_ value: Double?) -> String { value.map { decimal($0 * 1000, 1) } ?? "–" }
        print(
            "\(what): \(commits) commits, done after \(ms(took.inSeconds)) ms, processor \(ms(cpu.inSeconds)) ms; "
                + "until every node was told p50 \(ms(median(told))), p99 \(ms(percentile(told, 99))), most \(ms(told.max())) ms; "
                + "a commit p50 \(ms(median(running.store.times))), p99 \(ms(percentile(running.store.times, 99))) ms")
    }
}

extension Duration {
    fileprivate var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}

private func rmdirTree(_ path: String) -> Int32 {
    for name in ["store.db", "store.db-wal", "store.db-shm"] { unlink(path + "/" + name) }
    return rmdir(path)
}
