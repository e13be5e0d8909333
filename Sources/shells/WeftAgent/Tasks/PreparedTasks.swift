package import WeftEngine
package import WeftModel
package import WeftNet
import WeftNode

/// Containers of tasks in namespaces that weftd prepares, for an engine that takes no network driver. What is attached to them, when it
/// goes, and what of them is on record, is the business of workloads as for every such container.
package struct PreparedTasks: Sendable {
    private let containers: ContainerKeeper
    private let follower: ContainerFollower
    /// The servers that a container is to have asked for what is not the swarm's.
    private let useServers: @Sendable ([IPv4Address], SandboxID) -> Void

    package init(
        containers: ContainerKeeper, follower: ContainerFollower,
        useServers: @escaping @Sendable ([IPv4Address], SandboxID) -> Void
    ) {
        self.containers = containers
        self.follower = follower
        self.useServers = useServers
    }

    /// Prepares the namespace of a task's container, at whose path `create` has the container made, and returns its id. When it throws,
    /// no namespace is left.
    func make(_ order: TaskOrder, hostname: String, _ create: (String) async throws -> String) async throws -> String {
        var generator = SystemRandomNumberGenerator()
        let container = PreparedContainer(
            token: String(SandboxID.random(using: &generator).rawValue.prefix(32)), name: order.task.name,
            hostname: Endpoint.isName(hostname) ? hostname : nil,
            attachments: order.endpoints.enumerated().map { InterfaceSpec($1, interface: "eth\($0)") },
            ports: order.task.ports.filter { $0.mode == .host }.compactMap(WantedPort.init),
            upstreams: order.task.spec.container.dns.nameservers.compactMap { IPv4Address($0) }
                .filter { !$0.isLoopback && $0 != Constants.resolver })
        let path = try await containers.prepare(container)
        do {
            let id = SandboxID(try await create(path))
            try await containers.created(token: container.token, container: id, name: order.task.name)
            if !container.upstreams.isEmpty { useServers(container.upstreams, id) }
            return id.rawValue
        } catch {
            try? await containers.discard(token: container.token)
            throw error
        }
    }

    /// Runs what has a container start, with its endpoints in place before.
    func starting(_ container: String, _ body: @escaping @Sendable () async throws -> Void) async throws {
        guard let record = try await containers.record(of: SandboxID(container)) else { return try await body() }
        do {
            try await containers.starting(record.token) {
                try await body()
                // Before the endpoints may go again: a look from before the start counts no more.
                await follower.look(at: container)
            }
        } catch {
            await follower.look(at: container)
            throw error
        }
    }

    /// Returns once what the engine says of the container is true of its endpoints.
    func settle(_ container: String) async { await follower.look(at: container) }

    /// The engine has it no more.
    func gone(_ container: String) async throws {
        useServers([], SandboxID(container))
        try await containers.gone(SandboxID(container))
    }

    /// Those that are published at this host, each with its number.
    func ports(of container: String) async throws -> [PortConfig] {
        try await containers.record(of: SandboxID(container))?.published.map(PortConfig.init) ?? []
    }
}

extension WantedPort {
    init?(_ port: PortConfig) {
        guard let transport = PortProtocol(rawValue: port.transport.rawValue) else { return nil }
        self.init(
            protocol: transport, containerPort: port.target,
            hostPorts: port.published > 0 ? port.published...port.published : nil)
    }
}

extension PortConfig {
    init(_ port: PublishedPort) {
        self.init(target: port.wanted.containerPort)
        transport = Transport(rawValue: port.wanted.protocol.rawValue) ?? .tcp
        mode = .host
        published = port.hostPort
    }
}
