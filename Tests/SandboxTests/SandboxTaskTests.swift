import Foundation
import Glibc
import Logging
import NIOPosix
import Synchronization
import Testing
import WeftAgent
import WeftAgentCore
import WeftModel
import WeftNet
import WeftNode
import WeftSandbox

/// One weftd's part of a node that runs tasks as sandboxes, with real supervisors and a manager in memory; `end` leaves the
/// sandboxes to the next.
private final class TaskHost: Sendable {
    struct Kernel: Reconciling {
        func reconcile(_ request: ReconcileRequest) -> ReconcileOutcome {
            ReconcileOutcome(generation: request.generation)
        }
    }
    struct Disk: AgentStore {
        func saveOwn(_ change: SavedNode.OwnChange, interfaceIndexes: [EndpointID: Int]) {}
        func saveView(_ change: Assignments) {}
    }
    final class Records: WorkloadStore {
        let all = Mutex<[WorkloadID: Workload]>([:])
        func load() -> [Workload] { all.withLock { Array($0.values) } }
        func save(_ workload: Workload) { all.withLock { $0[workload.id] = workload } }
        func remove(_ workload: Workload) { all.withLock { $0[workload.id] = nil } }
    }

    let driver: SandboxDriver
    let workloads: WorkloadKeeper
    let tasks: TaskKeeper
    let agent: Agent
    private let threads = NIOThreadPool(numberOfThreads: 2)
    private let running: Task<Void, Never>
    private let revision = Mutex<Int64>(9)
    private let reported = Mutex<[TaskID: TaskStatus]>([:])

    init(_ fixture: Fixture, _ records: Records) async throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let now: @Sendable () -> Instant = {
            Instant(nanoseconds: Int64(ProcessInfo.processInfo.systemUptime * 1e9))
        }
        threads.start()
        driver = try SandboxDriver(
            runDirectory: fixture.runDirectory, shimExecutable: Fixture.shim, threads: threads,
            publisher: PortPublisher(ports: NoPorts(), logger: logger), logger: logger)
        workloads = WorkloadKeeper(drivers: [.sandbox: driver], store: records, now: now, logger: logger)
        let sandboxes = SandboxTaskDriver(
            sandboxes: SandboxKeeper(driver: driver, workloads: workloads), driver: driver,
            files: TaskFileStore(runDirectory: fixture.runDirectory),
            resolver: { _ in SandboxSpec.Resolver(addresses: ["169.254.77.53"]) }, useServers: { _, _ in }, logger: logger)
        let tasks = TaskKeeper(drivers: [.sandbox: sandboxes], now: now, logger: logger)
        self.tasks = tasks
        let description = NodeDescription(
            hostname: "h1", architecture: "x86_64", nanoCPUs: 1, memoryBytes: 1, weftVersion: "test")
        let agent = Agent(
            machine: NodeMachine(
                id: NodeID("n1"), description: description,
                dataPathAddress: try #require(IPv4Address("172.30.0.1"))),
            placements: Placements(), store: Disk(), kernel: Kernel(), names: { _ in }, now: now,
            tasks: { tasks.assigned($0) }, lost: { _, _ in }, dismissed: { _ in }, logger: logger)
        self.agent = agent
        running = Task { await agent.run() }
        await workloads.start()
        tasks.use(agent)
        agent.sandboxesFound(await workloads.use(agent))
    }

    /// The manager is there, and wants these tasks.
    func want(
        _ wanted: ServiceTask..., secrets: [StoredSecret] = [], configs: [StoredConfig] = []
    ) async throws {
        if try await !agent.read({ $0.hasSession }) {
            agent.sessionOpened { message in
                if case .tasksChanged(let reports) = message { self.take(reports) }
                return true
            }
        }
        let revision = revision.withLock { revision in
            revision += 1
            return revision
        }
        var all = Assignments(isFull: true, baseRevision: .none, revision: Version(revision))
        all[ServiceTask.self].put = wanted
        all[StoredSecret.self].put = secrets
        all[StoredConfig.self].put = configs
        _ = agent.received(.assignments(all))
        try await workloads.follow()
        tasks.follow()
    }

    private func take(_ reports: [TaskReport]) {
        reported.withLock { reported in
            for report in reports {
                if let former = reported[report.task]?.state, report.status.state < former {
                    Issue.record("\(report.task) goes from \(former) to \(report.status.state)")
                }
                reported[report.task] = report.status
            }
        }
    }

    func status(_ task: String = "t1") -> TaskStatus? { reported.withLock { $0[TaskID(task)] } }

    /// Waits until the manager hears of the state.
    func reaches(_ state: TaskState, _ task: String = "t1") async throws -> TaskStatus {
        try await eventually("\(task) does not become \(state)") { self.status(task)?.state == state }
        return try #require(status(task))
    }

