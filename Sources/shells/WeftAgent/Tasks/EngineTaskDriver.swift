package import Logging
package import WeftEngine
package import WeftModel
package import WeftNode
import WeftSandbox
import WeftText

/// Tasks as containers of the local engine; their labels say which tasks they are to the next weftd. One that takes Weft's network driver
/// makes their endpoints as it starts them, by the plug-in, and tells it whose they are; for another weftd prepares namespaces.
package struct EngineTaskDriver: TaskDriver {
    private let local: LocalEngine
    private let prepared: PreparedTasks
    private let files: TaskFileStore
    /// This node in its swarm; nil: in none.
    private let node: @Sendable () -> NodeID?
    private let logger: Logger
    private var engine: Engine { local.engine }

    /// Until an engine that went away is asked again.
    private static let retry = Duration.milliseconds(500)

    package init(
        engine: LocalEngine, prepared: PreparedTasks, files: TaskFileStore, node: @escaping @Sendable () -> NodeID?,
        logger: Logger
    ) {
        local = engine
        self.prepared = prepared
        self.files = files
        self.node = node
        self.logger = logger
    }

    package func found() async throws -> [FoundTask] {
        guard let node = node() else { throw NotInSwarm() }
        let kind = try await local.askKind()
        var found: [FoundTask] = []
        for id in try await engine.containers(labelled: "\(EngineTaskBody.Label.node)=\(node)") {
            guard let container = try await engine.task(id),
                let task = container.Config.Labels?[EngineTaskBody.Label.taskID]
            else { continue }
            let phase: FoundTask.Phase =
                if container.isCreated {
                    .created
                } else if container.isRunning {
                    .running(try await started(container, in: kind))
                } else {
                    .ended(Self.end(of: container))
                }
            found.append(FoundTask(task: TaskID(task), container: id, phase: phase))
        }
        return found
    }

    private func started(_ container: EngineTask, in kind: EngineKind) async throws -> StartedTask {
        var ports = Self.ports(of: container)
        if kind.joining == .byNamespace { ports += try await prepared.ports(of: container.Id) }
        return StartedTask(
            pid: container.State.Pid.flatMap { $0 > 0 ? $0 : nil }, ports: ports, health: Self.health(of: container))
    }

    private static func health(of container: EngineTask) -> TaskHealth? {
        switch container.State.Health?.Status {
        case nil, "none", "": nil
        case "healthy": .healthy
        case "unhealthy": .unhealthy
        default: .unknown
        }
    }

    /// Those that are published at this host, each with its number.
    private static func ports(of container: EngineTask) -> [PortConfig] {
        var ports: Set<PortConfig> = []
        for (name, bindings) in container.NetworkSettings?.Ports ?? [:] {
            let parts = name.split(separator: "/")
            guard parts.count == 2, let target = UInt16(parts[0]),
                let transport = PortConfig.Transport(rawValue: String(parts[1]))
            else { continue }
            for binding in bindings ?? [] {
                var port = PortConfig(target: target)
                (port.transport, port.mode) = (transport, .host)
                port.published = binding.HostPort.flatMap { UInt16($0) } ?? 0
                ports.insert(port)
            }
        }
        return ports.sorted { ($0.target, $0.published) < ($1.target, $1.published) }
    }

    private static func end(of container: EngineTask?) -> TaskEnd {
        guard let state = container?.State else { return TaskEnd(exitCode: nil, problem: "its container was removed") }
        return TaskEnd(exitCode: state.ExitCode, problem: state.Error.flatMap { $0.isEmpty ? nil : $0 })
    }

    // MARK: A task's life

    package func prepare(_ order: TaskOrder) async throws -> String {
        let files = try await files.lay(order)
        do {
            return try await whileAway {
                switch try await local.askKind().joining {
                case .byDriver: try await make(order, files)
                case .byNamespace: try await makePrepared(order, files)
                }
            }
        } catch {
            try await self.files.remove(order.task.id)
            throw error
        }
    }

    private func make(_ order: TaskOrder, _ files: [LaidFile]) async throws -> String {
        let body = EngineTaskBody(order, files: files)
        let json = try body.json()
        return try await local.shadows.with(order.networks) {
            let id = try await create(order.task, json)
            do {
                for network in order.networks.dropFirst() {
                    try await engine.connect(id, to: network.spec.name, body.endpoint)
                }
            } catch {
                try? await engine.removeContainer(id)
                throw error
            }
            return id
        }
    }

    private func makePrepared(_ order: TaskOrder, _ files: [LaidFile]) async throws -> String {
        if let problem = order.task.spec.container.podmanLacks { throw TaskFailure(problem) }
        let body = EngineTaskBody(order, files: files, for: .podman)
        guard !order.networks.isEmpty else { return try await create(order.task, try body.json()) }
        return try await prepared.make(order, hostname: try body.hostname) { namespace in
            try await create(order.task, try EngineTaskBody(order, files: files, for: .podman, namespace: namespace).json())
        }
    }

    /// An image that is not there is got, once. Of one that is not to be had, what the engine says is said.
    private func create(_ task: ServiceTask, _ json: JSON) async throws -> String {
        do { return try await engine.createContainer(name: task.name, json) } catch let missing as EngineError
            where missing.status == 404
        {
            let spec = task.spec.container
            let credentials = spec.registryCredentials.flatMap { $0.exposed.isEmpty ? nil : $0 }
            do { try await engine.pull(spec.image, credentials: credentials) } catch EngineError.refused(_, let reason) {
                logger.warning("an image cannot be pulled", metadata: ["image": "\(spec.image)", "reason": "\(reason)"])
                throw TaskFailure("\(missing) (pulling it failed: \(reason))")
            }
            return try await engine.createContainer(name: task.name, json)
        }
    }

    /// Tries again for as long as no engine answers; a task that is wanted no more is cancelled.
    private func whileAway<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
        while true {
            do { return try await body() } catch EngineError.absent where !Task.isCancelled {
                try await Task.sleep(for: Self.retry)
            }
        }
    }

    package func start(_ container: String) async throws -> StartedTask {
        let kind = try await local.kind()
        do {
            switch kind.joining {
            case .byDriver: try await engine.startContainer(container)
            case .byNamespace: try await prepared.starting(container) { try await engine.startContainer(container) }
            }
        } catch {
            throw TaskFailure("starting container failed: \(error)")
        }
        guard let started = try await engine.task(container) else {
            throw TaskFailure("No such container: \(container)")
        }
        return try await self.started(started, in: kind)
    }

    package func running(_ container: String) async throws -> StartedTask? {
        guard let state = try await engine.task(container), state.isRunning else { return nil }
        return try await started(state, in: try await local.kind())
    }

    /// The task whose container it is, by what the engine says of its start.
    package static func task(labels: [String: String]) -> TaskID? { labels[EngineTaskBody.Label.taskID].map { TaskID($0) } }

    /// What an engine without a driver says of a container now, is true of its endpoints.
    private func settle(_ container: String) async {
        if local.knownKind?.joining == .byNamespace { await prepared.settle(container) }
    }

    package func wait(
        _ container: String, _ tell: @escaping @Sendable (TaskNews) -> Void
    ) async -> TaskEnd? {
        await withTaskGroup(of: TaskEnd?.self) { group in
            group.addTask { await follow(container) { tell(.health($0)) } }
            group.addTask { await ended(container) { tell(.restarted($0)) } }
            defer { group.cancelAll() }
            while let end = await group.next() { if let end { return end } }
            return nil
        }
    }

    /// An engine that restarts a container tells of an end, after which it runs: `docker restart` is a new start of the same task.
    private func ended(_ container: String, restarted: (StartedTask) -> Void) async -> TaskEnd? {
        var pid: Int?
        while !Task.isCancelled {
            do {
                guard let state = try await engine.task(container) else { return Self.end(of: nil) }
                if !state.isRunning, !state.isCreated {
                    await settle(container)
                    return Self.end(of: state)
                }
                if state.isRunning, let present = state.State.Pid, present > 0 {
                    if pid != present { restarted(try await started(state, in: try await local.kind())) }
                    pid = present
                }
                try await engine.waitForContainer(container)
            } catch {
                // The engine may be back with it; only its word counts.
                try? await Task.sleep(for: Self.retry)
            }
        }
        return nil
    }

    /// Until it is cancelled; of a container without health checks there is nothing to tell.
    private func follow(_ container: String, _ tell: @escaping @Sendable (TaskHealth) -> Void) async -> TaskEnd? {
        while !Task.isCancelled {
            do {
                guard let state = try await engine.task(container), Self.health(of: state) != nil else { return nil }
                switch try await local.kind() {
                case .docker:
                    try await engine.followHealth(of: container) {
                        if let state = try? await engine.task(container), let health = Self.health(of: state) { tell(health) }
                    }
                case .podman: try await check(state, tell)
                }
            } catch {}
            try? await Task.sleep(for: Self.retry)
        }
        return nil
    }

    /// podman has systemd look at how containers are, where there is one. Where nobody has looked for an interval, it is told to.
    private func check(_ container: EngineTask, _ tell: @escaping @Sendable (TaskHealth) -> Void) async throws {
        try await Task.sleep(for: container.checkInterval)
        guard var state = try await engine.task(container.Id), state.isRunning else { return }
        if state.lastCheck == container.lastCheck {
            try await engine.checkHealth(of: container.Id)
            state = try await engine.task(container.Id) ?? state
        }
        if let health = Self.health(of: state) { tell(health) }
    }

    package func shutDown(_ container: String, signal: String, grace: Duration) async throws -> TaskEnd {
        // The signal is the container's own.
        let seconds = max(0, grace.components.seconds + (grace.components.attoseconds > 0 ? 1 : 0))
        do { try await engine.stopContainer(container, seconds: seconds) } catch let error as EngineError
            where error.status == 404 || error.status == 304
        {}
        await settle(container)
        return Self.end(of: try await engine.task(container))
    }

    package func remove(_ container: String) async throws {
        let task = try await engine.task(container)?.Config.Labels?[EngineTaskBody.Label.taskID]
        try await engine.removeContainer(container)
        if try await local.kind().joining == .byNamespace { try await prepared.gone(container) }
        if let task { try await files.remove(TaskID(task)) }
    }

    package func readLog(
        of container: String, hasTerminal: Bool, _ options: LogOptions, _ take: ([LogLine]) async throws -> Void
    ) async throws {
        try await engine.readLog(of: container, hasTerminal: hasTerminal, options, take)
    }
}
