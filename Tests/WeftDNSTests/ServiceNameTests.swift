import TestSupport
import Testing
import WeftDNS
import WeftModel
import WeftNet
import WeftWire

@Suite struct ServiceNameTests {
    var world: World

    /// Beside the world's: `shop` at .100 and ::100 with three tasks, of which one waits, `poll` without an address of its own.
    init() throws {
        world = try World()
        world.table.insert(
            try service("Shop", on: [("my_net", ["store"], "10.0.1.100"), ("other", ["till"], "10.0.2.100")], "fd00:2::100"))
        world.table.insert(try service("poll", mode: .dnsrr, on: [("my_net", ["vote"], nil)]))
        for (slot, rotation) in [ServingTask.Rotation.serving, .serving, .waiting].enumerated() {
            let (number, node) = (UInt64(slot + 1), slot == 1 ? "there" : "here")
            world.table.insert(
                try endpoint(
                    "Shop.\(number).x", on: "my_net", "10.0.1.2\(slot)", node: node, task: task("Shop", number, rotation)))
            world.table.insert(
                try endpoint(
                    "poll.\(number).x", on: "my_net", "10.0.1.3\(slot)", node: node, task: task("poll", number, rotation)))
        }
    }

    @Test mutating func `a service's name and aliases are its address, on each network the one there`() throws {
        for name in ["shop", "SHOP", "shop.my_net", "store", "store.my_net"] { #expect(try world.addresses(name) == ["10.0.1.100"]) }
        // An alias is one network's.
        #expect(try world.decide(query("till")) == .forward)
        #expect(try world.addresses("till", from: "10.0.1.7") == ["10.0.2.100"])
        #expect(try world.addresses("shop", from: "10.0.1.7") == ["10.0.1.100", "10.0.2.100"])
        #expect(try world.addresses("shop.other", from: "10.0.1.7") == ["10.0.2.100"])
        #expect(
            try world.reply("shop.other", .aaaa, from: "10.0.1.7").answers.map(\.data) == [
                .aaaa(#require(IPv6Address("fd00:2::100")))
            ])
    }

    @Test mutating func `who is on none of its networks does not learn of a service`() throws {
        #expect(try world.decide(query("shop.other")) == .forward)
        #expect(try world.reply("shop", from: "10.0.3.2").responseCode == .nameError)
        #expect(try world.reply("tasks.shop", from: "10.0.3.2").responseCode == .nameError)
        #expect(try world.reply("100.1.0.10.in-addr.arpa", .ptr, from: "10.0.3.2").responseCode == .nameError)
    }

    @Test mutating func `tasks of a service are those that serve on nodes that are up`() throws {
        for name in ["tasks.shop", "Tasks.Store", "tasks.shop.my_net", "tasks.store.my_net"] {
            #expect(try world.addresses(name) == ["10.0.1.20", "10.0.1.21"])
        }
        world.table.insert(peer("there", .down))
        #expect(try world.addresses("tasks.shop") == ["10.0.1.20"])
        world.table.insert(peer("there", .ready))
        world.table.insert(try endpoint("Shop.1.x", on: "my_net", "10.0.1.20", task: task("Shop", 1, .draining)))
        #expect(try world.addresses("tasks.shop") == ["10.0.1.21"])
        world.table.insert(try endpoint("Shop.3.x", on: "my_net", "10.0.1.22", task: task("Shop", 3)))
        #expect(try world.addresses("tasks.shop") == ["10.0.1.21", "10.0.1.22"])
        world.table.removeEndpoint(EndpointID("ep-10.0.1.21"))
        #expect(try world.addresses("tasks.shop") == ["10.0.1.22"])
    }

    @Test mutating func `without an address of its own a service is its tasks, in every order`() throws {
        #expect(try world.addresses("poll") == ["10.0.1.30", "10.0.1.31"])
        #expect(try world.addresses("vote.my_net") == ["10.0.1.30", "10.0.1.31"])
        var orders = Set<[DNSRecordData]>()
        for _ in 0..<100 { orders.insert(try world.reply("poll").answers.map(\.data)) }
        #expect(orders.count == 2)
    }

    @Test mutating func `a service whose tasks do not serve has its address still, and names no tasks`() throws {
        for slot in 0..<3 {
            world.table.removeEndpoint(EndpointID("ep-10.0.1.2\(slot)"))
            world.table.removeEndpoint(EndpointID("ep-10.0.1.3\(slot)"))
        }
        #expect(try world.addresses("shop") == ["10.0.1.100"])
        // The swarm's own: nobody outside is asked for it.
        for name in ["tasks.shop", "poll", "tasks.vote"] { #expect(try world.reply(name).responseCode == .nameError) }
    }

    @Test mutating func `tasks have names as other containers do, serving or not`() throws {
        #expect(try world.addresses("shop.3.x") == ["10.0.1.22"])
        #expect(try world.reply("22.1.0.10.in-addr.arpa", .ptr).answers.map(\.data) == [.ptr(dnsName("Shop.3.x.my_net"))])
    }

    @Test mutating func `an address of a service is called by its name`() throws {
        #expect(try world.reply("100.1.0.10.in-addr.arpa", .ptr).answers.map(\.data) == [.ptr(dnsName("Shop.my_net"))])
        let name = ReverseName.name(of: try #require(IPAddress("fd00:2::100"))).description
        #expect(try world.reply(name, .ptr, from: "10.0.2.7").answers.map(\.data) == [.ptr(dnsName("Shop.other"))])
    }

    @Test mutating func `a service that changes has no name of before, one that goes has none`() throws {
        world.table.insert(try service("Shop", on: [("my_net", ["market"], "10.0.1.101")]))
        #expect(try world.addresses("shop", from: "10.0.1.7") == ["10.0.1.101"])
        #expect(try world.addresses("market") == ["10.0.1.101"])
        for name in ["store", "tasks.store"] { #expect(try world.decide(query(name)) == .forward) }
        #expect(try world.reply("100.1.0.10.in-addr.arpa", .ptr).responseCode == .nameError)
        world.table.removeService(ServiceID("svc-Shop"))
        for name in ["shop", "market", "tasks.shop"] { #expect(try world.decide(query(name)) == .forward) }
        #expect(try world.addresses("shop.1.x") == ["10.0.1.20"])
    }

    @Test mutating func `names mean the ingress network only where they mean nothing else`() throws {
        var ingress = try network("ingress", "10.0.9.0/24")
        ingress.spec.ingress = true
        world.table.insert([ingress])
        world.table.insert(
            try service("shop", on: [("my_net", [], "10.0.1.100"), ("ingress", [], "10.0.9.100")]))
        world.table.removeService(ServiceID("svc-Shop"))
        world.table.insert(try service("front", on: [("ingress", [], "10.0.9.101")]))
        world.table.insert(try endpoint("alpine1", on: "ingress", "10.0.9.2"))
        #expect(try world.addresses("shop") == ["10.0.1.100"])
        #expect(try world.addresses("front") == ["10.0.9.101"])
        #expect(try world.addresses("shop.ingress") == ["10.0.9.100"])
    }

    @Test mutating func `a hundred backends fit over TCP, and over UDP as many as do, with the bit that says so`() throws {
        for slot in 0..<100 {
            world.table.insert(
                try endpoint("many.\(slot)", on: "my_net", "10.0.1.\(120 + slot)", task: task("poll", UInt64(slot + 10))))
        }
        for id in ["ep-10.0.1.30", "ep-10.0.1.31"] { world.table.removeEndpoint(EndpointID(id)) }
        let asked = try query("poll", payloadSize: 4096)
        guard case .reply(let reply) = try world.decide(asked) else { throw Unanswered() }
        #expect(reply.answers.count == 100)
        let whole = try DNSMessage(decoding: reply.encoded(limit: DNSMessage.sizeMax))
        #expect(whole.answers.count == 100 && !whole.header.isTruncated)
        let cut = try DNSMessage(decoding: reply.encoded(limit: Resolver.replySizeMax(to: asked)))
        #expect(cut.header.isTruncated && cut.answers.count > 60)
    }

    private struct Unanswered: Error {}
}
