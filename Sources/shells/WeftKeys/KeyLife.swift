import Crypto
import WeftCrypto
import WeftModel
import WeftNet
import WeftTunnelWire

/// What a node has of keys since it last made all of them anew: the ring, the private keys, and what of both is in the tunnel.
struct KeyLife {
    /// The key of a statement of this node's. Its memory is overwritten when nobody has it any more.
    struct Own {
        let key: Curve25519.KeyAgreement.PrivateKey
        let statement: KeyStatement
    }

    var ring: KeyRing
    var own: [StatementID: Own] = [:]
    /// What this node's statements are signed with.
    var certificatePEM = ""
    /// Statements of others that were looked at and taken. Of two nodes they may be called the same.
    var taken: [NodeID: [StatementID: KeyStatement]] = [:]
    /// What the ring was told of: statements by their ids, readinesses by their nodes.
    var told: Set<String> = []
    var heard: [NodeID: Version] = [:]
    /// Nodes that the ring was told of, and where packets to them go.
    var nodes: [NodeID: IPv4Address] = [:]
    /// What is in the tunnel.
    var inbound: [NodeID: [KeyRing.Pair: UInt32]] = [:]
    var outbound: [NodeID: KeyRing.Pair] = [:]
    /// Under none of these may be sent again once it was sent under another: the numbers would begin anew.
    var used: Set<KeyRing.Pair> = []

    init(node: NodeID) { ring = KeyRing(node: node) }

    /// The keys between this node and another.
    func keys(with node: NodeID, _ pair: KeyRing.Pair) throws -> TrafficKeys {
        guard let own = own[pair.mine], let theirs = taken[node]?[pair.theirs] else { throw NoKeys(node: node) }
        return try TrafficKeys(own.key, mine: own.statement, theirs: theirs)
    }

    /// Forgets what nobody speaks of any more.
    mutating func prune(keeping statements: Set<String>) {
        told.formIntersection(statements)
        for (node, known) in taken {
            let used = Set((ring.associations.inbound[node] ?? []).map(\.theirs))
            taken[node] = known.filter { used.contains($0.key) || statements.contains(SignedStatement.id(node, $0.key)) }
        }
        used = used.filter { own[$0.mine] != nil }
    }
}

/// A pair of statements of which one is not here.
struct NoKeys: Error, CustomStringConvertible {
    let node: NodeID
    var description: String { "keys with node \(node) are wanted whose statements are not here" }
}

/// What is in the tunnel and of no life that goes on: a former weftd's, or from before the keys were made anew. Peers use it until they
/// know of what came after.
struct KeyLeftovers {
    struct Inbound {
        let spi: UInt32
        let address: IPv4Address
        /// Nil when it is a former weftd's: who had the address then.
        let node: NodeID?
        /// When it goes.
        var until: Duration?
    }

    var inbound: [Inbound] = []
    /// Peers that are sent to.
    var outbound: Set<IPv4Address> = []

    /// Kept of all peers together, and of one peer at least. Each of this node's starts leaves one for every statement of a peer's.
    private static let keptMax = 4096
    private static let perPeerMin = 16

    init() {}

    init(_ status: TunnelStatus) {
        // Where there are too many, what nothing ever came under goes first.
        inbound = status.inbound.sorted { $0.highestSequence < $1.highestSequence }.map {
            Inbound(spi: $0.spi, address: IPv4Address(rawValue: $0.peer), node: nil)
        }
        outbound = Set(status.outbound.map { IPv4Address(rawValue: $0.peer) })
    }

    /// What a life leaves behind.
    mutating func add(_ life: KeyLife) {
        for (node, pairs) in life.inbound {
            guard let address = life.nodes[node] else { continue }
            inbound += pairs.values.sorted().map { Inbound(spi: $0, address: address, node: node) }
        }
        outbound.formUnion(life.outbound.keys.compactMap { life.nodes[$0] })
    }
}

extension KeyLife {
    /// Keys as they never were.
    static func make(_ epoch: UInt64, _ cluster: ClusterID, _ node: NodeID, port: UInt16) -> (StatementID, Own) {
        let key = Curve25519.KeyAgreement.PrivateKey()
        let id = StatementID(epoch: epoch, incarnation: UInt128.random(in: 0...UInt128.max))
        let statement = KeyStatement(
            cluster: cluster, node: node, id: id, publicKey: Array(key.publicKey.rawRepresentation), port: port)
        return (id, Own(key: key, statement: statement))
    }
}

extension KeyLeftovers {
    /// What comes under these is refused from now on: packets of removed nodes at once, others when their peers have heard of something newer and
    /// what was on its way has come.
    mutating func due(
        _ nodes: [IPv4Address: NodeID], peers: [NodeID: IPv4Address], isFollowed: (NodeID) -> Bool, now: Duration
    ) -> [UInt32] {
        var due: [UInt32] = []
        var count: [IPv4Address: Int] = [:]
        let perPeer = max(Self.perPeerMin, Self.keptMax / max(1, peers.count))
        // Of more the latest stay.
        for index in inbound.indices.reversed() {
            let one = inbound[index]
            count[one.address, default: 0] += 1
            guard let node = one.node ?? nodes[one.address], peers[node] == one.address, count[one.address, default: 0] <= perPeer,
                one.until.map({ $0 > now }) ?? true
            else {
                due.append(one.spi)
                continue
            }
            if one.until == nil, isFollowed(node) { inbound[index].until = now + KeyRing.reordering }
        }
        return due
    }
}
