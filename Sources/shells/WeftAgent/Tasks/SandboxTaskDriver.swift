package import Logging
package import WeftModel
import WeftNet
package import WeftNode
package import WeftSandbox
import WeftSandboxWire
import WeftText

/// Tasks as sandboxes of Weft's own. What is attached to them, and that they are on record, is the business of workloads as for every
/// sandbox; their directories say whose tasks they are.
package struct SandboxTaskDriver: TaskDriver {
    private let sandboxes: SandboxKeeper
    private let driver: SandboxDriver
    private let files: TaskFileStore
    /// Where a sandbox asks for names, by whether it has a network.
    private let resolver: @Sendable (Bool) -> SandboxSpec.Resolver
    private let logger: Logger

    package init(
        sandboxes: SandboxKeeper, driver: SandboxDriver, files: TaskFileStore,
        resolver: @escaping @Sendable (Bool) -> SandboxSpec.Resolver,
        logger: Logger
    ) {
        self.sandboxes = sandboxes
        self.driver = driver
        self.files = files
        self.resolver = resolver
        self.logger = logger
    }

    package func found() async -> [FoundTask] {
        await driver.list().compactMap { entry in
            entry.spec.task.map { FoundTask(task: TaskID($0), container: entry.spec.id, phase: Self.phase(of: entry)) }
        }
    }

    private static func phase(of entry: SandboxStore.Entry) -> FoundTask.Phase {
        guard let state = entry.state, state.isAlive else { return .ended(end(of: entry)) }
        return state.status == .created ? .created : .running(StartedTask(pid: Int(state.pid)))
    }

    private static func end(of entry: SandboxStore.Entry?) -> TaskEnd {
        guard let state = entry?.state else { return TaskEnd(exitCode: nil, problem: "its sandbox was removed") }
        return TaskEnd(exitCode: state.exitCode.map { Int($0) }, problem: state.error)
    }

    package func prepare(_ order: TaskOrder) async throws -> String {
        let task = order.task
        if let problem = task.spec.sandboxProblem { throw TaskFailure(problem) }
        var generator = SystemRandomNumberGenerator()
        let id = SandboxID.random(using: &generator).rawValue
        var spec = try self.spec(id, order)
        spec.mounts = try await files.lay(order).map { SandboxMount(source: $0.source, target: $0.target, isReadOnly: true) }
        do { return try await sandboxes.create(spec, endpoints: order.endpoints).spec.id } catch {
            try await files.remove(task.id)
            throw error
        }
    }

    /// What runs for a task, of its templates filled in.
    package func spec(_ id: String, _ order: TaskOrder) throws -> SandboxSpec {
        let (task, container) = (order.task, order.task.spec.container)
        let templates = TaskTemplates(task, on: order.node)
        let hostname = try templates.fill(container.hostname)
        var spec = SandboxSpec(
            id: id, name: task.name, hostname: hostname.isEmpty ? String(id.prefix(12)) : hostname,
            command: container.command + container.arguments,
            environment: try container.environment.map { try templates.fill($0) }, rootfs: container.rootfs,
            workingDirectory: container.directory.isEmpty ? nil : container.directory, terminal: container.hasTerminal,
            openStdin: container.opensStandardInput, resolver: resolver(!order.networks.isEmpty))
        spec.resolver.search = container.dns.search
        if !container.dns.options.isEmpty { spec.resolver.options = container.dns.options }
        spec.task = task.id.rawValue
        spec.stopSignal = SignalNumber.named(container.stopSignal)
        return spec
    }

    package func start(_ container: String) async throws -> StartedTask {
        do { try await sandboxes.startProcess(container) } catch {
            // What could not be started waits for nothing.
            do { try await sandboxes.stopProcess(container, timeout: .zero) } catch {
                logger.warning("a sandbox is left", metadata: ["sandbox": "\(container)", "error": "\(error)"])
            }
            throw TaskFailure("starting container failed: \(error)")
        }
        return StartedTask(pid: try await driver.entry(container).state.map { Int($0.pid) })
    }

    /// Nobody starts a sandbox anew.
    package func running(_ container: String) async throws -> StartedTask? { nil }

    package func wait(_ container: String, _ tell: @escaping @Sendable (TaskNews) -> Void) async -> TaskEnd? {
        await driver.waitForEnd(of: container)
        return Task.isCancelled ? nil : Self.end(of: try? await driver.entry(container))
    }

    package func shutDown(_ container: String, signal: String, grace: Duration) async throws -> TaskEnd {
        do { try await sandboxes.stopProcess(container, timeout: grace) } catch SandboxError.notFound {}
        return Self.end(of: try? await driver.entry(container))
    }

    package func remove(_ container: String) async throws {
        let task = try? await driver.entry(container).spec.task
        do { try await sandboxes.remove(container, force: true) } catch SandboxError.notFound {}
        if let task { try await files.remove(TaskID(task)) }
    }

    package func readLog(
        of container: String, hasTerminal: Bool, _ options: LogOptions, _ take: ([LogLine]) async throws -> Void
    ) async throws {
        try await sandboxes.readLog(of: container, options, take)
    }
}
