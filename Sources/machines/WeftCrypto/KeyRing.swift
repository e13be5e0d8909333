// Keys of the protected data path (docs/design/keys.md): what a node states, what two nodes derive of it, and when either may use it. No
// randomness and no clock: keys are made by others, time is told.
package import WeftModel

/// Which keys a node receives and sends under, as statements come and go. The keys themselves are elsewhere: here they have names.
///
/// * Receiving comes first: a node is sent to under what it said it is ready for, and nothing else.
/// * What is old goes when nobody sends under it any more, which its peers have said, and what was on its way has come.
/// * A peer that says nothing holds up nobody: the statement before the last goes anyhow.
package struct KeyRing: Sendable {
    /// Both ends' statements, of which the two keys between the nodes are derived.
    package struct Pair: Hashable, Sendable {
        package let mine: StatementID
        package let theirs: StatementID

        package init(mine: StatementID, theirs: StatementID) {
            self.mine = mine
            self.theirs = theirs
        }
    }

    /// What the engine is to have.
    package struct Associations: Equatable, Sendable {
        package var inbound: [NodeID: Set<Pair>] = [:]
        package var outbound: [NodeID: Pair] = [:]

        package init() {}
    }

    package enum Input: Sendable {
        /// The swarm's epoch.
        case epoch(UInt64)
        /// Keys were made, and the statement signed.
        case made(StatementID)
        /// What the managers hold of a node, this one included.
        case statement(NodeID, StatementID, Version)
        case readiness(NodeID, Readiness, Version)
        case removed(NodeID)
        /// All that was told with these versions has come.
        case heard(through: Version)
        /// The engine has what `associations` says.
        case installed
        case tick
    }

    package enum Action: Equatable, Sendable {
        /// Keys are to be made for the epoch; `made` is the answer.
        case make(epoch: UInt64)
        case publish(StatementID)
        case tell(Readiness)
        /// `associations` changed; `installed` is the answer.
        case install
        /// The private key is to be overwritten.
        case forget(StatementID)
    }

    private struct Stated: Sendable {
        let id: StatementID
        let version: Version
        /// The version at which this node said that it receives under it.
        var receivedSince: Version?
    }

    private struct Own: Sendable {
        let id: StatementID
        /// Nil until the managers hold it.
        var version: Version?
        /// The version at which this node said that it is to be sent to by it.
        var readySince: Version?
    }

    private struct Peer: Sendable {
        /// Oldest first.
        var statements: [Stated] = []
        /// The newest of those that went: managers go on telling of it for a while.
        var gone = Version.none
        var readiness: Readiness?
    }

    /// What goes at a time, unless it is needed again.
    private struct Leaving: Sendable {
        let at: Duration
        /// Nil: this one.
        let node: NodeID?
        let statement: StatementID
    }

    /// Statements of a node that are kept: its present one, that before, and one more, as a node may start anew in the midst of a rotation.
    private static let kept = 3
    /// Those and the ones that packets on their way may still be under: who states anew without end holds no more.
    private static let held = 8

    /// How long packets may be on their way.
    package static let reordering = Duration.seconds(10)
    /// How long after the last news of keys everybody says again how far it has come.
    package static let quiet = Duration.seconds(5)

    package let node: NodeID
    package private(set) var associations = Associations()
    private var epoch: UInt64 = 0
    private var isMaking = false
    /// Keys of this node's, oldest first.
    private var own: [Own] = []
    private var peers: [NodeID: Peer] = [:]
    private var heard = Version.none
    /// What was heard when `install` was asked for, and what of it is in place.
    private var installing: Version?
    private var isInstallNeeded = false
    private var installed = Version.none
    /// The version at which something came that others wait for an answer to.
    private var owed = Version.none
    private var told: Readiness?
    /// When this node says again how far it has come, after something new: who waits for an answer may have heard of several of its own words
    /// at once, and waits for one to the last.
    private var repeatsAt: Duration?
    private var leaving: [Leaving] = []

    package init(node: NodeID) { self.node = node }

    package mutating func handle(_ input: Input, now: Duration) -> [Action] {
        var actions: [Action] = []
        switch input {
        case .epoch(let number): epoch = max(epoch, number)
        case .made(let id): take(own: id, &actions, now: now)
        case .statement(let node, let id, let version): state(node, id, version, now: now)
        case .readiness(let node, let readiness, let version): hear(node, readiness, version, now: now)
        case .removed(let node): if node != self.node { peers[node] = nil }
        case .heard(let version): heard = max(heard, version)
        case .installed:
            if let version = installing { installed = max(installed, version) }
            installing = nil
        case .tick: break
        }
        proceed(&actions, now: now)
        return actions
    }

    /// Whether the node has heard that it may send under this node's newest statement: what is older it uses no more.
    package func isFollowed(by node: NodeID) -> Bool {
        guard let since = own.last?.readySince, let readiness = peers[node]?.readiness else { return false }
        return readiness.through >= since
    }

    /// What this node is sent to under; nil: nothing that the managers hold.
    package var stated: StatementID? { own.last { $0.version != nil }?.id }
    /// The node has stated something.
    package func hasStatement(of node: NodeID) -> Bool { peers[node]?.statements.isEmpty == false }

    /// The next time at which something is to be done unasked.
    package var deadline: Duration? { (leaving.map(\.at) + [repeatsAt].compactMap(\.self)).min() }

    // MARK: What comes

    private mutating func take(own id: StatementID, _ actions: inout [Action], now: Duration) {
        isMaking = false
        repeatsAt = now + Self.quiet
        own.append(Own(id: id))
        actions.append(.publish(id))
        for old in own.dropLast(Self.kept) { leave(nil, old.id, now: now) }
        while own.count > Self.held { actions.append(.forget(own.removeFirst().id)) }
    }

    private mutating func state(_ node: NodeID, _ id: StatementID, _ version: Version, now: Duration) {
        guard node != self.node else {
            if let index = own.firstIndex(where: { $0.id == id }) { own[index].version = version }
            return
        }
        var peer = peers[node] ?? Peer()
        guard version > peer.gone, !peer.statements.contains(where: { $0.id == id }) else { return }
        peer.statements.append(Stated(id: id, version: version))
        if peer.statements.count > Self.held { peer.gone = max(peer.gone, peer.statements.removeFirst().version) }
        for old in peer.statements.dropLast(Self.kept) { leave(node, old.id, now: now) }
        peers[node] = peer
        owed = max(owed, version)
        repeatsAt = now + Self.quiet
    }

    private mutating func hear(_ node: NodeID, _ readiness: Readiness, _ version: Version, now: Duration) {
        guard node != self.node else {
            heardOwn(readiness, version)
            return
        }
        let before = associations.outbound[node]
        peers[node, default: Peer()].readiness = readiness
        // Who waits for this node to send otherwise is told that it does.
        if outbound(to: node) != before {
            owed = max(owed, version)
            repeatsAt = now + Self.quiet
        }
    }

    /// What this node said is in the store: who has heard as much knows it. What it said in a former life counts for nothing.
    private mutating func heardOwn(_ readiness: Readiness, _ version: Version) {
        guard let index = own.firstIndex(where: { $0.id == readiness.statement }) else { return }
        if own[index].readySince == nil { own[index].readySince = version }
        for node in peers.keys {
            for place in peers[node]?.statements.indices ?? 0..<0 {
                guard let stated = peers[node]?.statements[place], stated.receivedSince == nil, stated.version <= readiness.through else {
                    continue
                }
                peers[node]?.statements[place].receivedSince = version
            }
        }
    }

    // MARK: What follows

    private mutating func proceed(_ actions: inout [Action], now: Duration) {
        if !isMaking, epoch > 0, own.last.map({ $0.id.epoch < epoch }) ?? true {
            isMaking = true
            actions.append(.make(epoch: epoch))
        }
        retire(now: now, &actions)
        if let at = repeatsAt, at <= now {
            repeatsAt = nil
            owed = max(owed, heard)
        }
        let wanted = makeAssociations()
        if wanted != associations {
            associations = wanted
            isInstallNeeded = true
        }
        if installing == nil {
            if isInstallNeeded {
                isInstallNeeded = false
                installing = heard
                actions.append(.install)
            } else {
                installed = max(installed, heard)
            }
        }
        tell(&actions)
    }

    private func makeAssociations() -> Associations {
        var result = Associations()
        for (node, peer) in peers {
            var pairs: Set<Pair> = []
            for mine in own {
                for theirs in peer.statements { pairs.insert(Pair(mine: mine.id, theirs: theirs.id)) }
            }
            if !pairs.isEmpty { result.inbound[node] = pairs }
            result.outbound[node] = outbound(to: node)
        }
        return result
    }

    /// Under what the peer said it is ready for: its statement, and the newest of this node's that it has heard of.
    private func outbound(to node: NodeID) -> Pair? {
        guard let peer = peers[node], let readiness = peer.readiness, peer.statements.contains(where: { $0.id == readiness.statement }),
            let mine = own.last(where: { $0.version.map { $0 <= readiness.through } ?? false })
        else { return nil }
        return Pair(mine: mine.id, theirs: readiness.statement)
    }

    private mutating func tell(_ actions: inout [Action]) {
        // Only what the managers hold can be sent to.
        guard let newest = own.last(where: { $0.version != nil }), installing == nil, installed >= heard else { return }
        let readiness = Readiness(statement: newest.id, through: installed)
        guard told?.statement != readiness.statement || (told?.through ?? .none) < owed else { return }
        told = readiness
        actions.append(.tell(readiness))
    }

    /// What nobody sends under any more goes a while later.
    private mutating func retire(now: Duration, _ actions: inout [Action]) {
        if own.count > 1, let since = own.last?.readySince, !peers.isEmpty,
            peers.values.allSatisfy({ $0.statements.isEmpty || ($0.readiness?.through ?? .none) >= since })
        {
            for old in own.dropLast() { leave(nil, old.id, now: now) }
        }
        for (node, peer) in peers where peer.statements.count > 1 {
            guard let since = peer.statements.last?.receivedSince, let readiness = peer.readiness, readiness.through >= since else {
                continue
            }
            for old in peer.statements.dropLast() { leave(node, old.id, now: now) }
        }
        for one in leaving where one.at <= now {
            if let node = one.node {
                guard var peer = peers[node] else { continue }
                for gone in peer.statements where gone.id == one.statement { peer.gone = max(peer.gone, gone.version) }
                peer.statements.removeAll { $0.id == one.statement }
                peers[node] = peer
            } else if own.contains(where: { $0.id == one.statement }) {
                own.removeAll { $0.id == one.statement }
                actions.append(.forget(one.statement))
            }
        }
        leaving.removeAll { $0.at <= now }
    }

    private mutating func leave(_ node: NodeID?, _ statement: StatementID, now: Duration) {
        guard !leaving.contains(where: { $0.node == node && $0.statement == statement }) else { return }
        leaving.append(Leaving(at: now + Self.reordering, node: node, statement: statement))
    }
}
