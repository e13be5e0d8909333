import NIOCore
import Testing
import WeftAgent
import WeftModel
import WeftNet
import WeftWire

@Suite struct UpstreamForwarderTests {
    private let outside: UInt32 = 0xc000_0201

    /// A resolver outside that knows every name.
    private func knowing() async throws -> TestUpstream {
        try await TestUpstream { [outside] in [$0.query.response(.noError, [outside])] }
    }

    /// An address on which nobody listens.
    private static func dead() throws -> SocketAddress { try SocketAddress(ipAddress: "127.0.0.9", port: 9) }

    @Test(arguments: [false, true])
    func `another name is asked outside, under an identifier of its own`(overTCP: Bool) async throws {
        let upstream = try await knowing()
        let server = try await startServer([upstream.address])
        let client = try await TestClient(of: server.address, overTCP: overTCP)
        var identifiers = Set<UInt16>()
        for _ in 0..<20 {
            let reply = try await client.ask("ExAmple.org", id: 7, payloadSize: 1000)
            #expect(reply.header.id == 7 && reply.answers.count == 1)
            #expect(reply.questions.first?.name.description == "ExAmple.org.")
            let asked = try await DNSMessage(decoding: upstream.asked.next())
            #expect(asked.edns?.payloadSize == 1000 && asked.header.recursionDesired)
            identifiers.insert(asked.header.id)
        }
        // Twenty times the same of 65,536 is no chance.
        #expect(identifiers.count > 10)
        #expect(server.counts.forwarded == 20 && server.counts.failed == 0 && server.counts.replies == [.noError: 20])
        await server.stop()
        try await upstream.close()
    }

