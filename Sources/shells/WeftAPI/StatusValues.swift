package import WeftModel
package import WeftNet

/// `GET /weft/v1/status`: what this node does, and what it counted.
package struct NodeStatus: Hashable, Sendable {
    /// Nil outside a swarm.
    package var nodeID: NodeID?
    package var session: Session?
    package var endpoints: [EndpointCounters] = []
    /// Nil while the data plane is not attached.
    package var underlay: Underlay?
    package var peers: [Peer] = []
    /// Nil while this node has no keys to keep: it is locked, or cannot take part.
    package var encryption: KeyStanding?
    /// Why this node takes no part in its swarm, or not all of it, and what to do; empty when all is well.
    package var problem = ""
    package init() {}

    /// The stream to a manager.
    package struct Session: Hashable, Sendable {
        package var isConnected: Bool
        /// `address:port` of the manager that is, or was last, connected to.
        package var manager: String
        package var appliedRevision: Version
        /// Why the last session ended, empty while one is open.
        package var problem: String
        package init(isConnected: Bool, manager: String, appliedRevision: Version, problem: String = "") {
            self.isConnected = isConnected
            self.manager = manager
            self.problem = problem
            self.appliedRevision = appliedRevision
        }
    }

    /// An endpoint of this node. "Sent" is what its sandbox sent.
    package struct EndpointCounters: Hashable, Sendable {
        package let id: EndpointID
        package var name: String
        package var network: String
        package var ipv4: IPv4Address
        package var ipv6: IPv6Address?
        /// The host end of its veth.
        package var interface: String
        package var sentPackets: UInt64 = 0
        package var sentBytes: UInt64 = 0
        package var receivedPackets: UInt64 = 0
        package var receivedBytes: UInt64 = 0
        /// Dropped packets by the reason's name; reasons that never occurred may be left out.
        package var drops: [String: UInt64] = [:]
        /// Why the swarm does not know it, empty when all is well.
        package var problem = ""
        package init(
            id: EndpointID, name: String, network: String, ipv4: IPv4Address, ipv6: IPv6Address? = nil, interface: String
        ) {
            self.id = id
            self.name = name
            self.network = network
            self.ipv4 = ipv4
            self.ipv6 = ipv6
            self.interface = interface
        }
    }

    /// The interface that carries VXLAN.
    package struct Underlay: Hashable, Sendable {
        package var interface: String
        package var address: IPv4Address
        package var mtu: MTU
        package var port: UInt16
        /// How eBPF programs are attached here: `tcx` or `tc`.
        package var attachment: String
        /// Why services are not translated where sockets connect, but at the interface alone; empty: they are.
        package var socketsProblem: String
        /// Why ports of services are not published at this host, a sentence each.
        package var portProblems: [String] = []
        /// Packets dropped before an endpoint was known, by the reason's name.
        package var drops: [String: UInt64] = [:]
        package init(interface: String, address: IPv4Address, mtu: MTU, port: UInt16, attachment: String, socketsProblem: String = "") {
            self.interface = interface
            self.address = address
            self.mtu = mtu
            self.port = port
            self.attachment = attachment
            self.socketsProblem = socketsProblem
        }
    }
}
