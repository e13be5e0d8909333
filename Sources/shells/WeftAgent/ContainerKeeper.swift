// Containers whose engine takes no network driver. What weftd prepares for them follows the engine's word: endpoints are made
// before a container starts and go when it has ended; the namespace and the record stay until it is removed.
package import Logging
package import NIOPosix
package import WeftModel
package import WeftNet
import WeftNode

package actor ContainerKeeper {
    /// What the engine says of a container.
    package enum State: Hashable, Sendable {
        case running
        /// `isFinal`: the engine will not start it again by itself.
        case stopped(isFinal: Bool)
    }

    /// Whose attachments these are, among those of CNI runtimes.
    package static let owner = "engine"
    /// How long a container that the engine may start again keeps its endpoints, without their names.
    private static let patience = Duration.seconds(30)

    private let store: any PreparedContainerStore
    private let attachments: AttachmentKeeper
    private let ports: any PortPublishing
    private let threads: NIOThreadPool
    private let logger: Logger
    private var agent: Agent?
    private var known: [String: PreparedContainer] = [:]
    /// Since when a record is there, in this run of weftd.
    private var since: [String: ContinuousClock.Instant] = [:]
    private var stoppedSince: [String: ContinuousClock.Instant] = [:]
    /// Starts and restarts under way, during which no end of the container counts.
    private var holds: [String: Int] = [:]
    /// Whatever concerns one container is done one after another.
    private var queues: [String: Task<Void, Never>] = [:]

    package init(
        store: any PreparedContainerStore, attachments: AttachmentKeeper, ports: any PortPublishing, threads: NIOThreadPool,
        logger: Logger
    ) {
        self.store = store
        self.attachments = attachments
        self.ports = ports
        self.threads = threads
        self.logger = logger
    }

    /// Finds what earlier runs left. After a boot the namespaces are gone; the engine needs them to start its containers.
    package func start() async throws {
        let store = store
        for record in try await threads.runIfActive({ try store.load() }) {
            known[record.token] = record
            since[record.token] = .now
            let isNew = try await threads.runIfActive { try store.makeNamespace(token: record.token) }
            if isNew, !record.published.isEmpty { known[record.token]?.published = [] }
        }
    }

    /// Who attaches endpoints; nil outside a swarm. Containers that the engine will start by itself, as after a boot, find
    /// their interfaces there.
    package func use(_ agent: Agent?) async {
        self.agent = agent
        guard agent != nil else { return }
        await withTaskGroup { group in
            for record in records where record.restarts && record.container != nil {
                group.addTask {
                    do { try await self.attach(token: record.token) } catch {
                        self.logger.warning(
                            "a container has no networks yet", metadata: ["name": "\(record.name)", "reason": "\(error)"])
                    }
                }
            }
        }
        await publish()
    }

    /// Sorted by token.
    package var records: [PreparedContainer] { known.values.sorted { $0.token < $1.token } }

    package var upstreams: [SandboxID: [IPv4Address]] {
        var result: [SandboxID: [IPv4Address]] = [:]
        for record in known.values where !record.upstreams.isEmpty {
            if let container = record.container { result[container] = record.upstreams }
        }
        return result
    }

    package func record(of container: SandboxID) -> PreparedContainer? { known.values.first { $0.container == container } }
    package func record(namespacePath path: String) -> PreparedContainer? {
        known.values.first { store.namespacePath(token: $0.token) == path }
    }
    package nonisolated func namespacePath(token: String) -> String { store.namespacePath(token: token) }

    // MARK: Creation

    /// Makes the namespace of a container to be, and returns its path. Nothing is left when it throws.
    package func prepare(_ container: PreparedContainer) async throws -> String {
        let (store, token) = (store, container.token)
        try check(container)
        do {
            try await threads.runIfActive {
                try store.save(container)
                _ = try store.makeNamespace(token: token)
            }
        } catch {
            await discard(token: token)
            throw error
        }
        known[token] = container
        since[token] = .now
        return store.namespacePath(token: token)
    }

    /// The engine created the container.
    package func created(token: String, container: SandboxID, name: String) async throws {
        guard var record = known[token] else { return }
        record.container = container
        record.name = name
        try await save(record)
    }

    /// The engine did not create it, or has removed it.
    package func discard(token: String) async {
        let store = store
        try? await detach(token: token)
        known[token] = nil
        since[token] = nil
        stoppedSince[token] = nil
        do {
            try await threads.runIfActive {
                try store.removeNamespace(token: token)
                try store.remove(token: token)
            }
        } catch {
            logger.error("a container's network namespace is left", metadata: ["token": "\(token)", "error": "\(error)"])
        }
    }

    private func check(_ container: PreparedContainer) throws(PreparedContainerError) {
        guard let port = container.ports.first else { return }
        guard container.attachments.isEmpty else { return }
        throw .noWayOut(port.protocol, port.containerPort)
    }

    // MARK: Life

    /// Runs what makes the engine start a container, with everything in place before. What does not run then is undone by the
    /// next `observe`.
    package func starting<Value: Sendable>(_ token: String, _ body: @Sendable () async throws -> Value) async throws -> Value {
        holds[token, default: 0] += 1
        defer {
            let left = (holds[token] ?? 1) - 1
            holds[token] = left > 0 ? left : nil
        }
        try await attach(token: token)
        return try await body()
    }

    /// What the engine says of a container, now.
    package func observe(_ container: SandboxID, name: String, _ state: State) async {
        guard var record = record(of: container) else { return }
        let token = record.token
        if record.name != name {
            record.name = name
            try? await save(record)
        }
        switch state {
        case .running:
            stoppedSince[token] = nil
            do {
                try await attach(token: token)
                try await rename(token: token, isRunning: true)
            } catch {
                logger.warning("a container is not on its networks", metadata: ["name": "\(name)", "reason": "\(error)"])
            }
        case .stopped(let isFinal):
            guard holds[token] == nil else { return }
            let first = stoppedSince[token] ?? .now
            stoppedSince[token] = first
            if isFinal || ContinuousClock.now - first >= Self.patience {
                try? await detach(token: token)
            } else {
                try? await rename(token: token, isRunning: false)
            }
        }
    }

    /// It was stopped on request: the engine will not start it again by itself, whatever its policy.
    package func ended(_ container: SandboxID) async {
        guard let record = record(of: container), stoppedSince[record.token] != nil, holds[record.token] == nil else { return }
        try? await detach(token: record.token)
    }

    /// The engine has it no more.
    package func gone(_ container: SandboxID) async {
        guard let record = record(of: container) else { return }
        await discard(token: record.token)
    }

    /// All containers that the engine has: records of others go. `asOf`: before the engine was asked.
    package func found(_ containers: Set<SandboxID>, asOf: ContinuousClock.Instant) async {
        for record in records where (since[record.token] ?? .now) < asOf && holds[record.token] == nil {
            // One without an id was about to be created when weftd ended; its container would have been found by now.
            if let container = record.container, containers.contains(container) { continue }
            await discard(token: record.token)
        }
    }

    // MARK: Networks

    /// Connects a container to one more network, at once if it runs.
    package func connect(
        _ token: String, _ attachment: InterfaceSpec, networkName: String, isRunning: Bool
    ) async throws {
        guard var record = known[token] else { return }
        let former = record
        if let index = record.attachments.firstIndex(where: { $0.endpoint.network == attachment.endpoint.network }) {
            // Of a container that does not run, what is said last counts, as with Docker.
            guard !isRunning else {
                throw PreparedContainerError.alreadyConnected(name: record.name, network: networkName)
            }
            var replaced = attachment
            replaced.interface = record.attachments[index].interface
            record.attachments[index] = replaced
        } else {
            record.attachments.append(attachment)
        }
        try await save(record)
        guard isRunning else { return }
        do { try await attach(token: token) } catch {
            try await save(former)
            throw error
        }
    }

    package func disconnect(_ token: String, network: NetworkID, networkName: String) async throws {
        guard var record = known[token] else { return }
        guard let attachment = record.attachments.first(where: { $0.endpoint.network == network }) else {
            throw PreparedContainerError.notConnected(name: record.name, network: networkName)
        }
        if let container = record.container {
            try await attachments.detach(container, interface: attachment.interface)
        }
        record.attachments.removeAll { $0.endpoint.network == network }
        try await save(record)
        if !record.published.isEmpty { try await publishPorts(of: token) }
    }

    /// The endpoints that a container has now, by network.
    package func endpoints(of container: SandboxID) async -> [Endpoint] {
        (try? await agent?.read { machine in machine.ownEndpoints.filter { $0.sandbox == container } }) ?? []
    }

    // MARK: Parts

    private func queued(_ token: String, _ body: @escaping @Sendable () async throws -> Void) async throws {
        let before = queues[token]
        let task = Task { () -> Result<Void, any Error> in
            await before?.value
            do { return .success(try await body()) } catch { return .failure(error) }
        }
        queues[token] = Task { _ = await task.value }
        try await task.value.get()
    }

    /// Makes whatever is missing of a container's endpoints and ports. Nothing of what it made is left when it throws.
    private func attach(token: String) async throws { try await queued(token) { try await self.attachAll(token) } }

    private func attachAll(_ token: String) async throws {
        guard let record = known[token], let container = record.container else { return }
        let store = store
        _ = try await threads.runIfActive { try store.makeNamespace(token: token) }
        var made: [String] = []
        do {
            for attachment in record.attachments where try await !isInPlace(attachment, of: container) {
                var endpoint = attachment.endpoint
                endpoint.name = record.name
                endpoint.aliases = record.aliases(on: attachment.endpoint)
                let wanted = NamespaceAttachmentRequest(
                    sandbox: container, namespacePath: store.namespacePath(token: token), interface: attachment.interface,
                    endpoint: endpoint, owner: Self.owner)
                _ = try await attachments.attach(wanted)
                made.append(attachment.interface)
            }
            if !record.ports.isEmpty, record.published.isEmpty || !made.isEmpty { try await publishPorts(of: token) }
        } catch {
            for interface in made { try? await attachments.detach(container, interface: interface) }
            throw error
        }
    }

    private func isInPlace(_ attachment: InterfaceSpec, of container: SandboxID) async throws -> Bool {
        guard let present = try? await attachments.record(container, interface: attachment.interface),
            present.network == attachment.endpoint.network
        else { return false }
        return try await attachments.endpoint(of: present) != nil
    }

    private func detach(token: String) async throws { try await queued(token) { try await self.detachAll(token) } }

    private func detachAll(_ token: String) async throws {
        guard var record = known[token], let container = record.container else { return }
        for attachment in record.attachments {
            try await attachments.detach(container, interface: attachment.interface)
        }
        guard !record.published.isEmpty else { return }
        record.published = []
        try await save(record)
        await publish()
    }

    /// A container that does not run has no name.
    private func rename(token: String, isRunning: Bool) async throws {
        guard let record = known[token], let container = record.container, let agent else { return }
        for endpoint in await endpoints(of: container) {
            guard let attachment = record.attachments.first(where: { $0.endpoint.network == endpoint.network }) else { continue }
            try await agent.rename(
                endpoint.id, sandbox: container, name: isRunning ? record.name : "",
                aliases: isRunning ? record.aliases(on: attachment.endpoint) : [])
        }
    }

    private func save(_ record: PreparedContainer) async throws {
        known[record.token] = record
        let store = store
        try await threads.runIfActive { try store.save(record) }
    }

    // MARK: Ports

    /// Chooses the host's ports of a container anew, and publishes them by its first network that reaches the outside.
    private func publishPorts(of token: String) async throws {
        guard var record = known[token], let container = record.container, let agent else { return }
        let internals = Set(try await agent.read { $0.networks.filter(\.spec.isInternal).map(\.id) })
        let endpoints = await endpoints(of: container)
        let target = record.attachments.lazy.filter { !internals.contains($0.endpoint.network) }
            .compactMap { attachment in endpoints.first { $0.network == attachment.endpoint.network } }.first
        var published: [PublishedPort] = []
        let others = known.values.filter { $0.token != token }.flatMap(\.published)
        let former = record.published
        if let target {
            for wanted in record.ports {
                if let kept = former.first(where: { $0.wanted == wanted }) {
                    published.append(PublishedPort(wanted: wanted, hostPort: kept.hostPort, target: target.ipv4))
                    continue
                }
                let taken = Set(
                    (others + published).filter { other in
                        PublishedPort(wanted: wanted, hostPort: other.hostPort, target: target.ipv4).collides(with: other)
                    }.map(\.hostPort))
                let ports = ports
                guard let port = try await threads.runIfActive({ try ports.freePort(for: wanted, taken: taken) }) else {
                    throw PreparedContainerError.portTaken(wanted)
                }
                published.append(PublishedPort(wanted: wanted, hostPort: port, target: target.ipv4))
            }
        } else if let port = record.ports.first, former.isEmpty {
            throw PreparedContainerError.noWayOut(port.protocol, port.containerPort)
        }
        record.published = published
        try await save(record)
        do { try await publishAll() } catch {
            record.published = former
            try await save(record)
            throw error
        }
    }

    /// Brings the host's rules to what is on record.
    private func publishAll() async throws {
        guard let agent else { return }
        let all = records.flatMap(\.published)
        let targets = Set(all.map(\.target))
        let containers = Set(known.values.filter { !$0.published.isEmpty }.compactMap(\.container))
        let ports = ports
        let interfaces = try await agent.read { machine in
            Set(machine.ownEndpoints.filter { containers.contains($0.sandbox) && targets.contains($0.ipv4) }.map(\.id))
        }
        try await threads.runIfActive { try ports.publish(all, interfaces: interfaces) }
    }

    private func publish() async {
        do { try await publishAll() } catch {
            logger.error("published ports are not as they should be", metadata: ["error": "\(error)"])
        }
    }

    /// Puts back what others took away from the host's rules, every few seconds, until cancellation.
    package func run() async {
        while !Task.isCancelled {
            try? await Task.sleep(for: .seconds(10))
            await publish()
        }
    }
}
