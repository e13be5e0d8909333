import WeftControl
import WeftCrypto
import WeftModel
import WeftNode

/// The keeper of a host's keys in weftd's memory: which keys it would have, without any bytes of them.
struct SimKeys {
    private(set) var ring: KeyRing
    /// The newest news that the keeper has not taken yet.
    var news: KeyNews?
    private var members: Set<NodeID> = []
    /// Each life has its own, as every start of weftd makes its keys anew.
    private var random: SeededGenerator

    init(node: NodeID, seed: UInt64) {
        ring = KeyRing(node: node)
        random = SeededGenerator(seed: seed)
    }

    /// Takes the news in, and returns what the agent is to say of it.
    mutating func takeNews(now: Instant) -> [NodeInput] {
        guard let news else { return [] }
        self.news = nil
        var told: [NodeInput] = []
        for gone in members.subtracting(news.peers.keys).sorted() { handle(.removed(gone), now: now, &told) }
        members = Set(news.peers.keys)
        for statement in news.statements where statement.node == ring.node || members.contains(statement.node) {
            handle(.statement(statement.node, statement.statement, statement.version), now: now, &told)
        }
        for readiness in news.readinesses where readiness.id == ring.node || members.contains(readiness.id) {
            handle(.readiness(readiness.id, readiness.readiness, readiness.version), now: now, &told)
        }
        if news.isNeeded { handle(.epoch(news.epoch), now: now, &told) }
        handle(.heard(through: news.heard), now: now, &told)
        return told
    }

    mutating func tick(now: Instant) -> [NodeInput] {
        var told: [NodeInput] = []
        handle(.tick, now: now, &told)
        return told
    }

    private mutating func handle(_ input: KeyRing.Input, now: Instant, _ told: inout [NodeInput]) {
        for action in ring.handle(input, now: now - Instant(nanoseconds: 0)) {
            switch action {
            case .make(let epoch):
                let (high, low) = (UInt128(random.next()), UInt128(random.next()))
                handle(.made(StatementID(epoch: epoch, incarnation: high << 64 | low)), now: now, &told)
            case .publish(let id):
                told.append(
                    .keysStated(
                        SignedStatement(node: ring.node, statement: id, signedBytes: [0], signature: [0], certificatesPEM: "[node]")))
            case .tell(let readiness): told.append(.keysReady(readiness))
            case .install: handle(.installed, now: now, &told)
            case .forget: break
            }
        }
    }
}

extension SimCluster {
    /// The keeper takes the news, and the ring goes on with time.
    func keepKeys(_ index: Int, _ body: (inout SimKeys) -> [NodeInput]) throws {
        let life = nodes[index].life
        for input in body(&nodes[index].keys) where nodes[index].life == life { try feed(index, input) }
    }
}

extension Checker {
    /// What two nodes that send each other something encrypted must have: a key of the sender's that the receiver has too.
    static func keyDifference(in cluster: SimCluster, _ manager: Replica) -> String? {
        guard manager.networks.contains(where: { $0.spec.isEncrypted }) else { return nil }
        let nodes = cluster.nodes.filter { !$0.isGone }
        for sender in nodes {
            for receiver in nodes where receiver.id != sender.id {
                let names = "\(sender.description.hostname) to \(receiver.description.hostname)"
                guard let pair = sender.keys.ring.associations.outbound[receiver.id] else { return "there is no key from \(names)" }
                let mirrored = KeyRing.Pair(mine: pair.theirs, theirs: pair.mine)
                guard receiver.keys.ring.associations.inbound[sender.id]?.contains(mirrored) ?? false else {
                    return "the key from \(names) is not known there"
                }
            }
        }
        return nil
    }
}
