package import Logging
import Synchronization
package import WeftModel

/// What the watcher asks and tells of.
package protocol EngineObserver: Sendable {
    /// The swarm's networks as this node knows them, none outside a swarm; nil when it cannot tell.
    func swarmNetworks() async -> [Network]?
    /// The wall clock.
    func now() -> Instant
    /// All endpoints that the engine has on the swarm's networks, read after `asOf`.
    func engineEndpoints(_ all: Set<EndpointID>, asOf: Instant) async
    /// An endpoint that the engine made is the container's, which has these names there.
    func engineEndpoint(_ endpoint: EndpointID, of container: SandboxID, name: String, aliases: [String]) async
    /// A container on the swarm's networks runs as `process`, with these endpoints there, and is to ask these servers. Comes before its
    /// endpoints' names. `namespaceKey`: what the engine calls its network namespace.
    func engineContainer(
        _ container: SandboxID, process: Int32, namespaceKey: String, endpoints: [EndpointID], servers: [String]
    ) async
    /// A container that the engine just started, on whatever networks, with its labels among what the engine says of it.
    func engineContainerStarted(_ container: String, attributes: [String: String]) async
    /// A container that was removed.
    func engineContainerRemoved(_ container: SandboxID) async
    /// A container that runs no more, or is on none of the swarm's networks.
    func engineContainerLeft(_ container: SandboxID) async
    /// All containers that are on the swarm's networks.
    func engineContainers(_ all: Set<SandboxID>) async
}

