package import WeftModel
package import WeftNet

/// What the keeper of the data path's keys is to know (docs/design/keys.md).
package struct KeyNews: Hashable, Sendable {
    package var cluster: ClusterID
    /// The swarm's.
    package var epoch: UInt64
    /// An encrypted network is known. Without one there is nothing to make keys for.
    package var isNeeded: Bool
    /// Of all nodes, this one included, in the order in which the store took them.
    package var statements: [SignedStatement]
    package var readinesses: [KeyReadiness]
    /// The other nodes with their data-path addresses. Who is not among them is no peer, or none yet.
    package var peers: [NodeID: IPv4Address]
    /// The way to each of them.
    package var paths: [NodeID: UnderlayPath]
    /// All that the store took up to this version is in here.
    package var heard: Version

    package init(
        cluster: ClusterID, epoch: UInt64, isNeeded: Bool, statements: [SignedStatement] = [], readinesses: [KeyReadiness] = [],
        peers: [NodeID: IPv4Address] = [:], paths: [NodeID: UnderlayPath] = [:], heard: Version
    ) {
        self.cluster = cluster
        self.epoch = epoch
        self.isNeeded = isNeeded
        self.statements = statements
        self.readinesses = readinesses
        self.peers = peers
        self.paths = paths
        self.heard = heard
    }
}

extension NodeMachine {
    /// What this node says of its own keys: the newest of each is said until the manager has it.
    struct OwnKeys: Hashable, Sendable {
        var stated: SignedStatement?
        var ready: Readiness?
    }

    /// Nil while nothing is known of the swarm. After a start it is what was saved, of which nobody is told by `keysChanged`.
    package var keyNews: KeyNews? {
        guard let cluster = view.cluster else { return nil }
        var peers: [NodeID: IPv4Address] = [:]
        var paths: [NodeID: UnderlayPath] = [:]
        let mtu = nodeDescription.underlayMTU ?? .ethernet
        for peer in view.peers.values where peer.id != id {
            peers[peer.id] = peer.dataPathAddress
            paths[peer.id] = UnderlayPath(mtu: min(mtu, peer.underlayMTU ?? mtu), isUp: peer.state == .ready)
        }
        return KeyNews(
            cluster: cluster.id, epoch: cluster.keyEpoch, isNeeded: view.isEncrypting,
            statements: view.tables[SignedStatement.self].values.sorted { ($0.version, $0.id) < ($1.version, $1.id) },
            readinesses: view.tables[KeyReadiness.self].values.sorted { ($0.version, $0.id) < ($1.version, $1.id) },
            peers: peers, paths: paths, heard: view.appliedRevision)
    }

    mutating func keysStated(_ statement: SignedStatement) {
        ownKeys.stated = statement
        // What was said of former keys is of no use to anybody.
        ownKeys.ready = nil
        if session == .synchronised { send(.keysStated(statement)) }
    }

    mutating func keysReady(_ readiness: Readiness) {
        ownKeys.ready = readiness
        if session == .synchronised { send(.keysReady(readiness)) }
    }

    /// A session has begun: what was said in the one before may be lost.
    mutating func tellKeys() {
        if let stated = ownKeys.stated, !(view.tables[SignedStatement.self][stated.id]?.isSame(as: stated) ?? false) {
            send(.keysStated(stated))
        }
        if let ready = ownKeys.ready, view.tables[KeyReadiness.self][id]?.readiness != ready { send(.keysReady(ready)) }
    }

    /// Whether `keyNews` is different with these, but for `isNeeded` and `heard`. Asked before they are laid over the view.
    func concernsKeys(_ assignments: Assignments) -> Bool {
        func isMoved(_ peer: Peer) -> Bool {
            guard peer.id != id, let known = view.peers[peer.id] else { return peer.id != id }
            return known.dataPathAddress != peer.dataPathAddress || known.underlayMTU != peer.underlayMTU
                || (known.state == .ready) != (peer.state == .ready)
        }
        return assignments.isFull || assignments.cluster.map { $0.keyEpoch != view.cluster?.keyEpoch } ?? false
            || !assignments[SignedStatement.self].isEmpty || !assignments[KeyReadiness.self].isEmpty
            || !assignments.removedPeers.isEmpty || assignments.peers.contains(where: isMoved)
    }
}

extension ManagerView {
    /// Whether an encrypted network is known.
    var isEncrypting: Bool { networks.values.contains { $0.spec.isEncrypted } }
}
