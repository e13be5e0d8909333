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

@Suite("Epochs of the data path's keys")
struct KeyEpochTests {
    private func swarm(isEncrypted: Bool = true, spec: ClusterSpec = ClusterSpec()) throws -> (Swarm, NodeID, NodeID) {
        var swarm = try Swarm(spec: spec)
        if isEncrypted { _ = try swarm.create("safe") { $0.options["encrypted"] = "" } }
        let (first, second) = (try swarm.admit("w1"), try swarm.admit("w2"))
        try swarm.hello(first, vtep: "172.30.0.2")
        try swarm.hello(second, vtep: "172.30.0.3")
        return (swarm, first, second)
    }

    private func epoch(_ swarm: Swarm) -> UInt64 { swarm.replica.cluster?.keyEpoch ?? 0 }

    /// The nodes come to the swarm's epoch.
    private func follow(_ swarm: inout Swarm, _ nodes: [NodeID]) {
        for node in nodes {
            let statement = KeyTests.statement(node, epoch: epoch(swarm), UInt128(swarm.replica.revision.index))
            swarm.say(.keysStated(statement), as: node)
            swarm.say(.keysReady(Readiness(statement: statement.statement, through: swarm.replica.revision)), as: node)
        }
    }

    private func rotate(_ swarm: inout Swarm) throws {
        let cluster = try #require(swarm.replica.cluster)
        var rotation = ClusterRotation()
        rotation.keys = true
        _ = try swarm.run(.updateCluster(version: cluster.version, cluster.spec, rotating: rotation))
    }

    /// Time passes in which the nodes that are up are heard of.
    private func pass(_ swarm: inout Swarm, seconds: Int64, _ nodes: [NodeID]) {
        for _ in 0..<seconds / 5 {
            for node in nodes { swarm.say(.heartbeat(appliedRevision: .none), as: node) }
            swarm.pass(.seconds(5))
        }
    }

    @Test("An operator gets another epoch once all nodes that are up have come to this one, and one at most is waited for")
    func onDemand() throws {
        var (swarm, first, second) = try swarm()
        follow(&swarm, [first])
        try rotate(&swarm)
        try rotate(&swarm)
        #expect(epoch(swarm) == 1 && swarm.replica.cluster?.keyTerm.isNextWanted == true)
        follow(&swarm, [second])
        #expect(epoch(swarm) == 2 && swarm.replica.cluster?.keyTerm.isNextWanted == false)
        #expect(try swarm.assignments(first).cluster?.keyEpoch == 2)
        follow(&swarm, [first, second])
        pass(&swarm, seconds: 600, [first, second])
        #expect(epoch(swarm) == 2)
    }

    @Test("Who is down holds up nothing, and who is up and says nothing no longer than the grace")
    func grace() throws {
        var (swarm, first, second) = try swarm()
        follow(&swarm, [first])
        try rotate(&swarm)
        pass(&swarm, seconds: 290, [first, second])
        #expect(epoch(swarm) == 1)
        pass(&swarm, seconds: 20, [first, second])
        #expect(epoch(swarm) == 2)
        follow(&swarm, [first])
        try rotate(&swarm)
        pass(&swarm, seconds: 30, [first])
        #expect(swarm.replica.node(second)?.state == .down && epoch(swarm) == 3)
    }

    @Test("An epoch lasts as long as the swarm's spec says, from the first encrypted network on", arguments: [nil, 120])
    func interval(seconds: Int64?) throws {
        var spec = ClusterSpec()
        spec.keyRotationSeconds = seconds
        var (swarm, first, second) = try swarm(isEncrypted: false, spec: spec)
        let interval = seconds ?? 12 * 3600
        swarm.pass(.seconds(3 * interval))
        #expect(epoch(swarm) == 1)
        try swarm.hello(first, vtep: "172.30.0.2")
        try swarm.hello(second, vtep: "172.30.0.3")
        _ = try swarm.create("safe") { $0.options["encrypted"] = "true" }
        follow(&swarm, [first, second])
        swarm.pass(.seconds(interval - 1))
        #expect(epoch(swarm) == 1)
        swarm.pass(.seconds(1))
        #expect(epoch(swarm) == 2)
    }

    @Test("A new leader knows by the wall clock how old the epoch is; without one, its own clock counts")
    func clocks() throws {
        var (swarm, _, _) = try swarm()
        swarm.pass(.seconds(11 * 3600))
        swarm.restart()
        swarm.pass(.seconds(3601))
        #expect(epoch(swarm) == 2)
        swarm.restart()
        swarm.wallClockOffset = .seconds(-1_000_000)
        swarm.pass(.seconds(1))
        swarm.pass(.seconds(12 * 3600 - 1))
        #expect(epoch(swarm) == 2)
        swarm.pass(.seconds(1))
        #expect(epoch(swarm) == 3)
    }

    @Test("What a removed node recorded ends with the epoch, where there was anything to record", arguments: [true, false])
    func removal(isEncrypted: Bool) throws {
        var (swarm, first, second) = try swarm(isEncrypted: isEncrypted)
        follow(&swarm, [first, second])
        _ = try swarm.run(.removeNode(second, force: true))
        #expect(epoch(swarm) == (isEncrypted ? 2 : 1))
    }

    @Test("With the swarm's default, new networks are encrypted that do not say otherwise, the ingress network among them")
    func byDefault() throws {
        var spec = ClusterSpec()
        spec.defaultEncryption = true
        var swarm = try Swarm(spec: spec)
        #expect(swarm.replica.networks.map(\.spec.isEncrypted) == [true])
        let plain = try swarm.create("a").spec
        #expect(plain.isEncrypted && plain.options.isEmpty, "clients compare what they asked for")
        #expect(try swarm.create("b") { $0.options = ["encrypted": "false"] }.spec.isEncrypted == false)
        let cluster = try #require(swarm.replica.cluster)
        var later = cluster.spec
        later.defaultEncryption = nil
        _ = try swarm.run(.updateCluster(version: cluster.version, later, rotating: ClusterRotation()))
        #expect(try swarm.create("c").spec.isEncrypted == false)
    }

    @Test("An interval that is no such is refused, and an MTU that leaves too little inside")
    func refused() throws {
        var (swarm, _, _) = try swarm()
        let cluster = try #require(swarm.replica.cluster)
        for seconds: Int64 in [0, 59, -1, 31_536_001] {
            var spec = cluster.spec
            spec.keyRotationSeconds = seconds
            let error = try swarm.refusal(.updateCluster(version: cluster.version, spec, rotating: ClusterRotation()))
            #expect(error.message.contains("between 1 minute and 1 year"))
        }
        var spec = NetworkSpec(name: "n")
        spec.options = ["encrypted": "", "com.docker.network.driver.mtu": "667"]
        #expect(try swarm.refusal(.createNetwork(spec)).message.contains("between 668 and 65535, as the network is encrypted"))
        spec.ipam6 = IPAMConfig()
        spec.options["com.docker.network.driver.mtu"] = "1371"
        #expect(
            try swarm.refusal(.createNetwork(spec)).message.contains("between 1372 and 65535, as the network is encrypted and has IPv6"))
        spec.options["com.docker.network.driver.mtu"] = "1372"
        _ = try swarm.run(.createNetwork(spec))
        #expect(MTU(668)?.insideESP.bytes == 576 && MTU(1372)?.insideESP.bytes == 1280 && MTU(1371)?.insideESP.bytes == 1276)
    }
}
