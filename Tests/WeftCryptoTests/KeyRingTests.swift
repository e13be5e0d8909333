import TestSupport
import Testing
import WeftCrypto
import WeftModel

/// A swarm of key rings: managers that give versions, nodes that hear late, engines that take their time, packets on their way.
private struct Swarm {
    enum Message {
        case epoch(UInt64)
        case statement(NodeID, StatementID)
        case readiness(NodeID, Readiness)
        case removed(NodeID)
    }

    struct Node {
        var ring: KeyRing
        /// Which of its statements it has the private key of: since its last start.
        var keys: Set<StatementID> = []
        /// All it ever made since then.
        var made: Set<StatementID> = []
        var engine = KeyRing.Associations()
        /// What the engine will have, and when.
        var installing: (KeyRing.Associations, at: Int)?
        /// How far it has been told, and when it hears again.
        var position = 0
        var hearsAt = 0
    }

    struct Packet {
        let from: NodeID, to: NodeID
        let pair: KeyRing.Pair
        let at: Int
    }

    var random: SplitMix
    var now = 0
    var log: [Message] = []
    var nodes: [NodeID: Node] = [:]
    var outages = false
    var merges = false
    var packets: [Packet] = []
    var epoch: UInt64 = 1
    var lost = 0
    var delivered = 0
    var everMade: Set<StatementID> = []

    init(seed: UInt64, count: Int) {
        random = SplitMix(state: seed)
        log.append(.epoch(1))
        for index in 0..<count { start(NodeID("node\(index)")) }
    }

    var time: Duration { .milliseconds(now * 100) }

    mutating func start(_ id: NodeID) { nodes[id] = Node(ring: KeyRing(node: id), hearsAt: now) }

    mutating func handle(_ id: NodeID, _ input: KeyRing.Input) {
        guard var node = nodes[id] else { return }
        let actions = node.ring.handle(input, now: time)
        nodes[id] = node
        for action in actions {
            switch action {
            case .make(let epoch):
                let made = StatementID(epoch: epoch, incarnation: UInt128(random.next()) << 64 | UInt128(random.next()))
                #expect(everMade.insert(made).inserted)
                nodes[id]?.keys.insert(made)
                nodes[id]?.made.insert(made)
                handle(id, .made(made))
            case .publish(let statement): log.append(.statement(id, statement))
            case .tell(let readiness): log.append(.readiness(id, readiness))
            case .install:
                let associations = node.ring.associations
                nodes[id]?.installing = (associations, at: now + Int.random(in: 0...10, using: &random))
            case .forget(let statement): nodes[id]?.keys.remove(statement)
            }
        }
    }

    mutating func step(traffic: Bool = true) {
        now += 1
        for id in nodes.keys.sorted() {
            if let (associations, at) = nodes[id]?.installing, at <= now {
                nodes[id]?.installing = nil
                nodes[id]?.engine = associations
                handle(id, .installed)
            }
            listen(id)
            handle(id, .tick)
        }
        for packet in packets where packet.at <= now { arrive(packet) }
        packets.removeAll { $0.at <= now }
        guard traffic else { return }
        for from in nodes.keys.sorted() {
            // In an order, so that a seed is always the same run.
            for (to, pair) in (nodes[from]?.engine.outbound ?? [:]).sorted(by: { $0.key < $1.key }) where nodes[to] != nil {
                packets.append(Packet(from: from, to: to, pair: pair, at: now + Int.random(in: 0...20, using: &random)))
            }
        }
    }

    private mutating func listen(_ id: NodeID) {
        guard let node = nodes[id], node.hearsAt <= now else { return }
        var end = node.position
        while end < log.count, merges || Int.random(in: 0..<4, using: &random) != 0 { end += 1 }
        if merges { nodes[id]?.hearsAt = now + Int.random(in: 1...10, using: &random) }
        var position = node.position
        while position < end {
            defer { position += 1 }
            if merges, isSuperseded(position, before: end) { continue }
            let version = Version(Int64(position + 1))
            switch log[position] {
            case .epoch(let epoch): handle(id, .epoch(epoch))
            case .statement(let from, let statement): handle(id, .statement(from, statement, version))
            case .readiness(let from, let readiness): handle(id, .readiness(from, readiness, version))
            case .removed(let gone): handle(id, .removed(gone))
            }
        }
        nodes[id]?.position = position
        handle(id, .heard(through: Version(Int64(position))))
        if outages, Int.random(in: 0..<200, using: &random) == 0 { nodes[id]?.hearsAt = now + 600 }
    }

