import TestSupport
import Testing
import WeftDNS
import WeftModel
import WeftNet
import WeftWire

@Suite struct NameTableTests {
    @Test func `a name goes when its endpoint does`() throws {
        var world = try World()
        world.table.removeEndpoint(EndpointID("ep-10.0.1.3"))
        #expect(try world.decide(query("alpine2")) == .forward)
        #expect(try world.reply("3.1.0.10.in-addr.arpa", .ptr).responseCode == .nameError)
        world.table.removeEndpoint(EndpointID("ep-10.0.1.5"))
        #expect(try world.addresses("web") == ["10.0.1.4", "10.0.1.6"])
        world.table.removeEndpoint(EndpointID("ep-10.0.1.2"))
        #expect(try world.reply("web").responseCode == .refused)
    }

    @Test func `an endpoint that is replaced loses the names it had`() throws {
        var world = try World()
        world.table.insert(try endpoint("renamed", on: "my_net", "10.0.1.3", node: "there"))
        #expect(try world.decide(query("alpine2")) == .forward)
        #expect(try world.addresses("renamed.my_net") == ["10.0.1.3"])
    }

    @Test func `a network's name is known as long as the network`() throws {
        var world = try World()
        world.table.removeNetwork(NetworkID("net-my_net"))
        #expect(try world.decide(query("alpine2.my_net")) == .forward)
        #expect(try world.addresses("alpine2") == ["10.0.1.3"])
        #expect(try world.reply("3.1.0.10.in-addr.arpa", .ptr).answers.map(\.data) == [.ptr(try dnsName("Alpine2"))])
        world.table.insert([try network("new.name", "10.0.1.0/24")])
        // Another network: the endpoints are not on it.
        #expect(try world.decide(query("alpine2.new.name")) == .forward)
        world.table.insert([try network("my_net", "10.0.1.0/24")])
        #expect(try world.addresses("alpine2.my_net") == ["10.0.1.3"])
    }

    @Test func `a network's name may have dots`() throws {
        let table = NameTable(
            node: NodeID("here"), networks: [try network("a.b", "10.0.1.0/24")],
            endpoints: [try endpoint("x.y", on: "a.b", "10.0.1.2")], peers: [])
        let view = try #require(table.view(from: ip("10.0.1.2")))
        #expect(table.addresses(of: try dnsName("x.y.a.b"), in: view) == [.v4(try ip("10.0.1.2"))])
        #expect(table.addresses(of: try dnsName("x.y.a"), in: view) == nil)
        #expect(table.addresses(of: try dnsName("a.b"), in: view) == nil)
    }

    @Test func `names that DNS cannot express do no harm`() throws {
        let long = String(repeating: "n", count: 64)
        let table = NameTable(
            node: NodeID("here"), networks: [try network(long, "10.0.1.0/24")],
            endpoints: [try endpoint("a..b", on: long, "10.0.1.2", aliases: ["", ".", long, "good"])], peers: [])
        let view = try #require(table.view(from: ip("10.0.1.2")))
        #expect(table.addresses(of: try dnsName("good"), in: view) == [.v4(try ip("10.0.1.2"))])
        #expect(table.addresses(of: .root, in: view) == nil)
        #expect(table.owner(of: .v4(try ip("10.0.1.2")), in: view) == .hidden)
    }

    @Test func `a full set replaces, a delta is laid over`() throws {
        var table = try World().table
        var delta = Assignments(isFull: false, baseRevision: Version(1), revision: Version(2))
        delta.endpoints = [try endpoint("new", on: "my_net", "10.0.1.50", node: "there")]
        delta.removedEndpoints = [EndpointID("ep-10.0.1.3")]
        delta.peers = [peer("gone", .down)]
        delta.removedNetworks = [NetworkID("net-closed")]
        delta.networks = [try network("late", "10.0.9.0/24")]
        table.apply(delta)
        let view = try #require(table.view(from: ip("10.0.1.2")))
        #expect(table.addresses(of: try dnsName("new"), in: view) == [.v4(try ip("10.0.1.50"))])
        #expect(table.addresses(of: try dnsName("alpine2"), in: view) == nil)
        #expect(table.owner(of: .v4(try ip("10.0.9.77")), in: view) == .hidden)
        #expect(table.owner(of: .v4(try ip("10.0.3.77")), in: view) == .outside)
        #expect(table.endpointCount == 9)

        var full = Assignments(isFull: true, baseRevision: .none, revision: Version(3))
        full.networks = [try network("my_net", "10.0.1.0/24")]
        full.endpoints = [try endpoint("only", on: "my_net", "10.0.1.60")]
        table.apply(full)
        #expect(table.endpointCount == 1)
        #expect(table.view(from: try ip("10.0.1.2")) == nil)
        #expect(table.view(from: try ip("10.0.1.60"))?.networks == [NetworkID("net-my_net")])
    }

