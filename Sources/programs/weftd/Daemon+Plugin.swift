import Logging
import WeftAgent
import WeftDatapath
import WeftMembership
import WeftModel
import WeftNet
import WeftNode
import WeftPlugin

/// What the engine's driver asks of this node. Without a swarm, what makes something is refused at once, and what takes
/// something away succeeds: there is nothing.
struct EngineDriver: PluginBackend {
    let membership: NodeMembership<Member>
    let names: ContainerNames
    let starts: ContainerStarts
    let logger: Logger
    private var member: Member? { membership.member }

    /// How long to wait for the news of a network that a manager made just now.
    private static let newsTime: Duration = .seconds(3)

    private var pluginMember: Member {
        get throws {
            let standing = membership.standing
            guard let member = standing.member else {
                throw PluginError(
                    standing.failure
                        ?? "this node is not part of a swarm of Weft's: use `weft swarm init` or `weft swarm join` first")
            }
            return member
        }
    }

    func network(_ reference: String, isNew: Bool) async throws -> Network {
        let clock = ContinuousClock()
        let end = clock.now + Self.newsTime
        while true {
            let found = try await pluginMember.agent.read { machine -> Result<Network, AttachError> in
                do throws(AttachError) { return .success(try machine.network(matching: reference)) } catch {
                    return .failure(error)
                }
            }
            switch found {
            case .success(let network): return network
            case .failure(.networkNotFound) where isNew && clock.now < end:
                try await Task.sleep(for: .milliseconds(20))
            case .failure(let error): throw error
            }
        }
    }

    func reserve(_ subnet: SubnetID, _ address: IPAddress?) async throws -> IPAddress {
        let starting = starts.underWay
        return try await pluginMember.agent.reserveAddress(
            subnet, address, for: starting.isEmpty ? .unknown : .among(starting))
    }

    func freeMAC(for ipv4: IPv4Address, on network: NetworkID) async throws -> MACAddress {
        try await pluginMember.agent.read { $0.freeMAC(for: ipv4, on: network) }
    }

    func release(_ network: NetworkID, _ address: IPAddress) async {
        member?.agent.releaseAddress(network, address)
    }

    func attach(_ id: EndpointID, _ endpoint: EndpointSpec, sandboxKey: String) async throws -> String {
        // All endpoints of a container have the key in common; what container it is the engine tells later.
        let sandbox = sandboxKey.isEmpty ? id.rawValue : ContainerNames.key(ofPath: sandboxKey)
        _ = try await pluginMember.agent.attachEngine(
            EngineAttachment(id: id, endpoint, sandbox: SandboxID(sandbox)))
        await names.join(id, path: sandboxKey, by: try pluginMember.doors)
        return engineInterfaceName(id)
    }

    func detach(_ id: EndpointID) async {
        await names.leave(id)
        do {
            try await member?.agent.detach(id)
        } catch AttachError.endpointNotFound {
            // Gone already, as it should be.
        } catch {
            logger.error(
                "an endpoint that the engine removed is left", metadata: ["endpoint": "\(id)", "error": "\(error)"])
        }
    }
}
