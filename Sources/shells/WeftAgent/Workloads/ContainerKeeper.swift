package import WeftModel
package import WeftNet
import WeftNode

/// Containers whose engine takes no network driver, as the engine and its clients tell of them. What weftd
/// prepares for them follows the engine's word: endpoints are made before a container starts and go when it
/// has ended; the namespace and the record stay until it is removed.
package struct ContainerKeeper: Sendable {
    /// What the engine says of a container.
    package enum State: Hashable, Sendable {
        case running
        /// `isFinal`: the engine will not start it again by itself.
        case stopped(isFinal: Bool)
    }

    private let driver: ContainerDriver
    private let workloads: WorkloadKeeper
    private let now: @Sendable () -> Instant

    package init(driver: ContainerDriver, workloads: WorkloadKeeper, now: @escaping @Sendable () -> Instant) {
        self.driver = driver
        self.workloads = workloads
        self.now = now
    }

    /// Sorted by token.
    package var records: [PreparedContainer] {
        get async throws { try await workloads.read { $0.workloads.compactMap(\.preparedContainer) } }
    }

    package var upstreams: [SandboxID: [IPv4Address]] {
        get async throws {
            var result: [SandboxID: [IPv4Address]] = [:]
            for record in try await records where !record.upstreams.isEmpty {
                if let container = record.container { result[container] = record.upstreams }
            }
            return result
        }
    }

    package func record(of container: SandboxID) async throws -> PreparedContainer? {
        try await records.first { $0.container == container }
    }
    package func record(namespacePath path: String) async throws -> PreparedContainer? {
        try await records.first { namespacePath(token: $0.token) == path }
    }
    package func namespacePath(token: String) -> String { driver.namespacePath(WorkloadID(token)) }

    // MARK: Creation

    /// Makes the namespace of a container to be, and returns its path. Nothing is left when it throws.
    package func prepare(_ container: PreparedContainer) async throws -> String {
        if let port = container.ports.first, container.attachments.isEmpty {
            throw PreparedContainerError.noWayOut(port.protocol, port.containerPort)
        }
        try await workloads.request { .prepare($0, Workload(container)) }
        return namespacePath(token: container.token)
    }

    /// The engine created the container.
    package func created(token: String, container: SandboxID, name: String) async throws {
        try await workloads.request { .identify($0, WorkloadID(token), sandbox: container, name: name) }
    }

    /// The engine did not create it, or has removed it.
    package func discard(token: String) async throws {
        do {
            try await workloads.request { .remove($0, WorkloadID(token), force: true) }
        } catch WorkloadFailure.notFound {}
    }

    // MARK: Life

    /// Runs what makes the engine start a container, with everything in place before. What does not run then
    /// is undone by the next `observe`.
    package func starting<Value: Sendable>(_ token: String, _ body: @Sendable () async throws -> Value)
        async throws -> Value
    {
        let id = WorkloadID(token)
        defer { workloads.tell(.lower(id)) }
        try await workloads.request { .raise($0, id) }
        return try await body()
    }

    /// What the engine says of a container, now. Returns once what comes of it is done.
    package func observe(_ container: SandboxID, name: String, _ state: State) async throws {
        guard let record = try await record(of: container) else { return }
        let id = WorkloadID(record.token)
        if record.name != name { try await created(token: record.token, container: container, name: name) }
        switch state {
        case .running: workloads.tell(.observed(id, .running))
        case .stopped(let isFinal): workloads.tell(.observed(id, .stopped(isFinal: isFinal)))
        }
        try await workloads.settle(id)
    }

    /// It was stopped on request: the engine will not start it again by itself, whatever its policy.
    package func ended(_ container: SandboxID) async throws {
        guard let record = try await record(of: container) else { return }
        workloads.tell(.observed(WorkloadID(record.token), .over))
        try await workloads.settle(WorkloadID(record.token))
    }

    /// The engine has it no more.
    package func gone(_ container: SandboxID) async throws {
        guard let record = try await record(of: container) else { return }
        workloads.tell(.observed(WorkloadID(record.token), .gone))
        try await workloads.settle(WorkloadID(record.token))
    }

    /// All containers that the engine has: records of others go. `asOf`: before the engine was asked.
    package func found(_ containers: Set<SandboxID>, asOf: ContinuousClock.Instant) {
        workloads.tell(.containersFound(containers, asOf: now() + (asOf - ContinuousClock.now)))
    }

    // MARK: Networks

    /// Connects a container to one more network, at once if it runs.
    package func connect(
        _ token: String, _ wanted: InterfaceSpec, networkName: String, isRunning: Bool
    ) async throws {
        guard let workload = try await workloads.read({ $0.workload(WorkloadID(token)) }) else { return }
        var interface = wanted
        if let present = workload.interfaces.first(where: { $0.endpoint.network == wanted.endpoint.network }) {
            // Of a container that does not run, what is said last counts, as with Docker.
            guard !isRunning else {
                throw PreparedContainerError.alreadyConnected(name: workload.name, network: networkName)
            }
            interface.interface = present.interface
        }
        let chosen = interface
        try await workloads.request { .attach($0, workload, chosen) }
    }

    package func disconnect(_ token: String, network: NetworkID, networkName: String) async throws {
        guard let workload = try await workloads.read({ $0.workload(WorkloadID(token)) }) else { return }
        guard let interface = workload.interfaces.first(where: { $0.endpoint.network == network })?.interface
        else {
            throw PreparedContainerError.notConnected(name: workload.name, network: networkName)
        }
        try await workloads.request { .detach($0, workload.id, interface: interface) }
    }
}
