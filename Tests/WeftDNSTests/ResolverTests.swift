import Testing
import WeftDNS
import WeftModel
import WeftNet
import WeftWire

@Suite struct ResolverTests {
    var world: World
    init() throws { world = try World() }

    @Test mutating func `a name resolves on every host, in any case, with and without the last dot`() throws {
        for name in ["alpine2", "ALPINE2", "alpine2.", "Alpine2.my_net", "alpine2.MY_NET."] {
            #expect(try world.addresses(name) == ["10.0.1.3"])
        }
        #expect(try world.addresses("alpine1", from: "10.0.1.7") == ["10.0.1.2"])
        #expect(try world.addresses("alpine1") == ["10.0.1.2"])
    }

    @Test mutating func `aliases resolve as names do`() throws {
        #expect(try world.addresses("db.my_net", from: "10.0.1.7") == ["10.0.1.2"])
        #expect(try world.addresses("3f2a91c0d4e5", from: "10.0.1.7") == ["10.0.1.2"])
        // The name itself has a dot: it is no network's.
        #expect(try world.addresses("web.2") == ["10.0.1.5"])
        #expect(try world.addresses("web.2.my_net") == ["10.0.1.5"])
    }

    @Test mutating func `an answer says whose it is and how long it holds`() throws {
        let reply = try world.reply("AlPiNe2")
        #expect(reply.header.id == 0x4242 && reply.header.isResponse && reply.header.isAuthoritative)
        #expect(reply.header.recursionDesired && reply.header.recursionAvailable && reply.edns == nil)
        #expect(reply.questions.first?.name.description == "AlPiNe2.")
        #expect(reply.answers.count == 1 && reply.answers.first?.timeToLive == 1)
        // The asker's spelling comes back: some clients draw it at random and compare.
        #expect(reply.answers.first?.name.description == "AlPiNe2.")
    }

    @Test mutating func `all holders of a name are answered, each once and in every order`() throws {
        #expect(try world.addresses("web") == ["10.0.1.4", "10.0.1.5", "10.0.1.6"])
        var orders = Set<[DNSRecordData]>()
        for _ in 0..<200 { orders.insert(try world.reply("web").answers.map(\.data)) }
        #expect(orders.count == 6)
    }