    /// A new session: all is told again, with the versions it had, what went of itself included.
    mutating func tellAgain() {
        for id in nodes.keys.sorted() {
            for (index, message) in log.enumerated() {
                let version = Version(Int64(index + 1))
                if case .statement(let from, let statement) = message { handle(id, .statement(from, statement, version)) }
                if case .readiness(let from, let readiness) = message, !isSuperseded(index, before: log.count) {
                    handle(id, .readiness(from, readiness, version))
                }
            }
            handle(id, .heard(through: Version(Int64(log.count))))
        }
    }

    /// Managers keep a node's newest readiness: who hears of several at once hears of the last alone.
    private func isSuperseded(_ position: Int, before end: Int) -> Bool {
        guard case .readiness(let node, _) = log[position] else { return false }
        return log[(position + 1)..<end].contains { if case .readiness(node, _) = $0 { true } else { false } }
    }

    private mutating func arrive(_ packet: Packet) {
        // What a removed node sent is to be refused.
        guard let receiver = nodes[packet.to], nodes[packet.from] != nil else { return }
        // Keys from before the receiver's last start are nowhere any more, and nobody can help it.
        guard receiver.made.contains(packet.pair.theirs) else { return }
        let pair = KeyRing.Pair(mine: packet.pair.theirs, theirs: packet.pair.mine)
        if receiver.engine.inbound[packet.from]?.contains(pair) == true { delivered += 1 } else { lost += 1 }
    }

    /// Everybody sends to everybody under the newest.
    var isSettled: Bool {
        nodes.allSatisfy { id, node in
            nodes.keys.allSatisfy { other in
                guard other != id else { return true }
                guard let pair = node.engine.outbound[other] else { return false }
                return pair.mine.epoch == epoch && pair.theirs.epoch == epoch && nodes[other]?.keys.contains(pair.theirs) == true
                    && node.keys.contains(pair.mine)
            }
        }
    }

    /// Nobody has more than it needs: one key in each direction to each of the others.
    var isTidy: Bool {
        nodes.values.allSatisfy { node in node.keys.count == 1 && node.engine.inbound.values.allSatisfy { $0.count == 1 } }
    }

    mutating func settle(_ limit: Int = 5000, until done: (Swarm) -> Bool) -> Bool {
        for _ in 0..<limit {
            if done(self) { return true }
            step()
        }
        return false
    }
}

@Suite("Keys come and go without a packet lost")
struct KeyRingTests {
    @Test("Rotations under traffic, with nodes that hear late", arguments: 0..<12)
    func rotations(seed: UInt64) {
        var swarm = Swarm(seed: seed, count: 4)
        swarm.outages = seed % 2 == 1
        swarm.merges = seed % 3 > 0
        let began = swarm.settle(until: \.isSettled)
        #expect(began)
        for _ in 0..<4 {
            swarm.epoch += 1
            swarm.log.append(.epoch(swarm.epoch))
            let isSettled = swarm.settle(until: \.isSettled)
            #expect(isSettled)
            #expect(swarm.lost == 0)
            for _ in 0..<Int.random(in: 0...200, using: &swarm.random) { swarm.step() }
        }
        let isTidy = swarm.settle(until: \.isTidy)
        #expect(isTidy)
        #expect(swarm.lost == 0)
        #expect(swarm.delivered > 1000)
    }

    @Test("Nothing is said without end", arguments: 0..<4)
    func quiet(seed: UInt64) {
        var swarm = Swarm(seed: seed, count: 5)
        let isSettled = swarm.settle { $0.isSettled && $0.isTidy }
        #expect(isSettled)
        for _ in 0..<300 { swarm.step(traffic: false) }
        let said = swarm.log.count
        for _ in 0..<2000 { swarm.step(traffic: false) }
        #expect(swarm.log.count == said)
        // A statement and a few words of each.
        #expect(said <= 1 + 5 * 12)
    }

