import NIOPosix
import WeftAPI
import WeftAgent
import WeftDatapath
import WeftKernel
import WeftLinux
import WeftMembership
import WeftModel
import WeftNet
import WeftNode
import WeftWire

/// Interfaces in network namespaces that others made.
struct NamespaceVerbs: NamespaceBackend {
    let membership: NodeMembership<Member>
    let attachments: AttachmentKeeper
    let threads: NIOThreadPool
    private var member: Member? { membership.member }

    func namespaceAttachments() async throws -> [NamespaceAttachment] {
        var result: [NamespaceAttachment] = []
        for record in try await attachments.records { result.append(try await attachment(record)) }
        return result
    }

    func namespaceAttach(_ request: NamespaceAttachmentRequest) async throws -> NamespaceAttachment {
        try await attachment(try await attachments.attach(request))
    }

    /// Looks into the namespace too.
    func namespaceAttachment(_ sandbox: SandboxID, interface: String) async throws -> NamespaceAttachment {
        var attachment = try await attachment(try await attachments.record(sandbox, interface: interface))
        let seen = attachment
        attachment.problem = try await threads.runIfActive { Self.problem(with: seen) }
        return attachment
    }

    func namespaceDetach(_ sandbox: SandboxID, interface: String) async throws {
        try await attachments.detach(sandbox, interface: interface)
    }

    private func attachment(_ record: AttachmentRecord) async throws -> NamespaceAttachment {
        var attachment = NamespaceAttachment(
            sandbox: record.sandbox, interface: record.interface, namespacePath: record.namespacePath,
            network: record.network, owner: record.owner)
        guard let member,
            let endpoint = record.endpoint,
            let network = try await member.agent.read({ $0.network(record.network) })
        else { return attachment }
        attachment.endpoint = EndpointSummary(endpoint, on: network)
        attachment.hostInterface = hostInterfaceName(endpoint.id)
        let routes = member.reconciler.routes(of: endpoint.id)
        attachment.hasDefaultRoute = routes?.isDefault == true
        attachment.nameserver = routes?.toResolver == true ? KernelDatapath.resolverAddress : nil
        return attachment
    }

    /// What the namespace holds against what was promised.
    private static func problem(with attachment: NamespaceAttachment) -> String {
        guard let endpoint = attachment.endpoint?.endpoint else {
            return "its network or this node's membership in the swarm has ended"
        }
        do {
            let inside = try NetlinkSocket.open(in: NetworkNamespace(path: attachment.namespacePath))
            guard let link = try inside.link(named: attachment.interface) else {
                return "there is no interface \(attachment.interface) in \(attachment.namespacePath)"
            }
            guard link.isUp else { return "the interface \(attachment.interface) is down" }
            guard link.mac == endpoint.mac else { return "\(attachment.interface) does not have the address \(endpoint.mac)" }
            let addresses = try inside.dump(.dumpAddresses(), "list addresses") { AddressMessage($0) }
            guard addresses.contains(where: { $0.interface == link.index && $0.address == endpoint.ipv4 }) else {
                return "\(attachment.interface) does not have the address \(endpoint.ipv4)"
            }
            if let ipv6 = endpoint.ipv6 {
                let addresses = try inside.dump(.dumpIPv6Addresses(), "list IPv6 addresses") { IPv6AddressMessage($0) }
                guard addresses.contains(where: { $0.interface == link.index && $0.address == ipv6 }) else {
                    return "\(attachment.interface) does not have the address \(ipv6)"
                }
            }
            return ""
        } catch {
            return "\(error)"
        }
    }
}