/// Follows the engine: its containers' names go to the agent, networks that nobody uses go. A full look at every start of the
/// engine's stream, then its events; a look in between for what no event tells.
package struct EngineWatcher: Sendable {
    private let local: LocalEngine
    private let containers: ContainerFollower
    private let observer: any EngineObserver
    private let logger: Logger
    private var engine: Engine { local.engine }
    private var shadows: ShadowNetworks { local.shadows }

    /// Until an engine that is away is asked again. Short: names of containers that start with it come only then.
    private static let retry = Duration.milliseconds(200)
    private static let round = Duration.seconds(15)

    package init(
        engine: LocalEngine, containers: ContainerFollower, observer: any EngineObserver, logger: Logger
    ) {
        local = engine
        self.containers = containers
        self.observer = observer
        self.logger = logger
    }

    /// Runs until the task is cancelled.
    package func run() async {
        await withTaskGroup { group in
            group.addTask { await follow() }
            group.addTask {
                while !Task.isCancelled {
                    try? await Task.sleep(for: Self.round)
                    if local.knownKind?.joining == .byNamespace { await containers.look() } else { await collect() }
                }
            }
        }
    }

    private func follow() async {
        var wasThere = true
        while !Task.isCancelled {
            do {
                let kind = try await local.askKind()
                wasThere = true
                logger.info(
                    "following the container engine",
                    metadata: ["socket": "\(engine.client.socketPath)", "engine": "\(kind.rawValue)"])
                switch kind.joining {
                case .byDriver: try await followNetworks()
                case .byNamespace: try await followContainers()
                }
            } catch is CancellationError {
                return
            } catch {
                if wasThere { logger.notice("the container engine cannot be followed", metadata: ["reason": "\(error)"]) }
                wasThere = false
            }
            try? await Task.sleep(for: Self.retry)
        }
    }

    private func followNetworks() async throws {
        try await withThrowingDiscardingTaskGroup { group in
            try await engine.events {
                group.addTask { await lookAround() }
            } each: { event in
                group.addTask { await handle(event) }
                group.addTask { await tellStart(event) }
            }
        }
    }

    /// podman's stream has no head before its first event. What happens between the look and the stream's start is found by the
    /// next round.
    private func followContainers() async throws {
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { await containers.lookAround() }
            try await engine.events {
            } each: { event in
                group.addTask { await containers.handle(event) }
                group.addTask { await tellStart(event) }
            }
        }
    }

    // MARK: What happens

    private func tellStart(_ event: EngineEvent) async {
        guard event.Type == "container", event.Action == "start" else { return }
        await observer.engineContainerStarted(event.Actor.ID, attributes: event.Actor.Attributes ?? [:])
    }

    private func handle(_ event: EngineEvent) async {
        switch (event.Type, event.Action) {
        case ("network", "connect"):
            guard event.Actor.Attributes?["type"] == "weft", let container = event.Actor.Attributes?["container"] else {
                return
            }
            // While the container starts, the engine answers only once that is over: so its names come when it can be reached.
            await look(at: container)
        case ("container", "start"), ("container", "rename"): await look(at: event.Actor.ID)
        case ("container", "die"): await observer.engineContainerLeft(SandboxID(event.Actor.ID))
        case ("container", "destroy"):
            await observer.engineContainerRemoved(SandboxID(event.Actor.ID))
            await collect()
        case ("network", "disconnect"):
            if event.Actor.Attributes?["type"] == "weft", let container = event.Actor.Attributes?["container"] {
                await look(at: container)
            }
            await collect()
        default: break
        }
    }

    private func lookAround() async {
        if await observer.swarmNetworks()?.isEmpty == false {
            do { try await engine.ensureGatewayBridge() } catch {
                logger.warning("the engine makes no \(Engine.gatewayBridge)", metadata: ["reason": "\(error)"])
            }
        }
        await collect()
        let containers = await takeStock()
        await observer.engineContainers(Set(containers.map { SandboxID($0) }))
        for container in containers.sorted() { await look(at: container) }
    }

    /// Tells which endpoints the engine has, and returns their containers. A container's own record is behind while it starts,
    /// the network's is not.
    @discardableResult
    private func takeStock() async -> Set<String> {
        let asOf = observer.now()
        var endpoints: Set<EndpointID> = []
        var containers: Set<String> = []
        do {
            for shadow in try await engine.shadows() {
                // One that is gone by now has none.
                for (container, attached) in try await engine.network(shadow.Id)?.Containers ?? [:] {
                    endpoints.insert(EndpointID(attached.EndpointID))
                    containers.insert(container)
                }
            }
            await observer.engineEndpoints(endpoints, asOf: asOf)
        } catch is CancellationError {
        } catch {
            logger.warning("the engine's endpoints cannot be listed", metadata: ["reason": "\(error)"])
        }
        return containers
    }

    /// Reads a container, and tells the names of all its endpoints.
    private func look(at id: String) async {
        guard let container = try? await engine.container(id) else { return }
        let name = container.Name.drop { $0 == "/" }
        var attachments: [EngineContainer.Attachment] = []
        for attachment in container.NetworkSettings.Networks?.values.sorted(by: { $0.EndpointID < $1.EndpointID }) ?? []
        where !attachment.EndpointID.isEmpty {
            if await shadows.identity(of: attachment.NetworkID) != nil { attachments.append(attachment) }
        }
        if let process = container.process, !attachments.isEmpty {
            await observer.engineContainer(
                SandboxID(container.Id), process: process, namespaceKey: container.namespaceKey,
                endpoints: attachments.map { EndpointID($0.EndpointID) }, servers: container.HostConfig?.Dns ?? [])
        } else {
            await observer.engineContainerLeft(SandboxID(container.Id))
        }
        for attachment in attachments {
            var aliases = attachment.Aliases ?? []
            if let hostname = container.Config?.Hostname, !hostname.isEmpty { aliases.append(hostname) }
            await tell(attachment.EndpointID, container: container.Id, name: String(name), aliases: aliases)
        }
    }

    private func tell(_ endpoint: String, container: String, name: String, aliases: [String]) async {
        var seen: Set = [name]
        let all = (aliases + [String(container.prefix(12))]).filter { seen.insert($0).inserted }
        await observer.engineEndpoint(
            EndpointID(endpoint), of: SandboxID(container), name: name, aliases: all)
    }

    private func collect() async {
        guard let networks = await observer.swarmNetworks() else { return }
        do {
            try await shadows.collect(keeping: networks)
        } catch EngineError.absent {
        } catch is CancellationError {
        } catch {
            logger.warning("the engine's networks cannot be looked after", metadata: ["reason": "\(error)"])
        }
    }
}
