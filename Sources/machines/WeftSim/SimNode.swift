import WeftControl
import WeftDatapath
import WeftModel
import WeftNet
import WeftNode

/// One host: its agent, what its disk holds, and its kernel. Disk, sandboxes and kernel outlive the agent.
struct SimNode {
    let id: NodeID
    var description: NodeDescription
    let vtep: IPv4Address
    /// Nil while weftd is down.
    var agent: NodeMachine?
    var disk = SavedNode()
    /// The stream as this end sees it.
    var session: SessionID?
    /// Roots it trusts, and the one its certificate is from: on disk as soon as it has them.
    var roots: [String]
    var issuer: String
    /// Interfaces in sandboxes.
    var interfaces: [EndpointID: Endpoint] = [:]
    var sandboxes: Set<SandboxID> = []
    /// What the data path forwards by; nil until something was applied.
    var forwarding: DesiredState?
    /// Requests that have no reply yet.
    var requests: Set<RequestID> = []
    /// What the engine asked for and has no endpoint for yet, by the request.
    var promises: [RequestID: Promise] = [:]
    /// Addresses for an endpoint to come; an engine asks for one after the other.
    struct Promise {
        let network: NetworkID
        var ipv4: IPv4Address?
        var ipv6: IPv6Address?
        /// A request for one of them is under way.
        var isWaiting = true
    }
    /// Counts the starts of weftd: what an earlier one had planned is void.
    var life = 0
    var isGone = false
}

extension SimNode {
    /// Writes what is not on disk yet, as weftd does.
    mutating func save(own: Bool, view: Bool) {
        if own, let change = agent?.takeOwnChange() { disk.apply(change) }
        if view, let change = agent?.takeViewChange() { disk.apply(change) }
    }

    /// What the data path of a node should be, by what somebody knows of the swarm.
    static func desired(
        _ id: NodeID, vtep: IPv4Address, own: [Endpoint], networks: [Network], endpoints: [Endpoint], peers: [Peer]
    ) -> DesiredState {
        var interfaces: [SandboxID: Int] = [:]
        var attachments: [SandboxAttachment] = []
        for endpoint in own.sorted(by: { $0.id < $1.id }) {
            let number = interfaces[endpoint.sandbox, default: 0]
            interfaces[endpoint.sandbox] = number + 1
            attachments.append(
                SandboxAttachment(endpoint: endpoint, namespacePath: endpoint.sandbox.rawValue, interfaceNumber: number)
            )
        }
        return compile(
            NodeView(
                node: id, host: HostConfiguration(dataPathAddress: vtep), underlayMTU: .ethernet,
                attachments: attachments,
                networks: networks, peers: peers, endpoints: endpoints))
    }
}
