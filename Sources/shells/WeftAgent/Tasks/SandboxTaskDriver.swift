import FoundationEssentials
package import Logging
package import WeftModel
package import WeftNet
package import WeftNode
package import WeftSandbox

/// Tasks as sandboxes of Weft's own. What is attached to them, and that they are on record, is the business of workloads as for every
/// sandbox; their directories say whose tasks they are.
package struct SandboxTaskDriver: TaskDriver {
    private let sandboxes: SandboxKeeper
    private let driver: SandboxDriver
    private let files: TaskFileStore
    /// Where a sandbox asks for names, by whether it has a network.
    private let resolver: @Sendable (Bool) -> SandboxSpec.Resolver
    /// The servers that a sandbox is to have asked for what is not the swarm's.
    private let useServers: @Sendable ([IPv4Address], SandboxID) -> Void
    private let logger: Logger

    package init(
        sandboxes: SandboxKeeper, driver: SandboxDriver, files: TaskFileStore,
        resolver: @escaping @Sendable (Bool) -> SandboxSpec.Resolver,
        useServers: @escaping @Sendable ([IPv4Address], SandboxID) -> Void,
        logger: Logger
    ) {
        self.sandboxes = sandboxes
        self.driver = driver
        self.files = files
        self.resolver = resolver
        self.useServers = useServers
        self.logger = logger
    }

    package func found() async throws -> [FoundTask] {
        var found: [FoundTask] = []
        for entry in await driver.list() {
            guard let task = entry.spec.task else { continue }
            guard let ports = try await sandboxes.published(entry.spec.id) else {
                throw TaskFailure("the sandboxes of earlier runs are not taken up yet")
            }
            found.append(
                FoundTask(task: TaskID(task), container: entry.spec.id, phase: Self.phase(of: entry, ports.map(PortConfig.init))))
        }
        return found
    }

    private static func phase(of entry: SandboxStore.Entry, _ ports: [PortConfig]) -> FoundTask.Phase {
        guard let state = entry.state, state.isAlive else { return .ended(end(of: entry)) }
        guard state.status != .created else { return .created }
        return .running(StartedTask(pid: Int(state.pid), ports: ports, health: health(of: entry)))
    }

    /// Nil: nothing checks it.
    private static func health(of entry: SandboxStore.Entry) -> TaskHealth? {
        guard entry.spec.health != nil else { return nil }
        return entry.directory.isHealthy.map { $0 ? .healthy : .unhealthy } ?? .unknown
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
        let body = SandboxTaskBody(order, id: id)
        let ports = task.ports.filter { $0.mode == .host }.compactMap(WantedPort.init)
        if !body.servers.isEmpty { useServers(body.servers, SandboxID(id)) }
        do {
            let spec = try body.spec(files: try await files.lay(order), resolver: resolver(!order.networks.isEmpty))
            return try await sandboxes.create(spec, endpoints: order.endpoints, ports: ports).spec.id
        } catch {
            forgetServers(of: id)
            try await files.remove(task.id)
            throw error
        }
    }

    private func forgetServers(of id: String) { useServers([], SandboxID(id)) }

    package func start(_ container: String) async throws -> StartedTask {
        do { try await sandboxes.startProcess(container) } catch {
            // What could not be started waits for nothing.
            do { try await sandboxes.stopProcess(container, timeout: .zero) } catch {
                logger.warning("a sandbox is left", metadata: ["sandbox": "\(container)", "error": "\(error)"])
            }
            throw TaskFailure("starting container failed: \(error)")
        }
        let entry = try await driver.entry(container)
        return StartedTask(
            pid: entry.state.map { Int($0.pid) }, ports: (try await sandboxes.published(container) ?? []).map(PortConfig.init),
            health: Self.health(of: entry))
    }

    /// Nobody starts a sandbox anew.
    package func running(_ container: String) async throws -> StartedTask? { nil }

    package func wait(_ container: String, _ tell: @escaping @Sendable (TaskNews) -> Void) async -> TaskEnd? {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await watchHealth(of: container) { tell(.health($0)) } }
            await driver.waitForEnd(of: container)
            group.cancelAll()
        }
        return Task.isCancelled ? nil : Self.end(of: try? await driver.entry(container))
    }

    /// Until it is cancelled; of a sandbox without health checks there is nothing to tell.
    private func watchHealth(of container: String, _ tell: (TaskHealth) -> Void) async {
        guard let entry = try? await driver.entry(container), let check = entry.spec.health else { return }
        var track = HealthTrack(ContainerSpec.Healthcheck(check), health: Self.health(of: entry) ?? .unknown)
        let start = ContinuousClock.now - Self.age(of: entry)
        do {
            while true {
                try await Task.sleep(for: track.pause(age: .now - start))
                let (former, age) = (track.health, ContinuousClock.now - start)
                track.note(isWell: try await driver.isWell(container, within: track.timeout), age: age)
                try Task.checkCancellation()
                guard track.health != former else { continue }
                tell(track.health)
                // The next weftd would begin anew without it, which is no reason to stop.
                do { try await driver.note(container, isHealthy: track.health == .healthy) } catch {
                    logger.warning("a health is not kept", metadata: ["sandbox": "\(container)", "error": "\(error)"])
                }
            }
        } catch {
            // It ended, or nobody watches it any more.
        }
    }

    private static func age(of entry: SandboxStore.Entry) -> Duration {
        let now = Int64(Date().timeIntervalSince1970 * 1e9)
        return .nanoseconds(max(0, now - Int64(clamping: entry.state?.startedAt ?? UInt64(clamping: now))))
    }

    package func shutDown(_ container: String, signal: String, grace: Duration) async throws -> TaskEnd {
        do { try await sandboxes.stopProcess(container, timeout: grace) } catch SandboxError.notFound {}
        return Self.end(of: try? await driver.entry(container))
    }

    package func remove(_ container: String) async throws {
        let task = try? await driver.entry(container).spec.task
        do { try await sandboxes.remove(container, force: true) } catch SandboxError.notFound {}
        forgetServers(of: container)
        if let task { try await files.remove(TaskID(task)) }
    }

    package func readLog(
        of container: String, hasTerminal: Bool, _ options: LogOptions, _ take: ([LogLine]) async throws -> Void
    ) async throws {
        try await sandboxes.readLog(of: container, options, take)
    }
}
