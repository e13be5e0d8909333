import Testing
import WeftControl
import WeftModel
import WeftNet

@Suite("Which nodes are let in and ready")
struct HealthTests {
    private func state(_ swarm: Swarm, _ node: NodeID) -> NodeState? { swarm.replica.node(node)?.state }

    @Test("A clock that is set ends no session, frees no address and wakes no node", arguments: [60, -3600, 86_400 * 365])
    func clockIsSet(seconds: Int64) throws {
        var swarm = try Swarm()
        let worker = try swarm.admit("w1")
        try swarm.hello(worker, vtep: "172.30.0.2")
        swarm.wallClockOffset = .seconds(seconds)
        swarm.pass(.seconds(1))
        #expect(state(swarm, worker) == .ready && swarm.isConnected(worker))
        // What is shown follows it.
        let network = try swarm.create("net")
        #expect(network.createdAt == swarm.now + .seconds(seconds))
        // Silence is counted by the other clock.
        swarm.pass(.seconds(15))
        #expect(state(swarm, worker) == .down && !swarm.isConnected(worker))
        #expect(swarm.replica.node(worker)?.updatedAt == swarm.now + .seconds(seconds))
        #expect(swarm.replica.node(worker)?.problem?.contains("nothing was heard of it") == true)
    }

    @Test("A node whose sessions end at once is not ready, until one holds")
    func brokenSessions() throws {
        var swarm = try Swarm()
        let worker = try swarm.admit("w1")
        for round in 1...4 {
            try swarm.hello(worker, vtep: "172.30.0.2")
            #expect(state(swarm, worker) == .ready)
            swarm.pass(.seconds(1))
            swarm.disconnect(worker)
            #expect(state(swarm, worker) == (round < 4 ? .ready : .down))
        }
        #expect(swarm.replica.node(worker)?.problem?.contains("sessions end as soon as they begin") == true)
        // It comes back again and again: nothing changes, and nothing is written.
        let commits = swarm.commits
        for _ in 0..<10 {
            try swarm.hello(worker, vtep: "172.30.0.2")
            #expect(swarm.isConnected(worker) && state(swarm, worker) == .down)
            swarm.disconnect(worker)
        }
        #expect(swarm.commits == commits)
        try swarm.hello(worker, vtep: "172.30.0.2")
        swarm.pass(.seconds(4))
        #expect(state(swarm, worker) == .down)
        swarm.pass(.seconds(1))
        #expect(state(swarm, worker) == .ready && swarm.replica.node(worker)?.problem == nil)
        // It has a good name again.
        for _ in 0..<3 {
            swarm.disconnect(worker)
            try swarm.hello(worker, vtep: "172.30.0.2")
        }
        #expect(state(swarm, worker) == .ready)
    }

    @Test("Sessions that held, however many, are no trouble")
    func goodSessions() throws {
        var swarm = try Swarm()
        let worker = try swarm.admit("w1")
        for _ in 0..<20 {
            try swarm.hello(worker, vtep: "172.30.0.2")
            swarm.pass(.seconds(6))
            swarm.disconnect(worker)
            #expect(state(swarm, worker) == .ready)
        }
    }

    @Test("A data path address must be one that a host can have")
    func impossibleAddresses() throws {
        var swarm = try Swarm()
        let network = try swarm.create("net")
        let inside = try #require(network.subnet.network.advanced(by: 9))
        for text in [
            "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.9.9.9", "169.254.7.7", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
            "\(inside)",
        ] {
            let worker = try swarm.admit("w-\(text)")
            // Though it seems to come from there.
            try swarm.hello(worker, vtep: text, from: text)
            #expect(state(swarm, worker) == .down && !swarm.isConnected(worker), "\(text)")
            #expect(swarm.replica.node(worker)?.dataPathAddress == nil)
            #expect(swarm.replica.node(worker)?.problem?.contains(text) == true)
            #expect(swarm.closed.last?.reason.contains(text) == true)
        }
    }

