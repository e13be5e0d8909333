import ArgumentParser
import WeftControl
import WeftModel
import WeftNet

/// Measures what a manager decides about many services: its core alone, whose store takes everything at once.
struct ServiceLoad: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "services", abstract: "Measures a manager's processor time for one change among many services.")

    @Option(help: "Services.") var services = 3000
    @Option(help: "Tasks of each.") var tasks = 10
    @Option(help: "Nodes.") var nodes = 30
    @Option(help: "Changes of each sort that are measured.") var samples = 50

    func run() throws {
        let manager = try LoadedManager(nodes: nodes)
        let begin = ManagerClock.processor()
        let ids = try (0..<services).map { try manager.create("s\($0)", tasks: UInt64(tasks)) }
        let made = ManagerClock.processor() - begin
        manager.obey()
        let ran = ManagerClock.processor() - begin
        print("\(services) services with \(manager.taskCount) tasks on \(nodes) nodes")
        print("made in \(Self.milliseconds(made)) ms of processor time, all running after \(Self.milliseconds(ran)) ms")
        report("a quiet second") { _ in manager.pass() }
        report("a service is scaled") { sample in
            manager.update(ids[sample % ids.count]) { $0.mode = .replicated(UInt64(tasks) + 1) }
        }
        manager.obey()
        report("a service is updated") { sample in manager.update(ids[sample % ids.count]) { $0.task.forceUpdate += 1 } }
        manager.obey()
        let victims = manager.running(samples)
        report("a task fails") { sample in manager.fail(victims[sample % victims.count]) }
        let fresh = ManagerClock.processor()
        manager.restart()
        manager.pass()
        print("a fresh manager's first look at everything: \(Self.milliseconds(ManagerClock.processor() - fresh)) ms")
    }

    private func report(_ what: String, _ change: (Int) -> Void) {
        let times = (0..<samples).map { sample in
            let start = ManagerClock.processor()
            change(sample)
            return ManagerClock.processor() - start
        }.sorted()
        guard let worst = times.last else { return }
        print("\(what): median \(Self.milliseconds(times[times.count / 2])) ms, worst \(Self.milliseconds(worst)) ms of processor time")
    }

    private static func milliseconds(_ time: Duration) -> Double { Double(time / .microseconds(1)).rounded() / 1000 }
}

/// A manager's core with nodes that have a session, and do what they are told when asked to.
private final class LoadedManager {
    private var core: ManagerCore
    private var random = SystemRandomNumberGenerator()
    private var now = ManagerClock.now()
    private var revision = Version(1)
    private var commands: UInt64 = 0
    private let nodes: [NodeID]
    private var reply: Result<ControlReply, ControlError>?

    init(nodes count: Int) throws {
        let manager = Node(id: NodeID("manager"), createdAt: now, spec: NodeSpec(role: .manager))
        let cluster = Cluster(
            id: ClusterID("bench"), createdAt: now, spec: ClusterSpec(), rootCertificatePEM: "root", workerTokenSecret: Secret("w"),
            managerTokenSecret: Secret("m"))
        let first = try Bootstrap.transaction(cluster: cluster, manager: manager, now: now, random: &random)
        let objects = StoreCommit(first, at: revision).changes.compactMap { change in
            if case .put(let object) = change { object } else { nil }
        }
        core = ManagerCore(StoreSnapshot(revision: revision, objects: objects))
        nodes = (0..<count).map { NodeID("node\($0)") }
        for node in nodes { run(.admitNode(node, .worker, .active)) }
        connect()
    }

    var taskCount: Int { core.replica.all(ServiceTask.self).count }

    private func connect() {
        for (index, node) in nodes.enumerated() {
            var description = NodeDescription(
                hostname: "host-\(index)", architecture: "x86_64", nanoCPUs: 64_000_000_000, memoryBytes: 1 << 40, weftVersion: "bench")
            description.engineVersion = "bench"
            feed(.nodeConnected(node, session(index), address: nil))
            let vtep = IPv4Address(rawValue: 172 << 24 | 30 << 16 | UInt32(index + 2))
            feed(
                .nodeMessage(
                    node, session(index), .hello(description, dataPathAddress: vtep, appliedRevision: .none, endpoints: [])))
        }
    }

    private func session(_ index: Int) -> SessionID { SessionID(life * 10_000 + UInt64(index)) }
    private var life: UInt64 = 1

    @discardableResult
    private func run(_ command: ControlCommand) -> Result<ControlReply, ControlError>? {
        commands += 1
        reply = nil
        feed(.command(CommandID(commands), command))
        return reply
    }

    private func feed(_ input: ControlInput) {
        core.enqueue(input)
        while hasProposal(core.proceed(now: now, wallClock: now, random: &random)) {
            revision = Version(revision.index + 1)
            _ = hasProposal(core.resolve(.committed(revision), now: now, wallClock: now))
        }
    }

    private func hasProposal(_ actions: [ControlAction]) -> Bool {
        var isProposed = false
        for action in actions {
            switch action {
            case .propose: isProposed = true
            case .reply(_, let result): reply = result
            case .send, .closeSession, .giveUp, .announce, .note: break
            }
        }
        return isProposed
    }

    func create(_ name: String, tasks: UInt64) throws -> ServiceID {
        var spec = ServiceSpec(name: name, task: TaskSpec(container: ContainerSpec(image: "app:1")))
        spec.mode = .replicated(tasks)
        guard case .service(let service)? = try run(.createService(spec))?.get() else { return ServiceID("") }
        return service.id
    }

    func update(_ id: ServiceID, _ change: (inout ServiceSpec) -> Void) {
        guard let service = core.replica[Service.self, id] else { return }
        var spec = service.spec
        change(&spec)
        run(.updateService(id, version: service.version, spec))
    }

    func pass() {
        now = now + .seconds(1)
        for (index, node) in nodes.enumerated() { feed(.nodeMessage(node, session(index), .heartbeat(appliedRevision: .none))) }
        feed(.tick)
    }

    func running(_ count: Int) -> [ServiceTask] {
        Array(core.replica.all(ServiceTask.self).filter { $0.status.state == .running && $0.desiredState == .running }.prefix(count))
    }

    func fail(_ task: ServiceTask) { report([task], .failed) }

    /// Tasks that are to run do.
    func obey() {
        let waiting = core.replica.all(ServiceTask.self).filter { $0.desiredState == .running && $0.status.state < .running }
        for node in Dictionary(grouping: waiting, by: \.node).values { report(node, .running) }
    }

    private func report(_ tasks: [ServiceTask], _ state: TaskState) {
        guard let node = tasks.first?.node, let index = nodes.firstIndex(of: node) else { return }
        let reports = tasks.map { TaskReport(task: $0.id, status: TaskStatus(state: state, at: now, message: state.name)) }
        feed(.nodeMessage(node, session(index), .tasksChanged(reports)))
    }

    /// The manager begins anew on what is stored.
    func restart() {
        var objects: [StoredObject] = core.replica.nodes.map { StoredObject($0) } + core.replica.networks.map { StoredObject($0) }
        objects += core.replica.leases.map { StoredObject($0) } + core.replica.all(Service.self).map { StoredObject($0) }
        objects += core.replica.all(ServiceTask.self).map { StoredObject($0) }
        if let cluster = core.replica.cluster { objects.append(StoredObject(cluster)) }
        core = ManagerCore(StoreSnapshot(revision: core.replica.revision, objects: objects))
        life += 1
        connect()
    }
}
