import Logging
import Synchronization
import WeftAgent
import WeftEngine
import WeftKernel
import WeftMembership
import WeftModel
import WeftNet

/// What the engine's watcher asks and tells of.
final class EngineNews: EngineObserver {
    private let membership: NodeMembership<Member>
    private let names: ContainerNames
    private let tasks: TaskKeeper
    private let logger: Logger
    /// Names of containers that were told to be none, each with its container.
    private let refusedNames = Mutex<Set<String>>([])
    private var member: Member? { membership.member }

    init(membership: NodeMembership<Member>, names: ContainerNames, tasks: TaskKeeper, logger: Logger) {
        self.membership = membership
        self.names = names
        self.tasks = tasks
        self.logger = logger
    }

    func swarmNetworks() async -> [Network]? {
        let standing = membership.standing
        if let member = standing.member {
            // A swarm has its ingress network at least: a node that knows of none has not been told yet.
            guard let networks = try? await member.networks, !networks.isEmpty else { return nil }
            return networks
        }
        // A swarm that cannot be taken part in for now may be needed again.
        return standing.failure == nil && !standing.isChanging ? [] : nil
    }

    func now() -> Instant { Host.steadyNow() }

    func engineEndpoints(_ all: Set<EndpointID>, asOf: Instant) async {
        member?.resolver.followEngine()
        member?.agent.engineEndpointsFound(all, asOf: asOf)
    }

    func engineEndpoint(
        _ endpoint: EndpointID, of container: SandboxID, name: String, aliases: [String]
    ) async {
        guard let member else { return }
        // One that DNS does not have takes none of the others with it.
        let usable = ([name] + aliases).filter(Endpoint.isName)
        for bad in [name] + aliases where !Endpoint.isName(bad) && isNew(refused: bad, of: container) {
            logger.warning(
                "a name of a container is none for DNS, and is left out",
                metadata: ["container": "\(container)", "name": "\(bad.prefix(80))", "rule": "\(Endpoint.nameRule)"])
        }
        guard let first = usable.first else { return }
        do {
            try await member.agent.rename(endpoint, sandbox: container, name: first, aliases: Array(usable.dropFirst()))
        } catch {
            // Gone already, most often; else the watcher's next look tells it again.
            logger.debug("an endpoint keeps its names", metadata: ["endpoint": "\(endpoint)", "reason": "\(error)"])
        }
    }

    func engineContainer(
        _ container: SandboxID, process: Int32, namespaceKey: String, endpoints: [EndpointID], servers: [String]
    ) async {
        guard let member else { return }
        await names.serve(container, process: process, key: namespaceKey, endpoints: endpoints, by: member.doors)
        let own = KernelDatapath.resolverAddress.description
        // A loopback address would be the container's, which weftd does not ask in.
        member.resolver.use(
            upstreams: servers.filter { $0 != own }.compactMap { IPv4Address($0) }.filter { !$0.isLoopback }, of: container)
    }

    /// True for the first time since the container left.
    private func isNew(refused name: String, of container: SandboxID) -> Bool {
        refusedNames.withLock { $0.insert("\(container) \(name)").inserted }
    }

    private func forgetRefusedNames(of container: SandboxID) {
        refusedNames.withLock { names in names = names.filter { !$0.hasPrefix("\(container) ") } }
    }

    func engineContainerRemoved(_ container: SandboxID) async { member?.agent.containerGone(container) }

    func engineContainerStarted(_ container: String, attributes: [String: String]) async {
        tasks.engineStarted(container, labels: attributes)
    }

    func engineContainerLeft(_ container: SandboxID) async {
        forgetRefusedNames(of: container)
        member?.resolver.use(upstreams: [], of: container)
        await names.end(container)
    }

    func engineContainers(_ all: Set<SandboxID>) async { await names.endAll(but: all) }
}
