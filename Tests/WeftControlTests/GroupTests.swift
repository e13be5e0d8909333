import Testing
import WeftControl
import WeftModel
import WeftNet

@Suite("Inputs that go into one transaction together")
struct GroupTests {
    private func create(_ name: String) -> ControlCommand { .createNetwork(NetworkSpec(name: name)) }

    private func network(_ reply: Result<ControlReply, ControlError>?) -> Network? {
        if case .success(.network(let network))? = reply { network } else { nil }
    }

    @Test("What waits while a transaction is out goes into the next one, and sees what goes before it")
    func together() throws {
        var swarm = try Swarm()
        swarm.core.enqueue(.command(CommandID(100), create("first")))
        let proposal = try swarm.proposed()
        for number in 1...9 as ClosedRange<UInt64> { swarm.core.enqueue(.command(CommandID(100 + number), create("n\(number)"))) }
        let isWaiting = swarm.isWaiting()
        #expect(isWaiting && swarm.reply(CommandID(100)) == nil)
        swarm.resolve(.committed(Version(7)))
        #expect(proposal.writes.count == 1 && swarm.replica.revision == Version(7))
        #expect(network(swarm.reply(CommandID(100)))?.version == Version(7))

        let group = try swarm.proposed()
        #expect(group.writes.count == 9 && group.base == Version(7))
        swarm.resolve(.committed(Version(8)))
        let made = (101...109).compactMap { network(swarm.reply(CommandID($0))) }
        #expect(made.count == 9 && made.allSatisfy { $0.version == Version(8) })
        #expect(Set(made.map(\.subnet)).count == 9 && Set(made.map(\.vni)).count == 9)
        #expect(swarm.events.count == 10)
    }

    @Test("What a node says after its removal, in the same transaction, goes nowhere")
    func removedBefore() throws {
        var swarm = try Swarm()
        let worker = try swarm.admit("w1")
        try swarm.hello(worker, vtep: "172.30.0.2")
        let network = try swarm.create("net")
        let endpoint = try swarm.endpoint("a", worker, network)
        swarm.core.enqueue(.command(CommandID(300), .removeNode(worker, force: true)))
        swarm.enqueue(.endpointsChanged(added: [endpoint], removed: []), as: worker)
        swarm.settle()
        #expect(swarm.replica.node(worker) == nil && swarm.replica.endpoints.isEmpty)
        #expect(!swarm.isConnected(worker))
    }

    @Test("One that is refused takes no other with it, and leaves nothing behind")
    func refused() throws {
        var swarm = try Swarm()
        let worker = try swarm.admit("w1")
        let version = try #require(swarm.replica.node(worker)).version
        var paused = NodeSpec(role: .worker)
        paused.availability = .pause
        for (number, command) in [
            create("a"), create("a"), .updateNode(worker, version: version, paused),
            .updateNode(worker, version: version, NodeSpec(role: .worker)), .removeNetwork("nowhere"), create("b"),
        ].enumerated() {
            swarm.core.enqueue(.command(CommandID(UInt64(200 + number)), command))
        }
        let commits = swarm.commits
        swarm.settle()
        #expect(swarm.commits == commits + 1)
        #expect(network(swarm.reply(CommandID(200))) != nil && network(swarm.reply(CommandID(205))) != nil)
        for (number, kind) in [(201, ControlError.Kind.conflict), (203, .outOfSequence), (204, .notFound)] {
            guard case .failure(let error)? = swarm.reply(CommandID(UInt64(number))) else {
                throw Swarm.Unexpected(what: "\(number) was not refused")
            }
            #expect(error.kind == kind)
        }
        #expect(swarm.replica.node(worker)?.spec.availability == .pause && swarm.replica.networks.count == 3)
    }

    @Test("What is made and removed in one group is not written, and its subnet is not the next to be used")
    func madeAndRemoved() throws {
        var swarm = try Swarm()
        let old = try swarm.create("old")
        for (number, command) in [create("a"), .removeNetwork("a"), .removeNetwork("old"), create("b")].enumerated() {
            swarm.core.enqueue(.command(CommandID(UInt64(300 + number)), command))
        }
        let proposal = try swarm.proposed()
        #expect(proposal.writes.count == 2)
        swarm.resolve(.committed(Version(50)))
        let new = try #require(network(swarm.reply(CommandID(303))))
        #expect(new.subnet != old.subnet && new.vni != old.vni)
        #expect(swarm.replica.networks.map(\.spec.name).sorted() == ["b", "ingress"])
    }

    @Test("A group has a bound; a full one does not keep the rest from being next")
    func bound() throws {
        var swarm = try Swarm()
        for number in 0..<600 { swarm.core.enqueue(.command(CommandID(UInt64(1000 + number)), .rotateToken(.worker))) }
        let commits = swarm.commits
        swarm.settle()
        #expect(swarm.commits == commits + 3)
        #expect((1000..<1600).allSatisfy { swarm.reply(CommandID($0)) != nil })
    }

    @Test("If the store takes no group, each input is tried alone: only those that fail are given up")
    func oneByOne() throws {
        var swarm = try Swarm()
        let worker = try swarm.admit("w1")
        try swarm.hello(worker, vtep: "172.30.0.2")
        let network = try swarm.create("net")
        swarm.core.enqueue(.command(CommandID(400), create("a")))
        swarm.enqueue(.heartbeat(appliedRevision: .none), as: worker)
        swarm.core.enqueue(.command(CommandID(401), create("b")))
        swarm.enqueue(.endpointsChanged(added: [try swarm.endpoint("e", worker, network)], removed: []), as: worker)
        // The store takes nothing that has the network "a" in it.
        var proposal = swarm.perform(swarm.proceed())
        while let transaction = proposal {
            let isBad = transaction.writes.contains { write in
                if case .put(let object, _) = write { object.as(Network.self)?.spec.name == "a" } else { false }
            }
            let next = Version(swarm.replica.revision.index + 1)
            swarm.resolve(isBad ? .failed : .committed(next))
            proposal = swarm.perform(swarm.proceed())
        }
        #expect(swarm.givenUp == [.command(CommandID(400), create("a"))] && swarm.reply(CommandID(400)) == nil)
        #expect(self.network(swarm.reply(CommandID(401)))?.spec.name == "b")
        #expect(swarm.replica.endpoints.map(\.name) == ["e"] && swarm.isConnected(worker))
    }

    @Test("A report that cannot be stored ends its session, and no other")
    func lostReport() throws {
        var swarm = try Swarm()
        let (one, two) = (try swarm.admit("w1"), try swarm.admit("w2"))
        try swarm.hello(one, vtep: "172.30.0.2")
        try swarm.hello(two, vtep: "172.30.0.3")
        let network = try swarm.create("net")
        swarm.enqueue(.endpointsChanged(added: [try swarm.endpoint("e", one, network)], removed: []), as: one)
        swarm.enqueue(.heartbeat(appliedRevision: .none), as: two)
        swarm.failNext()
        #expect(swarm.givenUp.count == 1 && !swarm.isConnected(one) && swarm.isConnected(two))
        #expect(swarm.replica.endpoints.isEmpty && swarm.core.isIdle)
        // It says it again when it comes back.
        try swarm.hello(one, vtep: "172.30.0.2", applied: swarm.replica.revision, endpoints: [try swarm.endpoint("e", one, network)])
        #expect(swarm.replica.endpoints.map(\.name) == ["e"])
    }
}
