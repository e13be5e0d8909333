package import WeftModel
package import WeftNet

/// Ties a command to its reply; the shell draws it.
package struct CommandID: Hashable, Sendable, Comparable {
    package let rawValue: UInt64
    package init(_ rawValue: UInt64) { self.rawValue = rawValue }
    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// One connection of one node; the shell draws it, and never twice.
package struct SessionID: Hashable, Sendable, Comparable {
    package let rawValue: UInt64
    package init(_ rawValue: UInt64) { self.rawValue = rawValue }
    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// What an operator or a joining node wants done. Each gets exactly one reply.
package enum ControlCommand: Hashable, Sendable {
    /// Replies `.network`.
    case createNetwork(NetworkSpec)
    /// By id, unique beginning of an id, or name. Replies `.network`, as it was.
    case removeNetwork(String)
    /// Lets a node in whose join token was checked. Replies `.node`; again for a node that is in already.
    case admitNode(NodeID, NodeRole, NodeAvailability)
    /// Replies `.node`.
    case updateNode(NodeID, version: Version, NodeSpec)
    /// A node's routes as they are now, where something is about to be judged by them. Replies `.node`.
    case noteRoutes(NodeID, [IPv4Prefix])
    /// A node that is not down goes only with `force`. Replies `.node`, as it was.
    case removeNode(NodeID, force: Bool)
    /// Replaces the spec, then what else the update names. Replies `.cluster`.
    case updateCluster(version: Version, ClusterSpec, rotating: ClusterRotation)
    /// Replaces the secret of one role's join token. Replies `.cluster`.
    case rotateToken(NodeRole)
    /// Replies `.service`.
    case createService(ServiceSpec)
    /// Replaces the spec, or goes back to the one before: `spec` is nil then. Replies `.service`.
    case updateService(ServiceID, version: Version, ServiceSpec?)
    /// Replies `.service`, as it was.
    case removeService(ServiceID)
    /// Replies `.secret`, as those that follow.
    case createSecret(SharedFileSpec)
    /// Labels may change, and nothing else.
    case updateSecret(String, version: Version, SharedFileSpec)
    /// One that a service refers to is refused.
    case removeSecret(String)
    /// Replies `.config`, as those that follow.
    case createConfig(SharedFileSpec)
    case updateConfig(String, version: Version, SharedFileSpec)
    case removeConfig(String)
}

/// What an update of the cluster replaces besides its spec.
package struct ClusterRotation: Hashable, Sendable {
    /// Roles whose join tokens get new secrets.
    package var tokens: Set<NodeRole> = []
    /// A new unlock key, if managers are locked.
    package var unlockKey = false
    /// The data path's keys.
    package var keys = false
    /// The root that all certificates are to be from.
    package var root: RootAuthority?
    package init() {}
}

/// What happened to the manager.
package enum ControlInput: Hashable, Sendable {
    case command(CommandID, ControlCommand)
    /// A node that proved its identity opened a session, from `address` where that is known.
    case nodeConnected(NodeID, SessionID, address: IPv4Address?)
    case nodeMessage(NodeID, SessionID, NodeMessage)
    case nodeDisconnected(NodeID, SessionID)
    /// A node that proved its identity called from this address.
    case addressShown(NodeID, IPv4Address)
    /// Time passed. At least once a second keeps liveness and rests exact to the second.
    case tick
}
