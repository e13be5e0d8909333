package import WeftModel
package import WeftNet

/// The host, as `/info` and `/version` show it.
package struct HostInformation: Hashable, Sendable {
    package var description: NodeDescription
    /// `PRETTY_NAME` of os-release.
    package var operatingSystem: String
    /// `VERSION_ID` of os-release, empty when there is none.
    package var operatingSystemVersion: String
    /// `uname -r`.
    package var kernelVersion: String
    /// weftd's state directory.
    package var stateDirectory: String

    package init(
        description: NodeDescription, operatingSystem: String, operatingSystemVersion: String = "",
        kernelVersion: String, stateDirectory: String
    ) {
        self.description = description
        self.operatingSystem = operatingSystem
        self.operatingSystemVersion = operatingSystemVersion
        self.kernelVersion = kernelVersion
        self.stateDirectory = stateDirectory
    }
}

/// Whether a node is in a swarm, and as what.
package struct SwarmStanding: Hashable, Sendable {
    package var membership: SwarmState.Membership
    package var nodeID: NodeID?
    package var isManager: Bool

    package init(membership: SwarmState.Membership, nodeID: NodeID? = nil, isManager: Bool = false) {
        self.membership = membership
        self.nodeID = nodeID
        self.isManager = isManager
    }
}

/// What a node knows of its own membership.
package struct SwarmState: Hashable, Sendable {
    /// Docker's words; `pending` while a join is under way, `error` when the session cannot be opened for good,
    /// `locked` on a manager that waits for the unlock key.
    package enum Membership: String, Hashable, Sendable { case inactive, pending, active, error, locked }

    package var membership: Membership
    /// Why, when `membership` is `error`; or why the last attempt to reach a manager failed.
    package var error = ""
    package var nodeID: NodeID?
    /// This node's advertised address.
    package var nodeAddress: IPv4Address?
    package var isManager = false
    /// The manager whose controllers run, as far as known.
    package var leader: NodeID?
    /// `address:2377` of all managers, by node.
    package var managers: [ManagerAddress] = []
    /// Present on managers.
    package var cluster: Cluster?
    /// Present on managers.
    package var joinTokens: JoinTokens?
    /// Present inside a swarm.
    package var trust: TrustInformation?

    package init(membership: Membership) { self.membership = membership }

    package init(_ standing: SwarmStanding) {
        membership = standing.membership
        nodeID = standing.nodeID
        isManager = standing.isManager
    }

    package static let outside = SwarmState(membership: .inactive)

    package var standing: SwarmStanding {
        SwarmStanding(membership: membership, nodeID: nodeID, isManager: isManager)
    }
}

package struct ManagerAddress: Hashable, Sendable {
    package let node: NodeID
    /// `address:port`.
    package let address: String
    package init(node: NodeID, address: String) {
        self.node = node
        self.address = address
    }
}

/// Both tokens as the operator types them, `SWMTKN-1-…`.
package struct JoinTokens: Hashable, Sendable {
    package let worker: Secret
    package let manager: Secret
    package init(worker: Secret, manager: Secret) {
        self.worker = worker
        self.manager = manager
    }
}

/// An address of this host: given itself, or by the interface that holds it.
package enum HostAddress: Hashable, Sendable {
    case address(IPv4Address)
    /// The interface's first IPv4 address; the backend looks it up and refuses an unknown name.
    case interface(String)
}

/// `POST /swarm/init`.
package struct SwarmInitRequest: Hashable, Sendable {
    /// Nil: every address.
    package var listenAddress: HostAddress?
    package var listenPort: UInt16 = 2377
    /// Nil: the host's only address; with several, refuse and name them.
    package var advertiseAddress: HostAddress?
    package var advertisePort: UInt16 = 2377
    /// Nil: the advertised one.
    package var dataPathAddress: HostAddress?
    package var availability = NodeAvailability.active
    package var spec = ClusterSpec()
    /// Nil: the swarm makes its own root.
    package var signingCA: SigningCA?
    package init() {}
}

/// A root of the operator's own, with its key.
package struct SigningCA: Hashable, Sendable {
    package let certificatePEM: String
    package let keyPEM: Secret
    package init(certificatePEM: String, keyPEM: Secret) {
        self.certificatePEM = certificatePEM
        self.keyPEM = keyPEM
    }
}

/// What an update of the swarm replaces besides its spec.
package struct SwarmRotation: Hashable, Sendable {
    package var tokens: Set<JoinTokenKind> = []
    package var unlockKey = false
    /// The data path's keys.
    package var keys = false
    /// Nil: a new root is made if the spec's `rootGeneration` is another than before.
    package var signingCA: SigningCA?
    package init() {}
}

/// `POST /swarm/join`.
package struct SwarmJoinRequest: Hashable, Sendable {
    /// Nil: every address.
    package var listenAddress: HostAddress?
    package var listenPort: UInt16 = 2377
    /// Nil: the address from which the manager is reached.
    package var advertiseAddress: HostAddress?
    package var advertisePort: UInt16 = 2377
    /// Nil: the advertised one.
    package var dataPathAddress: HostAddress?
    /// Managers to try, in the order given; at least one.
    package var remotes: [Remote]
    package var token: Secret
    package var availability = NodeAvailability.active

    /// A manager's address or DNS name, and port.
    package struct Remote: Hashable, Sendable {
        package let host: String
        package let port: UInt16
        package init(host: String, port: UInt16) {
            self.host = host
            self.port = port
        }
    }

    package init(remotes: [Remote], token: Secret) {
        self.remotes = remotes
        self.token = token
    }
}

/// What a node knows of the swarm's networks.
package struct ClusterSnapshot: Hashable, Sendable {
    package var networks: [Network] = []
    /// Endpoints of all nodes.
    package var endpoints: [Endpoint] = []
    /// All nodes, this one among them.
    package var peers: [Peer] = []
    package init() {}
}
