package import WeftNet

package enum NodeRole: String, Hashable, Sendable, Codable { case worker, manager }
package enum NodeAvailability: String, Hashable, Sendable, Codable { case active, pause, drain }
package enum NodeState: String, Hashable, Sendable, Codable { case unknown, down, ready, disconnected }

/// What the operator said about a node.
package struct NodeSpec: Hashable, Sendable, Codable {
    package var labels: [String: String] = [:]
    package var role: NodeRole
    package var availability: NodeAvailability = .active
    package init(role: NodeRole) { self.role = role }
}

/// Whom a node trusts, and who signed its certificate.
package struct TrustInformation: Hashable, Sendable, Codable {
    /// Root certificates, PEM, concatenated.
    package var rootsPEM: String
    package var issuer: CertificateIssuer

    package init(rootsPEM: String, issuer: CertificateIssuer) {
        self.rootsPEM = rootsPEM
        self.issuer = issuer
    }
}

/// What a node says of itself when it opens its session.
package struct NodeDescription: Hashable, Sendable, Codable {
    package var hostname: String
    /// `x86_64` or `aarch64`.
    package var architecture: String
    package var nanoCPUs: Int64
    package var memoryBytes: Int64
    /// Weft's version on that node.
    package var weftVersion: String
    /// The container engine's version, empty without one.
    package var engineVersion = ""
    /// Labels of the container engine, which placement may ask for.
    package var engineLabels: [String: String]?
    /// Routes of the host that overlay pools must not overlap, the overlay's own excluded.
    package var routes: [IPv4Prefix] = []
    package var trust: TrustInformation?
    /// Whether the node can be asked to give addresses back; nodes of versions before that cannot.
    package var returnsAddresses: Bool?
    /// The MTU of the interface that has the data-path address; nil of a node that does not tell.
    package var underlayMTU: MTU?
    /// Peers that it does not reach on the encrypted path; nil: none.
    package var pathConditions: [PathCondition]?

    package init(hostname: String, architecture: String, nanoCPUs: Int64, memoryBytes: Int64, weftVersion: String) {
        self.hostname = hostname
        self.architecture = architecture
        self.nanoCPUs = nanoCPUs
        self.memoryBytes = memoryBytes
        self.weftVersion = weftVersion
    }
}

/// A host in the swarm: what was said of it, and what was last seen of it.
package struct Node: StoredValue {
    package static let kind = StoreKind("node", rank: 20)
    package var audience: Audience { .everyNode }

    package let id: NodeID
    package var version: Version
    package let createdAt: Instant
    package var updatedAt: Instant
    package var spec: NodeSpec
    package var description: NodeDescription?
    package var state: NodeState
    /// Why it is not ready: a sentence, nil while it is.
    package var problem: String?
    /// It left the swarm, and was not removed yet: what it leased is free after a rest.
    package var hasLeft: Bool?
    /// Where managers reach this node, and what `node inspect` shows.
    package var address: IPv4Address?
    /// The VTEP: where peers send this node's VXLAN packets.
    package var dataPathAddress: IPv4Address?
    /// `address:2377` of a manager, nil for a worker.
    package var managerAddress: String?

    package init(id: NodeID, version: Version = .none, createdAt: Instant, spec: NodeSpec) {
        self.id = id
        self.version = version
        self.createdAt = createdAt
        self.updatedAt = createdAt
        self.spec = spec
        self.state = .unknown
    }
}

extension Node {
    package func assigned(to receiver: Receiver) -> Peer? { Peer(self) }
}

extension Peer {
    package init(_ node: Node) {
        self.init(
            id: node.id, hostname: node.description?.hostname ?? "", state: node.state,
            dataPathAddress: node.dataPathAddress, managerAddress: node.managerAddress,
            underlayMTU: node.description?.underlayMTU)
    }
}
