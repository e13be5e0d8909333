import Logging
import WeftAPI
import WeftAgent
import WeftEngine
import WeftHTTP
import WeftKernel
import WeftModel
import WeftNet

/// What the engine's watcher asks and tells of.
extension Daemon: EngineObserver {
    func swarmNetworks() async -> [Network]? {
        if member != nil {
            // A swarm has its ingress network at least: a node that knows of none has not been told yet.
            let networks = await clusterNetworks()
            return networks.isEmpty ? nil : networks
        }
        // A swarm that cannot be taken part in for now may be needed again.
        return startFailure == nil && !isChanging ? [] : nil
    }

    nonisolated func now() -> Instant { Host.steadyNow() }

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
        guard let resolver = member?.resolver else { return }
        await names.serve(container, process: process, key: namespaceKey, endpoints: endpoints, by: resolver)
        let own = KernelDatapath.resolverAddress.description
        // A loopback address would be the container's, which weftd does not ask in.
        resolver.use(
            upstreams: servers.filter { $0 != own }.compactMap { IPv4Address($0) }.filter { !$0.isLoopback }, of: container)
    }

    func engineContainerRemoved(_ container: SandboxID) async { member?.agent.containerGone(container) }

    func engineContainerLeft(_ container: SandboxID) async {
        forgetRefusedNames(of: container)
        member?.resolver.use(upstreams: [], of: container)
        await names.end(container)
    }

    func engineContainers(_ all: Set<SandboxID>) async { await names.endAll(but: all) }

    /// What stood for the swarm's networks is of no use any more. One that a container is still on stays until it is not.
    func forgetNetworks() async {
        await askedFor { [engine] in try? await engine.shadows.collect(keeping: []) }
    }

    /// Containers on overlays reach the outside by a bridge that is there from the start. Without an engine there is nothing to do.
    func prepareEngine() async { await askedFor { await self.ensureGatewayBridge() } }

    /// What an operator's request has the engine do. It goes on by itself when the engine takes long, and the request is answered.
    private func askedFor(_ body: @escaping @Sendable () async -> Void) async {
        let silence = EngineError.silent(path: engine.client.socketPath)
        do { try await limited(to: engine.patience, cancels: false, late: silence, body) } catch {
            logger.warning("\(silence)")
        }
    }

    private func ensureGatewayBridge() async {
        do {
            guard try await engine.kind() == .docker else { return }
            try await engine.engine.ensureGatewayBridge()
        } catch EngineError.absent {} catch {
            logger.warning("the engine makes no \(Engine.gatewayBridge)", metadata: ["reason": "\(error)"])
        }
    }
}
