import Synchronization
import TestSupport
import Testing
import WeftCrypto
import WeftIdentity
import WeftModel
import WeftNet
import WeftTunnelWire

@testable import WeftKeys

@Suite("Keys get from nodes into tunnels") struct KeyKeeperTests {
    private func make(_ count: Int) async throws -> Swarm {
        let swarm = try Swarm()
        for number in 1...count { _ = try swarm.add(number) }
        try await eventually("all pairs have keys") { swarm.isDone }
        return swarm
    }

    /// Nobody's numbers began anew under a key.
    private func check(_ swarm: Swarm) {
        for node in swarm.all { #expect(node.tunnel.state.problems == []) }
    }

    @Test("Nodes of a swarm have keys, each pair in each direction its own, and say no more then")
    func begin() async throws {
        let swarm = try await make(4)
        let materials = swarm.all.flatMap { $0.tunnel.state.outbound.values.map(\.material) }
        #expect(Set(materials).count == 12)
        try await eventually("only what is used is kept") {
            swarm.clock.advance(.seconds(1))
            return swarm.all.allSatisfy { $0.tunnel.state.inbound.count == 3 }
        }
        // Once more of each, after a quiet while.
        let before = swarm.current.said
        try await eventually("all have said how far they are") {
            swarm.clock.advance(.seconds(1))
            return swarm.current.said >= before + 4
        }
        let said = swarm.current.said
        for _ in 0..<50 {
            swarm.clock.advance(.seconds(1))
            try await Task.sleep(for: .milliseconds(2))
        }
        #expect(swarm.current.said == said)
        let standing = await swarm.all[0].standing()
        #expect(standing.problem == "")
        #expect(standing.stated == 1)
        #expect(standing.process == 1)
        #expect(standing.pairs.map(\.node) == [Swarm.id(2), Swarm.id(3), Swarm.id(4)])
        #expect(standing.pairs.allSatisfy { $0.epoch == 1 && $0.isHeard && $0.problem == "" })
        #expect(standing.counts["forged"] == UInt64(TunnelEvent.forged.rawValue))
        check(swarm)
    }

    @Test("Each pair's path is tried at its own full length, and what does not get there is told to the managers")
    func paths() async throws {
        let swarm = try Swarm()
        let narrow = try #require(MTU(1400))
        swarm.change { $0.paths[Swarm.id(2)] = UnderlayPath(mtu: narrow, isUp: true) }
        let (one, two) = (try swarm.add(1), try swarm.add(2))
        try await eventually("both pairs are ready") {
            swarm.clock.advance(.seconds(1))
            let (first, second) = (await one.standing(), await two.standing())
            return first.pairs.allSatisfy(\.isReady) && second.pairs.allSatisfy(\.isReady) && !first.pairs.isEmpty
        }
        #expect(await one.standing().pairs[0].roundTrip != nil)
        for case .probe(_, _, let length) in one.tunnel.state.asked { #expect(length == UInt16(narrow.insideESP.bytes) || length == 64) }
        let wide = UInt16(MTU.ethernet.insideESP.bytes)
        for case .probe(_, _, let length) in two.tunnel.state.asked { #expect(length == wide || length == 64) }

        one.tunnel.process?.state.withLock { $0.reach[two.address.rawValue] = 1000 }
        try await eventually("the managers know that long packets are lost") {
            swarm.clock.advance(.seconds(1))
            return swarm.current.conditions[one.id] == [PathCondition(peer: two.id, fault: .large, port: 4500, length: 1400)]
        }
        let problem = await one.standing().pairs[0].problem
        #expect(problem.contains("packets of 1400 octets are lost"))
        #expect(swarm.current.conditions[two.id] == nil)

        // What is known to be down is not complained of.
        swarm.change { $0.paths[Swarm.id(2)]?.isUp = false }
        try await eventually("nothing is told of a node that is down") {
            swarm.clock.advance(.seconds(1))
            return swarm.current.conditions[one.id] == []
        }
    }

    @Test("Without an encrypted network there is no process, and with the last one it ends")
    func needed() async throws {
        let swarm = try Swarm()
        swarm.change { $0.isNeeded = false }
        let one = try swarm.add(1)
        let two = try swarm.add(2)
        for _ in 0..<20 { try await Task.sleep(for: .milliseconds(2)) }
        #expect(one.tunnel.starts == 0)
        #expect(swarm.current.statements == [])
        swarm.change { $0.isNeeded = true }
        try await eventually("keys") { swarm.isDone }
        swarm.change { $0.isNeeded = false }
        try await eventually("no process") { one.tunnel.process == nil && two.tunnel.process == nil }
        swarm.change { $0.isNeeded = true }
        try await eventually("keys again") { swarm.isDone }
        check(swarm)
    }

    private func formerKeysGo(_ swarm: Swarm) async throws {
        try await eventually("the old ones go") {
            swarm.clock.advance(.milliseconds(50))
            #expect(swarm.isUnderstood(swarm.all))
            return swarm.all.allSatisfy { $0.tunnel.state.inbound.count == 2 }
        }
    }

    @Test("Epoch after epoch, whatever is sent is understood, and former keys go")
    func rotations() async throws {
        let swarm = try await make(3)
        for _ in 0..<4 {
            swarm.change { $0.epoch += 1 }
            try await eventually("the new epoch's keys") {
                #expect(swarm.isUnderstood(swarm.all))
                return swarm.isDone
            }
        }
        try await formerKeysGo(swarm)
        check(swarm)
    }

    @Test("A weftd that starts again goes on with the tunnel: nothing is lost, its new keys take over, the old ones go")
    func restart() async throws {
        let swarm = try await make(3)
        let one = try swarm.node(1)
        let before = Set(one.tunnel.state.inbound.keys)
        let stated = one.stated
        await one.stop()
        #expect(swarm.isUnderstood(swarm.all))
        one.start()
        try await eventually("new keys") {
            #expect(swarm.isUnderstood(swarm.all))
            return one.stated != stated && swarm.isSettled() && one.tunnel.state.outbound.count == 2
                && Set(one.tunnel.state.inbound.keys).isStrictSuperset(of: before)
        }
        try await formerKeysGo(swarm)
        #expect(one.tunnel.starts == 1)
        #expect(before.isDisjoint(with: one.tunnel.state.inbound.keys))
        check(swarm)
    }

    @Test("A tunnel that is killed is followed by another, with keys that never were")
    func killed() async throws {
        let swarm = try await make(3)
        let two = try swarm.node(2)
        for round in 1...4 {
            let stated = two.stated
            two.tunnel.kill()
            try await eventually("another process with other keys") {
                swarm.clock.advance(.milliseconds(100))
                return two.tunnel.starts == round + 1 && two.stated != stated && swarm.isSettled()
            }
        }
        two.tunnel.failOpening(3)
        two.tunnel.kill()
        try await eventually("it is said that there is none") { await two.standing().problem != "" }
        // What the killed one had counts for nothing, and it is only tried again as time passes.
        try await eventually("tried again, and that there is one") {
            swarm.clock.advance(.milliseconds(100))
            return await two.standing().problem == "" && swarm.isSettled()
        }
        check(swarm)
    }

    @Test("A removed node is refused at once, also by one that was not there when it happened")
    func removal() async throws {
        let swarm = try await make(4)
        let gone = try swarm.node(4)
        let absent = try swarm.node(1)
        await absent.stop()
        swarm.remove(gone.id)
        let rest = [try swarm.node(2), try swarm.node(3)]
        func knows(_ node: Node) -> Bool {
            let state = node.tunnel.state
            return state.outbound[gone.address.rawValue] != nil || state.inbound.values.contains { $0.peer == gone.address.rawValue }
        }
        // The clock stands still.
        try await eventually("nothing of it") { !rest.contains(where: knows) }
        #expect(knows(absent))
        absent.start()
        try await eventually("nothing of it there either") { !knows(absent) }
        try await eventually("the others go on") { swarm.isSettled(rest + [absent]) }
        check(swarm)
    }

    @Test("An SPI that is taken leads to other keys, and nothing is lost by it")
    func collision() async throws {
        let swarm = try await make(2)
        let one = try swarm.node(1)
        let stated = one.stated
        one.tunnel.process?.state.withLock { $0.refuses = 1 }
        swarm.change { $0.epoch += 1 }
        try await eventually("settled") {
            #expect(swarm.isUnderstood(swarm.all))
            swarm.clock.advance(.milliseconds(10))
            return one.stated != stated && swarm.isDone && one.tunnel.state.refuses == 0
        }
        #expect(swarm.current.statements.filter { $0.node == one.id && $0.statement.epoch == 2 }.count == 2)
        check(swarm)
    }

    @Test("With a new certificate the keys are stated anew; a new address leads to other keys")
    func renewal() async throws {
        let swarm = try await make(3)
        let one = try swarm.node(1)
        let stated = one.stated
        one.keeper?.identityChanged()
        for _ in 0..<20 { try await Task.sleep(for: .milliseconds(2)) }
        #expect(one.stated == stated)
        one.identity.replace(try Node.certified(one.id, swarm))
        one.keeper?.identityChanged()
        try await eventually("stated anew") {
            #expect(swarm.isUnderstood(swarm.all))
            return one.stated != stated && swarm.isDone
        }
        let moved = IPv4Address(rawValue: 0x0a00_0100)
        swarm.change { $0.peers[one.id] = moved }
        try await eventually("sent to where it is now") {
            swarm.clock.advance(.milliseconds(100))
            return [2, 3].allSatisfy { number in
                let state = (try? swarm.node(number))?.tunnel.state
                return state?.outbound[moved.rawValue] != nil && state?.outbound[one.address.rawValue] == nil
                    && state?.inbound.values.contains { $0.peer == one.address.rawValue } == false
            }
        }
        check(swarm)
    }

    /// What a manager that lies, or another node, could put in place of a statement.
    @Test("Statements that are not whole, or not the node's, are not taken, and it is said why")
    func forgeries() async throws {
        let swarm = try await make(2)
        let (one, two) = (try swarm.node(1), try swarm.node(2))
        let foreign = try Swarm()
        let key = [UInt8](repeating: 9, count: 32)
        func statement(
            _ epoch: UInt64 = 1, node: NodeID = two.id, cluster: ClusterID = swarm.cluster, key: [UInt8] = key
        ) -> KeyStatement {
            KeyStatement(
                cluster: cluster, node: node, id: StatementID(epoch: epoch, incarnation: UInt128.random(in: 1...UInt128.max)),
                publicKey: key,
                port: 4500)
        }
        func signed(_ statement: KeyStatement, as label: NodeID = two.id, by identity: some KeyIdentity) throws -> SignedStatement {
            let text = try identity.sign(statement.signedBytes)
            return SignedStatement(
                node: label, statement: statement.id, signedBytes: text.bytes, signature: text.signature,
                certificatesPEM: text.certificatesPEM)
        }
        let good = try signed(statement(), by: two.identity)
        var other = statement()
        other.port = 4501
        other.id = good.statement
        let expired = try swarm.authority.makeIdentity(
            node: two.id, role: .worker, cluster: swarm.cluster, lifetimeSeconds: 10, now: Instant.now + .seconds(-60))
        let stranger = try Node.certified(two.id, foreign)
        let cases: [(String, SignedStatement)] = [
            (
                "changed",
                SignedStatement(
                    node: two.id, statement: good.statement, signedBytes: other.signedBytes, signature: good.signature,
                    certificatesPEM: good.certificatesPEM)
            ),
            ("another node's, in its name", try signed(statement(), by: one.identity)),
            ("of another CA", try signed(statement(), by: Identity(stranger, foreign))),
            ("expired certificate", try signed(statement(), by: Identity(expired, swarm))),
            ("another swarm", try signed(statement(cluster: ClusterID("other")), by: two.identity)),
            ("mislabelled", try signed(statement(node: NodeID("node9")), by: two.identity)),
            ("a far epoch", try signed(statement(7), by: two.identity)),
            ("no key", try signed(statement(key: [UInt8](repeating: 0, count: 32)), by: two.identity)),
            (
                "rubbish",
                SignedStatement(
                    node: two.id, statement: good.statement, signedBytes: [1, 2, 3], signature: [], certificatesPEM: "")
            ),
        ]
        let before = one.tunnel.state
        for (what, forged) in cases {
            swarm.change { state in
                var forged = forged
                forged.version = Version(state.version)
                state.statements.append(forged)
                // As if the node were ready for it.
                state.readinesses[two.id] = KeyReadiness(
                    id: two.id, version: Version(state.version),
                    readiness: Readiness(statement: forged.statement, through: Version(state.version)))
            }
            try await eventually("\(what) is refused") { await one.keeper?.refused[forged.id] != nil }
            #expect(one.tunnel.state.outbound[two.address.rawValue]?.spi != nil || before.outbound.isEmpty, "\(what)")
            #expect(Set(one.tunnel.state.inbound.keys) == Set(before.inbound.keys), "\(what)")
            swarm.change { $0.statements.removeAll { $0.id == forged.id } }
        }
        check(swarm)
    }
}