    @Test func `a sandbox with resolvers of its own asks those and not the host's`() async throws {
        let (hosts, own) = (try await knowing(), try await knowing())
        let server = try await startServer([hosts.address])
        let client = try await TestClient(of: server.address)
        let sandbox = try endpoint("client", IPv4Address(rawValue: 0x7f00_0001)).sandbox
        server.use(upstreams: [sandbox: [IPv4Address(rawValue: 0x7f00_0001)]], port: try #require(own.address.port))
        #expect(try await client.ask("example.org").answers.count == 1)
        #expect(try await DNSMessage(decoding: own.asked.next()).questions.first?.name.description == "example.org.")
        server.use(upstreams: [:])
        #expect(try await client.ask("example.net").answers.count == 1)
        #expect(try await DNSMessage(decoding: hosts.asked.next()).questions.first?.name.description == "example.net.")
        await server.stop()
        for upstream in [hosts, own] { try await upstream.close() }
    }

    @Test func `answers with another identifier or question are not believed`() async throws {
        let upstream = try await TestUpstream { [outside] asked in
            var identifier = asked.query.response(.noError, [1])
            identifier.header.id ^= 1
            var question = asked.query
            question.questions[0].name = .root
            var type = asked.query
            type.questions[0].type = .aaaa
            return [
                identifier, question.response(.noError, [2]), type.response(.noError, [3]), asked.query,
                asked.query.response(.noError, [outside]),
            ]
        }
        let server = try await startServer([upstream.address])
        let client = try await TestClient(of: server.address)
        let reply = try await client.ask("example.org")
        #expect(reply.answers.map(\.data) == [.a(.init(rawValue: outside))])
        await server.stop()
        try await upstream.close()
    }

    @Test func `a resolver that is silent, dead or failing is no reason to wait`() async throws {
        let silent = try await TestUpstream { _ in [] }
        let failing = try await TestUpstream { [$0.query.response(.serverFailure)] }
        let good = try await knowing()
        let dead = try Self.dead()
        for others in [
            [silent.address], [failing.address], [dead], [silent.address, failing.address], [dead, failing.address],
        ] {
            // Long before one that says nothing would be asked again.
            var limits = DNSLimits.patient
            limits.times.again = .minutes(5)
            let server = try await startServer(others + [good.address], limits: limits)
            let client = try await TestClient(of: server.address)
            #expect(try await client.ask("example.org").answers.count == 1)
            await server.stop()
        }
        for upstream in [silent, failing, good] { try await upstream.close() }
    }

    @Test func `that a name does not exist outside is passed on`() async throws {
        let upstream = try await TestUpstream { [$0.query.response(.nameError)] }
        let silent = try await TestUpstream { _ in [] }
        for upstreams in [[upstream.address], [silent.address, upstream.address]] {
            let server = try await startServer(upstreams)
            let client = try await TestClient(of: server.address)
            #expect(try await client.ask("example.org").responseCode == .nameError)
            #expect(server.counts.failed == 0)
            await server.stop()
        }
        try await upstream.close()
        try await silent.close()
    }

    @Test func `a query that got lost is asked once more`() async throws {
        let upstream = try await TestUpstream { [outside] in
            $0.number == 0 ? [] : [$0.query.response(.noError, [outside])]
        }
        var limits = DNSLimits.patient
        limits.times.again = .milliseconds(100)
        let server = try await startServer([upstream.address], limits: limits)
        let client = try await TestClient(of: server.address)
        #expect(try await client.ask("example.org").answers.count == 1)
        #expect(upstream.asked.count == 2)
        await server.stop()
        try await upstream.close()
    }

    @Test func `without any resolver, or with none alive, the answer is SERVFAIL at once`() async throws {
        for upstreams in [[], [try Self.dead()]] {
            let server = try await startServer(upstreams)
            let client = try await TestClient(of: server.address)
            // Long before it is given up.
            #expect(try await client.ask("example.org").responseCode == .serverFailure)
            #expect(server.counts.failed == 1 && server.counts.replies == [.serverFailure: 1])
            await server.stop()
        }
    }

    @Test func `a cut answer is fetched over TCP for a client on TCP, and passed on to one on UDP`() async throws {
        let upstream = try await TestUpstream { asked in
            var reply = asked.query.response(.noError, Array(1...200))
            if !asked.overTCP {
                reply.answers = []
                reply.header.isTruncated = true
            }
            return [reply]
        }
        let server = try await startServer([upstream.address])
        let udp = try await TestClient(of: server.address)
        let cut = try await udp.ask("example.org")
        #expect(cut.header.isTruncated && cut.answers.isEmpty)
        let tcp = try await TestClient(of: server.address, overTCP: true)
        let whole = try await tcp.ask("example.org", id: 99)
        #expect(!whole.header.isTruncated && whole.answers.count == 200 && whole.header.id == 99)
        await server.stop()
        try await upstream.close()
    }

    @Test func `an answer longer than the client can take is cut`() async throws {
        let upstream = try await TestUpstream { [$0.query.response(.noError, Array(1...100))] }
        let server = try await startServer([upstream.address])
        let client = try await TestClient(of: server.address)
        try await client.send(query("example.org"))
        let bytes = try await client.inbox.next()
        let reply = try DNSMessage(decoding: bytes)
        #expect(bytes.count <= 512 && reply.header.isTruncated && reply.answers.count == 30)
        await server.stop()
        try await upstream.close()
    }

    @Test func `one sandbox cannot have more than its share under way`() async throws {
        let silent = try await TestUpstream { _ in [] }
        let server = try await startServer([silent.address, silent.address])
        let client = try await TestClient(of: server.address)
        for id in 0..<300 as Range<UInt16> { try await client.send(query("example.org", id: id)) }
        // 256 wait, with two sockets each; the rest are told at once.
        let refused = try await client.replies(44)
        #expect(refused.allSatisfy { $0.responseCode == .serverFailure })
        #expect(Set(refused.map(\.header.id)) == Set(256..<300))
        // Names of the overlay are answered meanwhile.
        #expect(try await client.ask("client").answers.count == 1)
        await server.stop()
        try await silent.close()
    }

    @Test func `when there are no more sockets, who has most of them makes room`() async throws {
        let silent = try await TestUpstream { _ in [] }
        let upstream = try await knowing()
        var limits = DNSLimits.patient
        (limits.upstreamSockets, limits.upstreamSocketsOfAsker) = (20, 20)
        limits.times.again = .minutes(5)
        let server = try await startServer([silent.address], limits: limits, sandboxes: ["127.0.0.2"])
        let other = try endpoint("other", #require(IPv4Address("127.0.0.2")))
        server.use(upstreams: [other.sandbox: [IPv4Address(rawValue: 0x7f00_0001)]], port: try #require(upstream.address.port))
        let greedy = try await TestClient(of: server.address)
        for id in 0..<20 as Range<UInt16> { try await greedy.send(query("example.org", id: id)) }
        _ = try await wait { silent.asked.count == 20 ? true : nil }
        let client = try await TestClient(of: server.address, from: "127.0.0.2")
        #expect(try await client.ask("example.org").answers.count == 1)
        // The oldest one was given up, not one after its time.
        #expect(try await DNSMessage(decoding: greedy.inbox.next()).header.id == 0)
        await server.stop()
        for upstream in [silent, upstream] { try await upstream.close() }
    }
}
