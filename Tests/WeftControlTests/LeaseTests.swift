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
        #expect(try refusal(swarm).contains("host-w1") && refusal(swarm).contains("gives no address back"))
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
        let blocks = swarm.replica.leases.filter { $0.network == network.id }.map(\.block)
        for block in blocks { #expect(blocks.count { $0.overlaps(block) } == 1) }
        // Nobody has anything to give, for as long as an end of an endpoint may be on its way.
        swarm.pass(.seconds(1))
        #expect(try refusal(swarm).contains("10.0.1.0/24"))
    }

    @Test("Blocks and addresses of IPv6 are leased as those of IPv4 are, and endpoints are held to them")
    func ipv6() throws {
        var (swarm, one, two) = try swarm()
        let network = try swarm.create("net") { $0.ipam6 = IPAMConfig(subnet: IPv6Prefix("fd00:9::/64")) }
        func blocks(_ node: NodeID) -> [String] {
            swarm.replica.leases.filter { $0.node == node && $0.network == network.id && $0.block.family == .v6 }
                .map(\.block.description)
        }
        #expect(blocks(one) == ["fd00:9:0:0:8000::/122"] && blocks(two) == ["fd00:9::8000:0:0:40/122"])
        let wanted = try #require(IPAddress("fd00:9::10"))
        swarm.say(.leaseRequest(1, SubnetID(network.id, .v6), address: wanted), as: one)
        #expect(swarm.sent.last?.message == .leaseGranted(1) && blocks(one).contains("fd00:9::10/128"))
        swarm.say(.leaseRequest(2, SubnetID(network.id, .v6), address: wanted), as: two)
        #expect(try refusal(swarm).contains("host-w1"))
        for address in ["fd00:9::", "fd00:9::1", "fd00:8::5"] {
            swarm.say(.leaseRequest(3, SubnetID(network.id, .v6), address: IPAddress(address)), as: two)
            guard case .leaseRefused(3, _)? = swarm.sent.last?.message else { throw Swarm.Unexpected(what: address) }
        }
        let plain = try swarm.create("plain")
        swarm.say(.leaseRequest(4, SubnetID(plain.id, .v6), address: nil), as: two)
        #expect(try refusal(swarm) == "network plain has no IPv6")

        func endpoint(_ name: String, _ node: NodeID, _ ipv6: String, offset: UInt32 = 2) throws -> Endpoint {
            let made = try swarm.endpoint(name, node, network, offset: offset)
            return Endpoint(
                id: made.id, network: made.network, node: node, sandbox: made.sandbox, ipv4: made.ipv4,
                ipv6: IPv6Address(ipv6), mac: made.mac, name: name)
        }
        swarm.say(.endpointsChanged(added: [try endpoint("a", one, "fd00:9::10")], removed: []), as: one)
        #expect(swarm.replica.endpoints.map(\.name) == ["a"])
        // In use, another node's, the gateway's, of no network: refused, and noted.
        for (index, address) in ["fd00:9::10", "fd00:9:0:0:8000::1", "fd00:9::1", "fd00:8::1"].enumerated() {
            swarm.say(.endpointsChanged(added: [try endpoint("b\(index)", two, address)], removed: []), as: two)
        }
        #expect(swarm.replica.endpoints.map(\.name) == ["a"] && swarm.notes.count == 4)
        swarm.say(.endpointsChanged(added: [try endpoint("c", two, "fd00:9:0:0:8000::41")], removed: []), as: two)
        #expect(swarm.replica.endpoints.map(\.name).sorted() == ["a", "c"])
        // A block with an endpoint's IPv6 address in it stays leased.
        let lease = try #require(swarm.replica.leases.first { $0.block == AnyIPPrefix("fd00:9:0:0:8000::40/122") })
        swarm.say(.leasesReturned([lease.id]), as: two)
        #expect(blocks(two) == ["fd00:9::8000:0:0:40/122"])
    }

    @Test("Returned blocks are free, unless an endpoint is in them")
    func returns() throws {
        var (swarm, one, two) = try swarm()
        let network = try swarm.create("net")
        let lease = try #require(swarm.replica.leases.first { $0.node == one && $0.network == network.id })
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