    @Test mutating func `the same seed gives the same order`() throws {
        var other = world
        for _ in 0..<20 { #expect(try world.reply("web") == other.reply("web")) }
    }

    @Test mutating func `IPv6 addresses are answered where there are any`() throws {
        func data(_ name: String, _ type: DNSRecordType) throws -> [DNSRecordData] {
            let reply = try world.reply(name, type, from: "10.0.1.7")
            #expect(reply.header.responseCode == .noError && reply.header.isAuthoritative)
            return reply.answers.map(\.data)
        }
        let address = try #require(IPv6Address("fd00:2::2"))
        #expect(try data("secret", .aaaa) == [.aaaa(address)])
        #expect(try data("secret", .a) == [.a(ip("10.0.2.2"))])
        #expect(try Set(data("secret", .any)) == [.a(ip("10.0.2.2")), .aaaa(address)])
        // The name is there, and has no such address: clients must not take it for unknown.
        #expect(try data("alpine2", .aaaa).isEmpty)
        #expect(try data("both", .aaaa) == [.aaaa(#require(IPv6Address("fd00:2::7")))])
        // Who is not on the network does not learn of it.
        #expect(try world.decide(query("secret", .aaaa)) == .forward)
    }

    @Test mutating func `names of IPv6 addresses`() throws {
        func code(_ text: String, from asker: String) throws -> DNSResponseCode {
            let name = ReverseName.name(of: try #require(IPAddress(text))).description
            return try world.reply(name, .ptr, from: asker).header.responseCode
        }
        let name = ReverseName.name(of: try #require(IPAddress("fd00:2::2"))).description
        #expect(try world.reply(name, .ptr, from: "10.0.1.7").answers.map(\.data) == [.ptr(dnsName("secret.other"))])
        #expect(try code("fd00:2::2", from: "10.0.1.2") == .nameError)
        #expect(try code("fd00:2::99", from: "10.0.1.7") == .nameError)
        #expect(try code("::1", from: "10.0.1.7") == .nameError && code("fe80::1", from: "10.0.1.7") == .nameError)
        let outside = ReverseName.name(of: try #require(IPAddress("2001:db8::1"))).description
        #expect(try world.decide(query(outside, .ptr), from: "10.0.1.7") == .forward)
    }

    @Test mutating func `a sandbox on two networks sees both, one on one network only its own`() throws {
        #expect(try world.addresses("both", from: "10.0.1.7") == ["10.0.1.7", "10.0.2.7"])
        #expect(try world.addresses("both.other", from: "10.0.1.7") == ["10.0.2.7"])
        #expect(try world.addresses("secret", from: "10.0.1.7") == ["10.0.2.2"])
        // The other address of the same sandbox asks as the same sandbox.
        #expect(try world.addresses("alpine1", from: "10.0.2.7") == ["10.0.1.2"])
        #expect(try world.addresses("both") == ["10.0.1.7"])
        #expect(try world.decide(query("secret")) == .forward)
        #expect(try world.decide(query("secret.other")) == .forward)
        #expect(try world.decide(query("both.other")) == .forward)
    }

    @Test(arguments: [DNSRecordType.aaaa, .mx, .txt, .srv, .ptr, .soa, DNSRecordType(rawValue: 65)])
    mutating func `a known name without such a record has an empty answer`(type: DNSRecordType) throws {
        for name in ["alpine2", "alpine2.my_net"] {
            let reply = try world.reply(name, type)
            #expect(reply.responseCode == .noError && reply.header.isAuthoritative)
            #expect(reply.answers.isEmpty && reply.authorities.isEmpty)
        }
    }

    @Test mutating func `any type gives the addresses`() throws {
        #expect(try world.reply("alpine2", .any).answers.map(\.data) == [.a(try ip("10.0.1.3"))])
    }

    @Test mutating func `an address has the name of its endpoint and network`() throws {
        let reply = try world.reply("3.1.0.10.in-addr.arpa", .ptr)
        #expect(reply.answers.map(\.data) == [.ptr(try dnsName("alpine2.my_net"))])
        #expect(reply.answers.first?.name == (try dnsName("3.1.0.10.in-addr.arpa")))
    }

    @Test(arguments: ["2.2.0.10", "2.3.0.10", "200.1.0.10", "1.1.0.10", "53.77.254.169", "1.0.0.127"])
    mutating func `an address that is none of the asker's business has no name`(reverse: String) throws {
        let reply = try world.reply("\(reverse).in-addr.arpa", .ptr)
        #expect(reply.responseCode == .nameError && reply.header.isAuthoritative && reply.answers.isEmpty)
    }

    @Test mutating func `other names and addresses are asked of the host's resolvers`() throws {
        for name in ["example.com", "nosuch", "nosuch.my_net", "."] {
            #expect(try world.decide(query(name)) == .forward)
            #expect(try world.decide(query(name, .mx)) == .forward)
        }
        for name in ["8.8.8.8.in-addr.arpa", "4.0.10.in-addr.arpa", "2.4.0.10.in-addr.arpa", "b.1.0.10.in-addr.arpa"] {
            #expect(try world.decide(query(name, .ptr)) == .forward)
        }
    }

    @Test mutating func `on internal networks alone no other name exists`() throws {
        for name in ["example.com", "nosuch", "alpine1"] {
            #expect(try world.reply(name, from: "10.0.3.2").responseCode == .nameError)
        }
        #expect(try world.reply("8.8.8.8.in-addr.arpa", .ptr, from: "10.0.3.2").responseCode == .nameError)
        #expect(try world.addresses("quiet", from: "10.0.3.2") == ["10.0.3.2"])
        // One network that lets out is enough.
        world.table.insert(try endpoint("quiet", on: "my_net", "10.0.1.9"))
        #expect(try world.decide(query("example.com"), from: "10.0.3.2") == .forward)
    }

    @Test mutating func `who is no sandbox of this node is refused`() throws {
        for asker in ["10.0.1.3", "10.0.1.99", "192.0.2.1", "127.0.0.1"] {
            for name in ["alpine1", "example.com"] {
                let reply = try world.reply(name, from: asker)
                #expect(reply.responseCode == .refused && reply.answers.isEmpty && !reply.header.isAuthoritative)
            }
        }
    }

    @Test mutating func `endpoints of a peer that is down are left out until it is back`() throws {
        world.table.insert(peer("there", .down))
        #expect(try world.addresses("web") == ["10.0.1.4"])
        // Never forwarded: the name is ours.
        #expect(try world.reply("alpine2").responseCode == .nameError)
        #expect(try world.reply("alpine2", .aaaa).responseCode == .nameError)
        #expect(try world.reply("3.1.0.10.in-addr.arpa", .ptr).responseCode == .nameError)
        for state in [NodeState.ready, .disconnected, .unknown] {
            world.table.insert(peer("there", .down))
            world.table.insert(peer("there", state))
            #expect(try world.addresses("web").count == 3)
        }
        world.table.insert(peer("there", .down))
        world.table.removePeer(NodeID("there"))
        #expect(try world.addresses("web").count == 3)
    }

    @Test mutating func `a node that is taken for down goes on resolving its own names`() throws {
        world.table.insert(peer("here", .down))
        #expect(try world.addresses("alpine1") == ["10.0.1.2"])
    }

    @Test mutating func `what is no plain query gets the code that says why`() throws {
        func code(_ change: (inout DNSMessage) -> Void) throws -> DNSResponseCode? {
            var message = try query("alpine2", payloadSize: 4096)
            change(&message)
            guard case .reply(let reply) = try world.decide(message) else { return nil }
            #expect(reply.answers.isEmpty && reply.header.id == message.header.id)
            return try DNSMessage(decoding: reply.encoded()).responseCode
        }
        let question = DNSQuestion(name: try dnsName("alpine2"), type: .a)
        #expect(try code { $0.header.opcode = DNSOpcode(rawValue: 5) } == .notImplemented)
        #expect(try code { $0.questions.append(question) } == .formatError)
        #expect(try code { $0.questions = [] } == .formatError)
        #expect(try code { $0.questions[0].recordClass = .chaos } == .refused)
        #expect(try code { $0.questions[0].type = .axfr } == .refused)
        #expect(try code { $0.edns?.version = 1 } == .badVersion)
        #expect(try code { $0.header.isResponse = true } == nil)
        var response = try query("alpine2")
        response.header.isResponse = true
        #expect(try world.decide(response) == .ignore)
    }

    @Test func `what cannot be read gets FORMERR if it has a header`() throws {
        let bytes: [UInt8] = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0]
        let reply = try #require(Resolver().answer(undecodable: bytes))
        #expect(reply.header.id == 0x1234 && reply.responseCode == .formatError)
        #expect(Resolver().answer(undecodable: Array(bytes[..<11])) == nil)
        #expect(Resolver().answer(undecodable: [0x12, 0x34, 0x81] + bytes[3...]) == nil)
        #expect(Resolver().answer(undecodable: [0x12, 0x34, 0x29] + bytes[3...])?.responseCode == .notImplemented)
    }

    @Test mutating func `EDNS is echoed, and its size kept`() throws {
        var asked = try query("alpine2", payloadSize: 4096)
        asked.edns?.dnssecOK = true
        guard case .reply(let reply) = try world.decide(asked) else {
            Issue.record("not answered")
            return
        }
        #expect(reply.edns?.payloadSize == 1232 && reply.edns?.dnssecOK == true && reply.edns?.version == 0)
        #expect(Resolver.replySizeMax(to: try query("a")) == 512)
        for (size, max) in [(100, 512), (512, 512), (1000, 1000), (1232, 1232), (4096, 1232)] as [(UInt16, Int)] {
            #expect(Resolver.replySizeMax(to: try query("a", payloadSize: size)) == max)
        }
    }

    @Test mutating func `endpoints say what their holder sees, whosever they are taken for by now`() throws {
        func names(_ endpoints: [String]) -> [NetworkID]? { world.table.view(of: endpoints.map { EndpointID($0) })?.networks }
        #expect(names(["ep-10.0.1.7", "ep-10.0.2.7"]) == [NetworkID("net-my_net"), NetworkID("net-other")])
        #expect(names(["ep-10.0.2.7"]) == [NetworkID("net-other")])
        // Another node's, one that is gone, none.
        #expect(names(["ep-10.0.1.3"]) == nil && names(["ep-10.0.1.99"]) == nil && names([]) == nil)
        #expect(world.table.address(ofFirst: [EndpointID("ep-10.0.1.3"), EndpointID("ep-10.0.2.7")]) == (try ip("10.0.2.7")))
        let answer = Resolver().answer(
            try query("secret"), seeing: world.table.view(of: [EndpointID("ep-10.0.2.7")]), in: world.table, using: &world.generator)
        guard case .reply(let reply) = answer else { return #expect(Bool(false), "\(answer)") }
        #expect(reply.answers.map(\.data) == [.a(try ip("10.0.2.2"))])
    }

    @Test func `what an engine says of the swarm's addresses lasts no longer than what the swarm says`() throws {
        func lifetimes(_ records: [(String, DNSRecordData)]) throws -> [UInt32] {
            var answer = try query("web")
            answer.header.isResponse = true
            answer.answers = try records.map { DNSRecord(name: try dnsName($0.0), timeToLive: 600, data: $0.1) }
            return Resolver().shortened(answer, in: world.table).answers.map(\.timeToLive)
        }
        let ipv6 = try #require(IPv6Address("fd00:2::99"))
        #expect(try lifetimes([("web", .a(try ip("10.0.1.4"))), ("web", .aaaa(ipv6))]) == [1, 1])
        #expect(try lifetimes([("4.1.0.10.in-addr.arpa", .ptr(try dnsName("web.my_net")))]) == [1])
        // Of the engine's own networks, and of the world outside.
        #expect(try lifetimes([("web", .a(try ip("172.18.0.2"))), ("web", .a(try ip("10.0.1.9")))]) == [600, 1])
        #expect(try lifetimes([("2.0.18.172.in-addr.arpa", .ptr(try dnsName("web.town")))]) == [600])
    }
}
