import Testing
import WeftControl
import WeftModel
import WeftNet

@Suite("Leases, as the manager grants them")
struct LeaseTests {
    private func swarm() throws -> (Swarm, one: NodeID, two: NodeID) {
        var swarm = try Swarm()
        let one = try swarm.admit("w1")
        let two = try swarm.admit("w2")
        try swarm.hello(one, vtep: "172.30.0.2")
        try swarm.hello(two, vtep: "172.30.0.3")
        return (swarm, one, two)
    }

    private func refusal(_ swarm: Swarm) throws -> String {
        guard case .leaseRefused(_, let reason)? = swarm.sent.last?.message else {
            throw Swarm.Unexpected(what: "not refused")
        }
        return reason
    }

    @Test("Every connected node has a block as soon as the network exists")
    func firstBlocks() throws {
        var (swarm, one, two) = try swarm()
        let network = try swarm.create("net")
        #expect(swarm.leases(one, network) == [try prefix("10.0.1.128/29")])
        #expect(swarm.leases(two, network) == [try prefix("10.0.1.136/29")])
        // Too few addresses to give any away ahead of need.
        let small = try swarm.create("small") { $0.ipam.subnet = try prefix("10.8.0.0/28") }
        #expect(swarm.leases(one, small).isEmpty)
    }

    @Test("A node gets more for the asking; the lease is told before the grant")
    func more() throws {
        var (swarm, one, _) = try swarm()
        let network = try swarm.create("net")
        swarm.sent = []
        swarm.say(.leaseRequest(7, SubnetID(network.id, .v4), address: nil), as: one)
        #expect(swarm.leases(one, network).count == 2)
        guard case .assignments(let delta)? = swarm.sent.first(where: { $0.node == one })?.message else {
            throw Swarm.Unexpected(what: "no lease")
        }
        #expect(delta.leases.map(\.block) == [.v4(try prefix("10.0.1.144/29"))])
        #expect(swarm.sent.last?.message == .leaseGranted(7))
    }

    @Test("One particular address: free, another node's, in use, or none")
    func particular() throws {
        var (swarm, one, two) = try swarm()
        let network = try swarm.create("net")
        swarm.say(.leaseRequest(1, SubnetID(network.id, .v4), address: .v4(try address("10.0.1.77"))), as: one)
        #expect(swarm.leases(one, network).contains(try prefix("10.0.1.77/32")))
        swarm.say(.leaseRequest(2, SubnetID(network.id, .v4), address: .v4(try address("10.0.1.77"))), as: two)
        #expect(try refusal(swarm).contains("host-w1"))
        swarm.say(.leaseRequest(3, SubnetID(network.id, .v4), address: .v4(try address("10.0.1.131"))), as: two)
        #expect(try refusal(swarm).contains("10.0.1.128/29"))
        var endpoint = try swarm.endpoint("a1", one, network)
        endpoint.name = "web"
        swarm.say(.endpointsChanged(added: [endpoint], removed: []), as: one)
        swarm.say(.leaseRequest(4, SubnetID(network.id, .v4), address: .v4(endpoint.ipv4)), as: two)
        #expect(try refusal(swarm).contains("web on node host-w1"))
        for text in ["10.0.1.1", "10.0.1.255", "10.0.9.9"] {
            swarm.say(.leaseRequest(5, SubnetID(network.id, .v4), address: .v4(try address(text))), as: two)
            #expect(try refusal(swarm).contains(text))
        }
        swarm.say(.leaseRequest(6, SubnetID(NetworkID("nowhere"), .v4), address: nil), as: two)
        #expect(try refusal(swarm).contains("not found"))
        // Blocks go around it.
        for number in 10..<60 { swarm.say(.leaseRequest(RequestNumber(number), SubnetID(network.id, .v4), address: nil), as: two) }
        let blocks = swarm.machine.leases.filter { $0.network == network.id }.map(\.block)
        for block in blocks { #expect(blocks.count { $0.overlaps(block) } == 1) }
        #expect(try refusal(swarm).contains("10.0.1.0/24"))
    }

    @Test("Returned blocks are free, unless an endpoint is in them")
    func returns() throws {
        var (swarm, one, two) = try swarm()
        let network = try swarm.create("net")
        let lease = try #require(swarm.machine.leases.first { $0.node == one && $0.network == network.id })
        swarm.say(.leasesReturned([lease.id]), as: two)
        #expect(swarm.leases(one, network) == [try #require(lease.block.v4)])
        let endpoint = try swarm.endpoint("a1", one, network)
        swarm.say(.endpointsChanged(added: [endpoint], removed: []), as: one)
        swarm.say(.leasesReturned([lease.id]), as: one)
        #expect(swarm.leases(one, network) == [try #require(lease.block.v4)])
        swarm.say(.endpointsChanged(added: [], removed: [endpoint.id]), as: one)
        swarm.say(.leasesReturned([lease.id, "nonsense"]), as: one)
        #expect(swarm.leases(one, network).isEmpty)
        swarm.say(.leaseRequest(1, SubnetID(network.id, .v4), address: nil), as: two)
        #expect(swarm.leases(two, network).contains(try #require(lease.block.v4)))
        // The old holder is told that it is gone, not that it is another's.
        #expect(
            swarm.sent.filter { $0.node == one }.contains { message in
                if case .assignments(let delta) = message.message { delta.removedLeases == [lease.id] } else { false }
            })
    }
}
