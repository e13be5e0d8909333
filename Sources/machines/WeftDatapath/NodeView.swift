package import WeftModel
package import WeftNet

/// What a node knows that its data plane is made from. Order does not matter.
package struct NodeView: Hashable, Sendable {
    package var node: NodeID
    package var host: HostConfiguration
    /// The MTU of the interface that leads to the other nodes.
    package var underlayMTU: MTU
    package var attachments: [SandboxAttachment]
    package var networks: [Network]
    package var peers: [Peer]
    /// Endpoints of all nodes; the node's own among them are ignored in favour of `attachments`.
    package var endpoints: [Endpoint]
    package var services: [ServiceView]

    package init(
        node: NodeID, host: HostConfiguration, underlayMTU: MTU, attachments: [SandboxAttachment] = [],
        networks: [Network] = [], peers: [Peer] = [], endpoints: [Endpoint] = [], services: [ServiceView] = []
    ) {
        self.node = node
        self.host = host
        self.underlayMTU = underlayMTU
        self.attachments = attachments
        self.networks = networks
        self.peers = peers
        self.endpoints = endpoints
        self.services = services
    }
}

/// How this host takes part in the tunnels.
package struct HostConfiguration: Hashable, Sendable {
    /// This node's VTEP.
    package var dataPathAddress: IPv4Address
    /// UDP port of VXLAN on every node.
    package var dataPathPort: UInt16
    /// The VTEPs of all nodes of the swarm: nobody but Weft is to send to that port of theirs.
    package var vteps: Set<IPv4Address>
    /// The swarm has an encrypted network: there is a device for what encrypts, and its port is kept from others too.
    package var encrypts = false

    package init(dataPathAddress: IPv4Address, dataPathPort: UInt16 = Constants.dataPathPort, vteps: Set<IPv4Address> = []) {
        self.dataPathAddress = dataPathAddress
        self.dataPathPort = dataPathPort
        self.vteps = vteps
    }

    /// Whether only the nodes of the swarm are others, or whether any network is encrypted.
    func isSameBut(vtepsOf other: HostConfiguration) -> Bool {
        dataPathAddress == other.dataPathAddress && dataPathPort == other.dataPathPort
    }
}

/// An endpoint of this node and the sandbox it belongs into.
package struct SandboxAttachment: Hashable, Sendable {
    package var endpoint: Endpoint
    package var placement: EndpointPlacement
    /// n of `ethn`, unique in the sandbox; also the order in which networks are asked for a default route.
    package var interfaceNumber: Int
    /// Nil: `ethn`.
    package var interfaceName: String?
    /// Whether the sandbox may reach the outside by this endpoint, if its network has a way out.
    package var takesDefaultRoute = true

    /// - Parameter namespacePath: the sandbox's network namespace: `/proc/1234/ns/net`.
    package init(
        endpoint: Endpoint, namespacePath: String, interfaceNumber: Int, interfaceName: String? = nil,
        takesDefaultRoute: Bool = true
    ) {
        self.interfaceName = interfaceName
        self.takesDefaultRoute = takesDefaultRoute
        self.endpoint = endpoint
        self.placement = .namespace(path: namespacePath)
        self.interfaceNumber = interfaceNumber
    }

    /// The node's own endpoint on the ingress network.
    package init(host endpoint: Endpoint) {
        self.endpoint = endpoint
        self.placement = .host
        self.interfaceNumber = 0
    }

    /// An endpoint of a container engine. `isNew`: the engine waits for it to be made.
    package init(engine endpoint: Endpoint, isNew: Bool) {
        self.endpoint = endpoint
        self.placement = .engine(isNew: isNew)
        self.interfaceNumber = 0
    }
}