    func eventually(_ what: String, _ condition: () async throws -> Bool) async throws {
        let end = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < end {
            if try await condition() { return }
            try await Task.sleep(for: .milliseconds(10))
        }
        Issue.record("\(what): \(String(describing: status()))")
    }

    func end() async throws {
        await tasks.shutDown()
        agent.shutDown()
        await running.value
        await workloads.shutDown()
        await driver.stop()
        try await threads.shutdownGracefully()
    }
}

private func task(
    _ command: String, desired: TaskState = .running, _ change: (inout TaskSpec) -> Void = { _ in }
) -> ServiceTask {
    var spec = TaskSpec(container: ContainerSpec())
    spec.runtime = .sandbox
    spec.container.command = ["/bin/sh", "-c"]
    spec.container.arguments = [command]
    // A first process that handles no signal gets none.
    spec.container.stopGracePeriod = 100_000_000
    change(&spec)
    let start = Instant(nanoseconds: 0)
    let service = Service(id: ServiceID("s"), createdAt: start, spec: ServiceSpec(name: "web", task: spec))
    return ServiceTask(
        id: TaskID("t1"), createdAt: start, of: service, slot: 3, node: NodeID("n1"), desiredState: desired,
        status: TaskStatus(state: .assigned, at: start, message: ""))
}

private func text(of file: String) -> String {
    String(decoding: FileManager.default.contents(atPath: file) ?? Data(), as: UTF8.self)
}

/// Tasks as sandboxes, from the manager's word to the process and back.
@Suite("Tasks as sandboxes", .timeLimit(.minutes(3)))
struct SandboxTaskTests {
    private func with(
        _ body: (Fixture, TaskHost.Records, TaskHost) async throws -> Void
    ) async throws {
        let (fixture, records) = (try Fixture(), TaskHost.Records())
        let host = try await TaskHost(fixture, records)
        do { try await body(fixture, records, host) } catch {
            try await host.end()
            throw error
        }
        try await host.end()
    }

    @Test("A task runs under its name and its filled-in templates, and what it leaves goes with it")
    func runs() async throws {
        try await with { fixture, records, host in
            let forever = task("echo $SLOT; exec sleep 1000") {
                $0.container.environment = ["SLOT={{.Service.Name}}-{{.Task.Slot}}"]
                $0.container.hostname = "{{.Node.Hostname}}-{{.Task.Slot}}"
            }
            try await host.want(forever)
            let status = try await host.reaches(.running)
            let entry = try await host.driver.find("web.3.t1")
            #expect(status.container == entry.spec.id && status.pid == entry.state.map { Int($0.pid) })
            #expect(entry.spec.environment == ["SLOT=web-3"] && entry.spec.hostname == "h1-3")
            #expect(kill(pid_t(try #require(status.pid)), 0) == 0)
            try await host.want()
            try await host.eventually("the sandbox is left") { await host.driver.list().isEmpty }
            try await host.eventually("the records are left") { records.all.withLock { $0.isEmpty } }
        }
    }

    @Test("A task that is to end gets its signal, and its exit code is told; its files stay until it is removed")
    func stops() async throws {
        try await with { fixture, _, host in
            let command = "trap 'exit 7' USR1; echo up; while :; do sleep 0.05; done"
            var wanted = task(command) {
                $0.container.stopSignal = "SIGUSR1"
                $0.container.stopGracePeriod = 60_000_000_000
            }
            try await host.want(wanted)
            _ = try await host.reaches(.running)
            let entry = try await host.driver.find("web.3.t1")
            try await host.eventually("the trap is not set") {
                text(of: entry.directory.logFile).contains("up")
            }
            wanted.desiredState = .shutdown
            try await host.want(wanted)
            let status = try await host.reaches(.shutdown)
            #expect(status.exitCode == 7 && status.message == "shutdown" && status.problem == nil)
            #expect(await host.driver.list().count == 1)
        }
    }

    @Test("An exit code says whether it failed")
    func ends() async throws {
        try await with { _, _, host in
            try await host.want(task("exit 3"))
            let status = try await host.reaches(.failed)
            #expect(status.exitCode == 3 && status.problem == "task: non-zero exit (3)")
        }
        try await with { _, _, host in
            try await host.want(task("exit 0"))
            #expect(try await host.reaches(.complete).message == "finished")
        }
    }

