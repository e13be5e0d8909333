import Testing
import WeftControl
import WeftModel
import WeftNet

@Suite("Keys of the data path, as managers pass them on")
struct KeyTests {
    static func statement(_ node: NodeID, epoch: UInt64 = 1, _ incarnation: UInt128) -> SignedStatement {
        SignedStatement(
            node: node, statement: StatementID(epoch: epoch, incarnation: incarnation), signedBytes: [1], signature: [2],
            certificatesPEM: "PEM")
    }

    private func swarm() throws -> (Swarm, NodeID, NodeID) {
        var swarm = try Swarm()
        let (first, second) = (try swarm.admit("w1"), try swarm.admit("w2"))
        try swarm.hello(first, vtep: "172.30.0.2")
        try swarm.hello(second, vtep: "172.30.0.3")
        return (swarm, first, second)
    }

    @Test("What a node states is told to all, itself included, and once")
    func stated() throws {
        var (swarm, first, second) = try swarm()
        let statement = Self.statement(first, 5)
        swarm.say(.keysStated(statement), as: first)
        for node in [first, second] {
            let told = try swarm.assignments(node)[SignedStatement.self].put
            #expect(told.map(\.id) == [statement.id] && told.allSatisfy { $0.isSame(as: statement) })
            #expect(told.first?.version == swarm.replica.revision)
        }
        let readiness = Readiness(statement: statement.statement, through: swarm.replica.revision)
        swarm.say(.keysReady(readiness), as: first)
        #expect(try swarm.assignments(second)[KeyReadiness.self].put.map(\.readiness) == [readiness])

        let revision = swarm.replica.revision
        swarm.say(.keysStated(statement), as: first)
        swarm.say(.keysReady(readiness), as: first)
        #expect(swarm.replica.revision == revision)
    }

    @Test("A statement in another's name, one that was made otherwise before, for a later epoch or too large is not taken")
    func refused() throws {
        var (swarm, first, second) = try swarm()
        let statement = Self.statement(first, 5)
        swarm.say(.keysStated(statement), as: first)
        let revision = swarm.replica.revision
        func changed(
            signed: [UInt8] = [1], signature: [UInt8] = [2], certificates: String = "PEM", epoch: UInt64 = 1, incarnation: UInt128 = 6
        ) -> SignedStatement {
            SignedStatement(
                node: first, statement: StatementID(epoch: epoch, incarnation: incarnation), signedBytes: signed, signature: signature,
                certificatesPEM: certificates)
        }
        let wrong = [
            Self.statement(second, 9), changed(signed: [9], incarnation: 5), changed(epoch: 3),
            changed(signed: Array(repeating: 0, count: 513)), changed(signature: Array(repeating: 0, count: 257)),
            changed(certificates: String(repeating: "x", count: 32769)),
        ]
        for (count, statement) in wrong.enumerated() {
            swarm.say(.keysStated(statement), as: first)
            #expect(swarm.replica.revision == revision && swarm.notes.count { $0.contains("not taken") } == count + 1)
        }
        // What it has not stated, and what nobody can have heard of.
        swarm.say(.keysReady(Readiness(statement: StatementID(epoch: 1, incarnation: 6), through: revision)), as: first)
        swarm.say(.keysReady(Readiness(statement: statement.statement, through: Version(revision.index + 1))), as: first)
        #expect(swarm.replica.revision == revision && swarm.replica.all(KeyReadiness.self).isEmpty)
    }

    @Test("Of a node's statements the newest three are kept")
    func kept() throws {
        var (swarm, first, second) = try swarm()
        swarm.say(.keysStated(Self.statement(second, 1)), as: second)
        for number in 1...5 { swarm.say(.keysStated(Self.statement(first, UInt128(9 - number))), as: first) }
        let left = swarm.replica.all(SignedStatement.self).filter { $0.node == first }
        #expect(Set(left.map(\.statement.incarnation)) == [4, 5, 6])
        #expect(swarm.replica.all(SignedStatement.self).count == 4)
        let told = try swarm.assignments(second)[SignedStatement.self]
        #expect(told.put.map(\.statement.incarnation) == [4] && told.removed == [Self.statement(first, 7).id])
    }

    @Test("What a node stated goes with it", arguments: [true, false])
    func removed(isLeaving: Bool) throws {
        var (swarm, first, second) = try swarm()
        for node in [first, second] {
            swarm.say(.keysStated(Self.statement(node, 1)), as: node)
            swarm.say(.keysReady(Readiness(statement: Self.statement(node, 1).statement, through: swarm.replica.revision)), as: node)
        }
        if isLeaving { swarm.say(.leaving, as: first) } else { _ = try swarm.run(.removeNode(first, force: true)) }
        #expect(swarm.replica.all(SignedStatement.self).map(\.node) == [second])
        #expect(swarm.replica.all(KeyReadiness.self).map(\.id) == [second])
        #expect(try swarm.assignments(second)[SignedStatement.self].removed == [Self.statement(first, 1).id])
    }
}