    @Test func `changes in any order give what a table built at once gives`() throws {
        var generator = SplitMix(state: 29)
        let networks = try (0..<4).map { try network("n\($0)", "10.0.\($0).0/24", isInternal: $0 == 3) }
        let nodes = ["here", "there", "far"]
        for _ in 0..<40 {
            var table = NameTable(node: NodeID("here"))
            var known: [EndpointID: Endpoint] = [:]
            var present: [NetworkID: Network] = [:]
            var states: [String: NodeState] = [:]
            var services: [ServiceID: ServiceView] = [:]
            for _ in 0..<80 {
                let index = Int.random(in: 0..<4, using: &generator)
                let node = nodes[Int.random(in: 0..<3, using: &generator)]
                switch Int.random(in: 0..<10, using: &generator) {
                case 0:
                    table.insert([networks[index]])
                    present[networks[index].id] = networks[index]
                case 1:
                    table.removeNetwork(networks[index].id)
                    present[networks[index].id] = nil
                case 2:
                    states[node] = Bool.random(using: &generator) ? .down : .ready
                    table.insert(peer(node, states[node] ?? .ready))
                case 3, 4:
                    guard let id = known.keys.sorted().randomElement(using: &generator) else { continue }
                    table.removeEndpoint(id)
                    known[id] = nil
                case 5:
                    guard let id = services.keys.sorted().randomElement(using: &generator) else { continue }
                    table.removeService(id)
                    services[id] = nil
                case 6:
                    let added = try service(
                        ["a", "web"][Int.random(in: 0..<2, using: &generator)],
                        mode: Bool.random(using: &generator) ? .vip : .dnsrr,
                        on: [("n\(index)", ["x"], Bool.random(using: &generator) ? "10.0.\(index).7" : nil), ("n0", [], nil)])
                    table.insert(added)
                    services[added.id] = added
                default:
                    let names = ["a", "b", "c", "a.n1"]
                    let added = try endpoint(
                        names[Int.random(in: 0..<4, using: &generator)], on: "n\(index)",
                        "10.0.\(index).\(Int.random(in: 2...6, using: &generator))", node: node,
                        sandbox: "\(node)-\(Int.random(in: 0..<3, using: &generator))", aliases: ["x", "a"],
                        task: [nil, task("web", 1), task("a", 2), task("web", 3, .draining)].randomElement(using: &generator) ?? nil)
                    table.insert(added)
                    known[added.id] = added
                }
            }
            let built = NameTable(
                node: NodeID("here"), networks: Array(present.values), endpoints: Array(known.values),
                peers: states.map { peer($0.key, $0.value) }, services: Array(services.values))
            #expect(try Self.observed(table) == Self.observed(built))
            #expect(table == built)
            for id in known.keys { table.removeEndpoint(id) }
            #expect(table.endpointCount == 0)
        }
    }

    /// Everything the table says to anybody.
    private static func observed(_ table: NameTable) throws -> [String] {
        var lines: [String] = []
        let all = (0..<4).flatMap { net in (1...7).map { "10.0.\(net).\($0)" } }
        for asker in all {
            guard let view = table.view(from: try ip(asker)) else { continue }
            lines.append("\(asker) \(view.networks) \(view.isInternal)")
            for name in ["a", "b", "c", "x", "a.n0", "a.n1", "x.n2", "a.n1.n1", "n1", "web", "tasks.web.n2", "tasks.x"] {
                lines.append("  \(name) \(String(describing: table.addresses(of: try dnsName(name), in: view)))")
            }
            for address in all { lines.append("  \(address) \(table.owner(of: .v4(try ip(address)), in: view))") }
        }
        return lines
    }

    @Test func `a hundred thousand endpoints all resolve`() throws {
        let networks = try (0..<4).map { try network("n\($0)", "10.\($0).0.0/16") }
        let endpoints = try (0..<100_000).map { index in
            try endpoint(
                "c\(index)", on: "n\(index % 4)", "10.\(index % 4).\(index / 1024).\(index / 4 % 256)",
                node: index < 4 ? "here" : "there")
        }
        let table = NameTable(node: NodeID("here"), networks: networks, endpoints: endpoints, peers: [])
        #expect(table.endpointCount == 100_000)
        for net in 0..<4 {
            let view = try #require(table.view(from: endpoints[net].ipv4))
            for index in stride(from: net, to: 100_000, by: 4 * 97) {
                #expect(table.addresses(of: try dnsName("c\(index)"), in: view) == [.v4(endpoints[index].ipv4)])
                #expect(table.addresses(of: try dnsName("c\(index + 1)"), in: view) == nil)
            }
        }
    }
}