    @Test("What cannot be run is told with its reason, and nothing of it waits on")
    func refused() async throws {
        try await with { _, _, host in
            try await host.want(task("") { $0.container.command = ["/no/such/program"] })
            let status = try await host.reaches(.failed)
            #expect(status.problem?.contains("/no/such/program") == true)
            try await host.eventually("the sandbox lives") {
                await host.driver.list().allSatisfy { $0.state?.isAlive != true }
            }
        }
        try await with { _, _, host in
            try await host.want(task("exit 0") { $0.logDriver = LogDriver(name: "syslog") })
            let status = try await host.reaches(.rejected)
            #expect(status.problem?.hasPrefix("--log-driver is not available for a sandbox of Weft's own") == true)
        }
    }

    @Test("Secrets and configs are files that the task alone sees, as it wants them, and that go with it")
    func files() async throws {
        try await with { fixture, _, host in
            let start = Instant(nanoseconds: 0)
            // "s3cret" and "slot {{.Task.Slot}}"
            let secret = StoredSecret(
                id: "x", createdAt: start, spec: SharedFileSpec(name: "key", data: Secret("czNjcmV0")))
            var config = StoredConfig(
                id: "y", createdAt: start,
                spec: SharedFileSpec(name: "conf", data: Secret("c2xvdCB7ey5UYXNrLlNsb3R9fQ==")))
            config.spec.templating = LogDriver(name: "golang")
            let look = """
                cat /run/secrets/key; echo; cat /weft-test-conf; echo; stat -c '%a %u %g' /run/secrets/key
                echo more >/run/secrets/key && echo written; exec sleep 1000
                """
            let wanted = task(look) {
                var key = ContainerSpec.FileReference(id: "x", name: "key", target: "key")
                (key.uid, key.gid, key.mode) = ("12", "34", 0o440)
                $0.container.secrets = [key]
                $0.container.configs = [.init(id: "y", name: "conf", target: "weft-test-conf")]
            }
            try await host.want(wanted, secrets: [secret], configs: [config])
            _ = try await host.reaches(.running)
            let log = try await host.driver.find("web.3.t1").directory.logFile
            try await host.eventually("it is not read only") { text(of: log).contains("Read-only file system") }
            let seen = text(of: log)
            #expect(seen.contains("s3cret") && seen.contains("slot 3") && seen.contains("440 12 34"))
            #expect(!seen.contains("written"))
            let outside = "\(fixture.runDirectory)/task-files/t1"
            #expect(FileManager.default.fileExists(atPath: outside))
            #expect(!FileManager.default.fileExists(atPath: "/run/secrets/key"))
            #expect(!FileManager.default.fileExists(atPath: "/weft-test-conf"))
            try await host.want()
            try await host.eventually("files are left") { !FileManager.default.fileExists(atPath: outside) }
        }
    }

