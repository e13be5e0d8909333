package import WeftModel
package import WeftNet

/// How this node takes part in its swarm; the identity itself lies beside it.
package struct SavedMembership: Codable, Hashable, Sendable {
    package var isManager: Bool
    /// Where a manager listens; 0.0.0.0 for every address.
    package var listenAddress: IPv4Address
    package var listenPort: UInt16
    package var advertiseAddress: IPv4Address
    package var advertisePort: UInt16
    package var dataPathAddress: IPv4Address
    /// This node's id, which its certificate names too; not in what the first version wrote.
    package var node: NodeID?
    /// `address:port` of the managers known at the join; later ones come with the assignments.
    package var managers: [String]

    package init(
        isManager: Bool, listenAddress: IPv4Address, listenPort: UInt16, advertiseAddress: IPv4Address,
        advertisePort: UInt16, dataPathAddress: IPv4Address, node: NodeID? = nil, managers: [String]
    ) {
        self.isManager = isManager
        self.listenAddress = listenAddress
        self.listenPort = listenPort
        self.advertiseAddress = advertiseAddress
        self.advertisePort = advertisePort
        self.dataPathAddress = dataPathAddress
        self.node = node
        self.managers = managers
    }
}