    @Test("A data path address is the one that the session comes from, or one that the node called from")
    func foreignAddresses() throws {
        var swarm = try Swarm()
        let worker = try swarm.admit("w1")
        try swarm.hello(worker, vtep: "8.8.8.8", from: "172.30.0.2")
        #expect(state(swarm, worker) == .down)
        #expect(swarm.closed.last?.reason.contains("8.8.8.8 is not the one that it comes from (172.30.0.2)") == true)
        // What another node called from is none of its own.
        let other = try swarm.admit("w2")
        swarm.feed(.addressShown(other, try address("10.99.0.2")))
        try swarm.hello(worker, vtep: "10.99.0.2", from: "172.30.0.2")
        #expect(state(swarm, worker) == .down)
        swarm.feed(.addressShown(worker, try address("172.31.0.2")))
        try swarm.hello(worker, vtep: "172.31.0.2", from: "172.30.0.2")
        #expect(state(swarm, worker) == .ready && swarm.replica.node(worker)?.problem == nil)
        #expect(swarm.replica.node(worker)?.dataPathAddress == (try address("172.31.0.2")))
        // After a restart of the manager it is believed what it was believed before, and nothing else.
        swarm.restart()
        try swarm.hello(worker, vtep: "172.31.0.2", from: "172.30.0.2")
        #expect(state(swarm, worker) == .ready)
        try swarm.hello(worker, vtep: "172.31.0.3", from: "172.30.0.2")
        #expect(state(swarm, worker) == .down)
        try swarm.hello(other, vtep: "172.30.0.3", from: "172.30.0.3")
        #expect(state(swarm, other) == .ready)
    }

    @Test("No node gets the address of another, be that one away")
    func takenAddresses() throws {
        var swarm = try Swarm()
        let victim = try swarm.admit("w1")
        let thief = try swarm.admit("w2")
        try swarm.hello(victim, vtep: "172.30.0.2", from: "172.30.0.2")
        try swarm.hello(thief, vtep: "172.30.0.2", from: "172.30.0.3")
        #expect(state(swarm, thief) == .down)
        swarm.disconnect(victim)
        swarm.pass(.seconds(20))
        try swarm.hello(thief, vtep: "172.30.0.2", from: "172.30.0.3")
        #expect(state(swarm, thief) == .down)
        #expect(swarm.replica.node(victim)?.dataPathAddress == (try address("172.30.0.2")))
        // A host that came up with the address of one that is gone has it.
        try swarm.hello(thief, vtep: "172.30.0.2", from: "172.30.0.2")
        #expect(state(swarm, thief) == .ready)
        #expect(swarm.replica.node(victim)?.dataPathAddress == nil)
        // And not while both are there.
        try swarm.hello(victim, vtep: "172.30.0.2", from: "172.30.0.2")
        #expect(state(swarm, victim) == .down && swarm.isConnected(thief))
        let addresses = swarm.replica.nodes.compactMap(\.dataPathAddress)
        #expect(Set(addresses).count == addresses.count)
    }

    @Test("A refused endpoint is told to its node where it understands that, and its session goes on", arguments: [true, false])
    func refusedEndpoint(isOfThisVersion: Bool) throws {
        var swarm = try Swarm()
        let network = try swarm.create("net")
        let worker = try swarm.admit("w1")
        try swarm.hello(worker, vtep: "172.30.0.2", returnsAddresses: isOfThisVersion)
        let good = try swarm.endpoint("good", worker, network)
        let bad = Endpoint(
            id: EndpointID("bad"), network: network.id, node: NodeID("other"), sandbox: SandboxID("s"), ipv4: good.ipv4, mac: good.mac,
            name: "bad")
        swarm.say(.endpointsChanged(added: [bad, good], removed: []), as: worker)
        #expect(swarm.replica.endpoints.map(\.id) == [good.id])
        #expect(swarm.isConnected(worker))
        let told = swarm.sent.contains { sent in
            if case .endpointRefused(bad.id, let reason) = sent.message { sent.node == worker && reason.contains("other") } else { false }
        }
        #expect(told == isOfThisVersion)
        // The same in a hello, whose description is news itself.
        swarm.sent = []
        try swarm.hello(worker, vtep: "172.30.0.2", endpoints: [bad, good], returnsAddresses: isOfThisVersion)
        let isTold = swarm.sent.contains { if case .endpointRefused(bad.id, _) = $0.message { true } else { false } }
        #expect(isTold == isOfThisVersion)
    }

    @Test("What an operator says about one object has a bound, and up to it all is taken")
    func specBounds() throws {
        var swarm = try Swarm()
        func spec(_ size: Int) -> NetworkSpec {
            var spec = NetworkSpec(name: "net")
            spec.labels = ["k": String(repeating: "v", count: size)]
            return spec
        }
        let refusal = try swarm.refusal(.createNetwork(spec(1 << 20)))
        #expect(refusal.kind == .invalid && refusal.message.contains("1048576 bytes"))
        _ = try swarm.run(.createNetwork(spec((1 << 20) - 4)))
        let node = try #require(swarm.replica.nodes.first)
        var labels = node.spec
        labels.labels = ["k": String(repeating: "v", count: 1 << 20)]
        #expect(try swarm.refusal(.updateNode(node.id, version: node.version, labels)).kind == .invalid)
        let cluster = try #require(swarm.replica.cluster)
        var settings = cluster.spec
        settings.labels = labels.labels
        #expect(
            try swarm.refusal(.updateCluster(version: cluster.version, settings, rotating: ClusterRotation())).kind == .invalid)
    }
}