    @Test("A task runs as its user, with its mounts, its hosts and an init, and ends by its signal")
    func process() async throws {
        try await with { fixture, _, host in
            let data = "\(fixture.runDirectory)/data-3"
            let look =
                "id -u; id -G; cat /proc/1/comm; cat /weft-test-3/here; grep db /etc/hosts; stat -f -c %T /weft-test-memory; echo done"
            let wanted = task(look + "; exec sleep 1000") {
                ($0.container.user, $0.container.groups) = ("12:34", ["56"])
                $0.container.usesInit = true
                $0.container.hosts = ["192.0.2.1 db"]
                $0.container.stopGracePeriod = 60_000_000_000
                var bind = ContainerSpec.Mount(target: "/weft-test-{{.Task.Slot}}")
                (bind.kind, bind.source, bind.isReadOnly) = (.bind, "\(fixture.runDirectory)/data-{{.Task.Slot}}", true)
                var memory = ContainerSpec.Mount(target: "/weft-test-memory")
                memory.kind = .tmpfs
                $0.container.mounts = [memory, bind]
            }
            try FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: true)
            try "here\n".write(toFile: "\(data)/here", atomically: false, encoding: .utf8)
            var ending = wanted
            try await host.want(wanted)
            ending.status = try await host.reaches(.running)
            let log = try await host.driver.find("web.3.t1").directory.logFile
            try await host.eventually("it does not look") { text(of: log).contains("done") }
            let seen = text(of: log)
            for line in ["12\n", "34 56\n", "weft-init\n", "here\n", "192.0.2.1\tdb\n", "tmpfs\n"] {
                #expect(seen.contains(line), "\(seen)")
            }
            ending.desiredState = .shutdown
            try await host.want(ending)
            #expect(try await host.reaches(.shutdown).exitCode == 143)
        }
    }

    @Test("A task with a health check is ready once that passes, and is replaced when it does no more; the next weftd goes on with it")
    func health() async throws {
        let (fixture, records) = (try Fixture(), TaskHost.Records())
        let first = try await TaskHost(fixture, records)
        let (well, looked) = ("\(fixture.runDirectory)/well", "\(fixture.runDirectory)/looked")
        var wanted = task("exec sleep 1000") {
            $0.container.healthcheck = .init()
            $0.container.healthcheck?.test = ["CMD-SHELL", "touch \(looked); test -e \(well)"]
            $0.container.healthcheck?.interval = 50_000_000
            $0.container.healthcheck?.startPeriod = 60_000_000_000
        }
        try await first.want(wanted)
        try await first.eventually("nobody looks") { FileManager.default.fileExists(atPath: looked) }
        #expect(first.status()?.state == .starting)
        #expect(FileManager.default.createFile(atPath: well, contents: nil))
        wanted.status = try await first.reaches(.running)
        try await first.end()
        let next = try await TaskHost(fixture, records)
        try await next.want(wanted)
        try await next.eventually("it is not taken up") {
            try await next.tasks.read { $0.container(of: TaskID("t1")) } == wanted.status.container
        }
        try FileManager.default.removeItem(atPath: well)
        let status = try await next.reaches(.failed)
        #expect(status.problem?.contains("unhealthy container") == true)
        try await next.end()
    }

    @Test("What a task may use is limited by control groups, which go with it")
    func limits() async throws {
        try await with { fixture, _, host in
            let wanted = task("cat /proc/self/cgroup; ulimit -n; echo done; exec sleep 1000") {
                ($0.limits.memoryBytes, $0.limits.nanoCPUs, $0.limits.pids) = (64 << 20, 250_000_000, 50)
                $0.container.limits = [.init(name: "nofile", soft: 123, hard: 123)]
            }
            try await host.want(wanted)
            _ = try await host.reaches(.running)
            let entry = try await host.driver.find("web.3.t1")
            try await host.eventually("it does not look") { text(of: entry.directory.logFile).contains("done") }
            let seen = text(of: entry.directory.logFile)
            #expect(seen.contains("/weft/\(entry.spec.id)\n") && seen.contains("123\n"), "\(seen)")
            // Version 1 has a directory for each controller, version 2 one for all.
            let groups = ["", "memory/", "cpu/", "cpu,cpuacct/", "pids/", "unified/"].map { "/sys/fs/cgroup/\($0)weft/\(entry.spec.id)" }
                .filter { FileManager.default.fileExists(atPath: $0) }
            func value(_ names: String...) -> String {
                let paths = groups.flatMap { group in names.map { "\(group)/\($0)" } }
                let files = paths.compactMap { FileHandle(forReadingAtPath: $0) }
                return files.map { String(decoding: (try? $0.readToEnd()) ?? Data(), as: UTF8.self) }.joined()
            }
            #expect(value("memory.max", "memory.limit_in_bytes") == "\(64 << 20)\n")
            #expect(value("pids.max") == "50\n")
            #expect(["25000\n", "25000 100000\n"].contains(value("cpu.max", "cpu.cfs_quota_us")))
            try await host.want()
            try await host.eventually("groups are left") { groups.allSatisfy { !FileManager.default.fileExists(atPath: $0) } }
        }
    }

    @Test("A task outlives weftd, and is the next one's")
    func adopted() async throws {
        let (fixture, records) = (try Fixture(), TaskHost.Records())
        let first = try await TaskHost(fixture, records)
        var wanted = task("exec sleep 1000")
        try await first.want(wanted)
        wanted.status = try await first.reaches(.running)
        try await first.end()
        let next = try await TaskHost(fixture, records)
        try await next.want(wanted)
        try await next.eventually("it is not taken up") {
            try await next.tasks.read { $0.container(of: TaskID("t1")) } == wanted.status.container
        }
        wanted.desiredState = .shutdown
        try await next.want(wanted)
        let status = try await next.reaches(.shutdown)
        #expect(status.container == wanted.status.container && status.exitCode == 137)
        #expect(await next.driver.list().count == 1)
        try await next.end()
    }

    @Test("Without a manager a task that ended runs again, in another sandbox under the same name")
    func alone() async throws {
        try await with { fixture, _, host in
            let wanted = task("exec sleep 1000") {
                $0.restart = RestartPolicy()
                $0.restart?.delay = 0
            }
            try await host.want(wanted)
            let before = try await host.reaches(.running)
            host.agent.sessionClosed()
            #expect(kill(pid_t(try #require(before.pid)), SIGKILL) == 0)
            try await host.eventually("it does not run again") {
                let entry = try? await host.driver.find("web.3.t1")
                return entry?.state?.status == .running && entry?.spec.id != before.container
            }
            try await host.want(wanted)
            try await host.eventually("the manager does not hear of it") {
                host.status()?.state == .running && host.status()?.container != before.container
            }
        }
    }
}
