package import WeftNet

/// What every node knows of every other.
package struct Peer: AssignedValue {
    package static let kind = StoreKind("peer", rank: 20)

    package let id: NodeID
    package var hostname: String
    package var state: NodeState
    package var dataPathAddress: IPv4Address?
    /// `address:port` of a manager, nil for a worker.
    package var managerAddress: String?
    /// `NodeDescription.underlayMTU`.
    package var underlayMTU: MTU?

    package init(
        id: NodeID, hostname: String, state: NodeState, dataPathAddress: IPv4Address?, managerAddress: String?,
        underlayMTU: MTU? = nil
    ) {
        self.id = id
        self.hostname = hostname
        self.state = state
        self.dataPathAddress = dataPathAddress
        self.managerAddress = managerAddress
        self.underlayMTU = underlayMTU
    }
}

/// What a node needs of the cluster's own settings.
package struct ClusterView: AssignedValue {
    package static let kind = Cluster.kind

    package let id: ClusterID
    package var dataPathPort: UInt16
    package var heartbeatSeconds: Int64
    /// Trust roots, PEM, concatenated; the first is the one that the receiver's certificate is to be from.
    package var rootCertificatesPEM: String
    /// The epoch that nodes are to have keys of (docs/design/keys.md).
    package var keyEpoch: UInt64

    package init(id: ClusterID, dataPathPort: UInt16, heartbeatSeconds: Int64, rootCertificatesPEM: String, keyEpoch: UInt64 = 1) {
        self.id = id
        self.dataPathPort = dataPathPort
        self.heartbeatSeconds = heartbeatSeconds
        self.rootCertificatesPEM = rootCertificatesPEM
        self.keyEpoch = keyEpoch
    }

    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            id: try values.decode(ClusterID.self, forKey: .id), dataPathPort: try values.decode(UInt16.self, forKey: .dataPathPort),
            heartbeatSeconds: try values.decode(Int64.self, forKey: .heartbeatSeconds),
            rootCertificatesPEM: try values.decode(String.self, forKey: .rootCertificatesPEM),
            // Not in files of versions without keys.
            keyEpoch: try values.decodeIfPresent(UInt64.self, forKey: .keyEpoch) ?? 1)
    }
}

/// Identifies a request within one session.
package typealias RequestNumber = UInt64

/// From a node to its manager.
package enum NodeMessage: Hashable, Sendable {
    /// Opens the session. `endpoints` is the node's whole truth about its own endpoints;
    /// `appliedRevision` is where its knowledge ends, 0 for none.
    case hello(NodeDescription, dataPathAddress: IPv4Address, appliedRevision: Version, endpoints: [Endpoint])
    case heartbeat(appliedRevision: Version)
    case endpointsChanged(added: [Endpoint], removed: [EndpointID])
    /// Wants a block with at least one free address, or the one address named, which is of the subnet's family. A spare one
    /// is for later: nobody is asked to give anything back for it.
    case leaseRequest(RequestNumber, SubnetID, address: IPAddress?, isSpare: Bool = false)
    /// Gives blocks back in which no address is used or resting. `AddressLease.id` each.
    case leasesReturned([String])
    /// Answers `addressesWanted`: gives this part of one lease back. Nothing in it is used.
    case addressesReturned(RequestNumber, SubnetID, AnyIPPrefix)
    /// Answers `addressesWanted`: gives nothing back. A sentence for who wanted it.
    case addressesKept(RequestNumber, reason: String)
    /// The delta did not fit: send everything.
    case resyncRequest
    case descriptionChanged(NodeDescription)
    /// What became of tasks; after each hello of all that the node has.
    case tasksChanged([TaskReport])
    /// Wants to hear once every node has in force what this one reported before.
    case awaitsOthers(RequestNumber)
    /// The node has new keys. Who takes it in tells it to all, this node included.
    case keysStated(SignedStatement)
    /// How far the node has come with everybody's keys, told to all as well.
    case keysReady(Readiness)
    /// The operator makes this node leave.
    case leaving
}

/// From a manager to a node.
package enum ManagerMessage: Hashable, Sendable {
    case assignments(Assignments)
    /// The lease itself travels in assignments, before this.
    case leaseGranted(RequestNumber)
    /// A sentence for the user.
    case leaseRefused(RequestNumber, reason: String)
    /// Another node needs an address of the subnet, the one named or any: give it back if it is free. The number is the
    /// manager's.
    case addressesWanted(RequestNumber, SubnetID, address: IPAddress?)
    /// The swarm does not know this endpoint of the node's; a sentence.
    case endpointRefused(EndpointID, reason: String)
    /// Answers `awaitsOthers`: they have, but for those that do not answer.
    case othersFollowed(RequestNumber)
    /// The node was removed from the swarm, or its session was replaced by a newer one.
    case goodbye(reason: String)
}