    @Test("What went does not come again because managers still tell of it", arguments: 0..<4)
    func toldAgain(seed: UInt64) {
        var swarm = Swarm(seed: seed, count: 3)
        swarm.epoch = 2
        swarm.log.append(.epoch(2))
        let isSettled = swarm.settle { $0.isSettled && $0.isTidy }
        #expect(isSettled)
        for _ in 0..<300 { swarm.step(traffic: false) }
        let said = swarm.log.count
        for _ in 0..<5 {
            swarm.tellAgain()
            for _ in 0..<300 { swarm.step(traffic: false) }
        }
        #expect(swarm.log.count == said)
        #expect(swarm.isTidy)
    }

    @Test("A node that starts anew has keys that never were, and is reached again", arguments: 0..<40)
    func restarts(seed: UInt64) {
        var swarm = Swarm(seed: seed, count: 4)
        swarm.merges = seed % 2 == 1
        _ = swarm.settle(until: \.isSettled)
        for turn in 0..<4 {
            swarm.start(NodeID("node\(turn)"))
            if turn == 2 {
                // In the middle of a rotation.
                swarm.epoch += 1
                swarm.log.append(.epoch(swarm.epoch))
            }
            for _ in 0..<Int(seed) { swarm.step() }
            let isSettled = swarm.settle(until: \.isSettled)
            #expect(isSettled)
        }
        #expect(swarm.lost == 0)
        let isTidy = swarm.settle(until: \.isTidy)
        #expect(isTidy)
    }

    @Test("A removed node is neither sent to nor taken from, and holds up nobody", arguments: 0..<4)
    func removal(seed: UInt64) {
        var swarm = Swarm(seed: seed, count: 4)
        _ = swarm.settle(until: \.isSettled)
        let gone = NodeID("node3")
        swarm.nodes[gone] = nil
        swarm.log.append(.removed(gone))
        swarm.epoch += 1
        swarm.log.append(.epoch(swarm.epoch))
        let isSettled = swarm.settle { $0.isSettled && $0.isTidy }
        #expect(isSettled)
        for node in swarm.nodes.values {
            #expect(node.engine.inbound[gone] == nil)
            #expect(node.engine.outbound[gone] == nil)
        }
        #expect(swarm.lost == 0)
    }

    @Test("Nobody sends to a node before it said that it can receive")
    func readyFirst() {
        var ring = KeyRing(node: NodeID("a"))
        let mine = StatementID(epoch: 1, incarnation: 1)
        let theirs = StatementID(epoch: 1, incarnation: 2)
        #expect(ring.handle(.epoch(1), now: .zero) == [.make(epoch: 1)])
        #expect(ring.handle(.made(mine), now: .zero) == [.publish(mine)])
        _ = ring.handle(.statement(NodeID("a"), mine, Version(3)), now: .zero)
        _ = ring.handle(.statement(NodeID("b"), theirs, Version(4)), now: .zero)
        #expect(ring.associations.inbound == [NodeID("b"): [KeyRing.Pair(mine: mine, theirs: theirs)]])
        #expect(ring.associations.outbound.isEmpty)
        // Of what was before this node's statement.
        _ = ring.handle(.readiness(NodeID("b"), Readiness(statement: theirs, through: Version(2)), Version(5)), now: .zero)
        #expect(ring.associations.outbound.isEmpty)
        _ = ring.handle(.readiness(NodeID("b"), Readiness(statement: theirs, through: Version(3)), Version(6)), now: .zero)
        #expect(ring.associations.outbound == [NodeID("b"): KeyRing.Pair(mine: mine, theirs: theirs)])
        // It started anew: what it said was of its former life.
        let next = StatementID(epoch: 1, incarnation: 3)
        _ = ring.handle(.statement(NodeID("b"), next, Version(7)), now: .zero)
        #expect(ring.associations.outbound[NodeID("b")]?.theirs == theirs)
        _ = ring.handle(.readiness(NodeID("b"), Readiness(statement: next, through: Version(7)), Version(8)), now: .zero)
        #expect(ring.associations.outbound[NodeID("b")]?.theirs == next)
    }
}
