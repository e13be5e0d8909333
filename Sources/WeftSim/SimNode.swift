import WeftControl
import WeftModel
import WeftNet
import WeftNode

/// One host: its agent, what its disk holds, and its kernel. Disk, sandboxes and kernel outlive the agent.
struct SimNode {
    let id: NodeID
    let description: NodeDescription
    let vtep: IPv4Address
    /// Nil while weftd is down.
    var agent: NodeMachine?
    var disk = SavedNode()
    /// The stream as this end sees it.
    var session: SessionID?
    /// Interfaces in sandboxes.
    var interfaces: [EndpointID: Endpoint] = [:]
    var sandboxes: Set<SandboxID> = []
    /// What the data path forwards by: the fake of the BPF map weft_forward.
    var forwarding: ForwardingTable = [:]
    /// Requests that have no reply yet.
    var requests: Set<RequestID> = []
    /// Counts the starts of weftd: what an earlier one had planned is void.
    var life = 0
    var isGone = false
}

struct ForwardingKey: Hashable, Comparable {
    let vni: VNI
    let ipv4: IPv4Address
    static func < (left: Self, right: Self) -> Bool { (left.vni, left.ipv4) < (right.vni, right.ipv4) }
}

struct ForwardingEntry: Hashable {
    let endpoint: EndpointID
    let mac: MACAddress
    /// Nil for an endpoint of the same host.
    let vtep: IPv4Address?
}

typealias ForwardingTable = [ForwardingKey: ForwardingEntry]

/// Where packets go on `node`, by the networks, endpoints and peers that somebody knows of.
func forwardingTable(of node: NodeID, networks: [Network], endpoints: [Endpoint], peers: [Peer]) -> ForwardingTable {
    let vnis = Dictionary(networks.map { ($0.id, $0.vni) }) { first, _ in first }
    let vteps = Dictionary(peers.map { ($0.id, $0.dataPathAddress) }) { first, _ in first }
    var table: ForwardingTable = [:]
    for endpoint in endpoints {
        guard let vni = vnis[endpoint.network] else { continue }
        let vtep = endpoint.node == node ? nil : vteps[endpoint.node] ?? nil
        if endpoint.node != node, vtep == nil { continue }
        table[ForwardingKey(vni: vni, ipv4: endpoint.ipv4)] = ForwardingEntry(endpoint: endpoint.id, mac: endpoint.mac, vtep: vtep)
    }
    return table
}
