import Glibc
import Logging
import NIOCore
import NIOPosix
import Testing
import WeftAgent
import WeftDNS
import WeftModel
import WeftNet
import WeftWire

@Suite struct DNSServerTests {
    @Test(arguments: [false, true])
    func `names are answered over UDP and TCP`(overTCP: Bool) async throws {
        let server = try await startServer([])
        let client = try await TestClient(of: server.address, overTCP: overTCP)
        let reply = try await client.ask("client.my_net")
        #expect(reply.header.id == 0x4242 && reply.responseCode == .noError)
        #expect(reply.answers.map(\.data) == [.a(IPv4Address(rawValue: 0x7f00_0001))])
        #expect(try await client.ask("client", .aaaa).answers.isEmpty)
        #expect(server.counts.queries == 2 && server.counts.answered == 2)
        #expect(server.counts.replies == [.noError: 2])
        await server.stop()
    }

    @Test func `a long answer is cut to the client's size, and whole over TCP`() async throws {
        let server = try await startServer([])
        let udp = try await TestClient(of: server.address)
        // Header 12, question 10, 16 each, OPT 11.
        for (size, count) in [(nil, (512 - 22) / 16), (512, (512 - 33) / 16), (1232, (1232 - 33) / 16), (4096, (1232 - 33) / 16)] as [(UInt16?, Int)] {
            let reply = try await udp.ask("many", payloadSize: size)
            #expect(reply.header.isTruncated && reply.answers.count == count)
            #expect(reply.edns?.payloadSize == (size == nil ? nil : 1232))
        }
        let tcp = try await TestClient(of: server.address, overTCP: true)
        let whole = try await tcp.ask("many")
        #expect(!whole.header.isTruncated && Set(whole.answers.map(\.data)).count == 100)
        await server.stop()
    }

    @Test func `many queries on one connection are all answered`() async throws {
        let server = try await startServer([])
        let client = try await TestClient(of: server.address, overTCP: true)
        for id in 0..<500 as Range<UInt16> { try await client.send(query("client", id: id)) }
        var ids: [UInt16] = []
        for _ in 0..<500 { ids.append(try await DNSMessage(decoding: client.inbox.next()).header.id) }
        #expect(ids == Array(0..<500))
        await server.stop()
    }

    @Test(arguments: [false, true])
    func `in a container, what the swarm has no record for is its engine's to answer`(overTCP: Bool) async throws {
        let engine = try await TestUpstream { [$0.query.response(.noError, [0x0102_0304])] }
        let server = try await startServer([])
        let sockets = try LoopbackSockets()
        let container = ContainerResolver(endpoints: { [EndpointID("ep-127.0.0.1")] }, server: engine.address) {
            try LoopbackSockets.connected(to: engine.address, type: $0 ? SOCK_STREAM : SOCK_DGRAM)
        }
        let door = try await server.open(container, datagram: sockets.datagram, stream: sockets.stream)
        let client = try await TestClient(of: SocketAddress(ipAddress: "127.0.0.1", port: sockets.port), overTCP: overTCP)
        #expect(try await client.ask("client").answers.map(\.data) == [.a(IPv4Address(rawValue: 0x7f00_0001))])
        #expect(engine.asked.count == 0)
        #expect(try await client.ask("neighbour").answers.map(\.data) == [.a(IPv4Address(rawValue: 0x0102_0304))])
        // On none of the swarm's networks any more, it sees none of its names.
        server.update { $0.removeEndpoint(EndpointID("ep-127.0.0.1")) }
        #expect(try await client.ask("many").answers.map(\.data) == [.a(IPv4Address(rawValue: 0x0102_0304))])
        #expect(engine.asked.count == 2)
        await door.close()
        await server.stop()
        try await engine.close()
    }

    @Test func `a query waits until it is known whose it is, and goes to the servers that one has`() async throws {
        let wrong = try await TestUpstream { [$0.query.response(.nameError)] }
        let right = try await TestUpstream { [$0.query.response(.noError, [0x0102_0304])] }
        let server = try await startServer([wrong.address])
        server.followEngine()
        let known = try endpoint("client", IPv4Address(rawValue: 0x7f00_0001))
        let nameless = Endpoint(
            id: known.id, network: known.network, node: known.node, sandbox: known.sandbox, ipv4: known.ipv4, mac: known.mac, name: "")
        server.update { $0.insert(nameless) }
        let client = try await TestClient(of: server.address)
        try await client.send(query("corp.example"))
        _ = try await wait { server.counts.forwarded == 1 ? true : nil }
        server.use(upstreams: [IPv4Address(rawValue: 0x7f00_0001)], of: known.sandbox, port: try #require(right.address.port))
        server.update { $0.insert(known) }
        let reply = try await DNSMessage(decoding: client.inbox.next())
        #expect(reply.answers.map(\.data) == [.a(IPv4Address(rawValue: 0x0102_0304))])
        #expect(wrong.asked.count == 0)
        await server.stop()
        for upstream in [wrong, right] { try await upstream.close() }
    }

    @Test func `a change of the table is answered from at once`() async throws {
        let server = try await startServer([])
        let client = try await TestClient(of: server.address)
        let added = try endpoint("late", IPv4Address(rawValue: 0x0a00_0777))
        server.update { $0.insert(added) }
        #expect(try await client.ask("late").answers.count == 1)
        server.update { $0.removeEndpoint(added.id) }
        // No resolver outside to ask.
        #expect(try await client.ask("late").responseCode == .serverFailure)
        await server.stop()
    }

    @Test func `who is no sandbox of the node is refused`() async throws {
        let server = try await startServer([])
        let stranger = try await TestClient(of: server.address, from: "127.0.0.2")
        #expect(try await stranger.ask("client").responseCode == .refused)
        #expect(server.counts.refused == 1 && server.counts.answered == 0)
        await server.stop()
    }

    @Test func `what is no query is refused or ignored, and the server goes on`() async throws {
        let server = try await startServer([])
        let client = try await TestClient(of: server.address)
        try await client.send([1, 2, 3])
        try await client.send([])
        try await client.send(DNSMessage(decoding: query("client")).response().encoded())
        try await client.send([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 0x0c])
        let reply = try await DNSMessage(decoding: client.inbox.next())
        #expect(reply.header.id == 0x1234 && reply.responseCode == .formatError)
        #expect(try await client.ask("client").answers.count == 1)
        #expect(server.counts.ignored == 3)
        await server.stop()
    }

    @Test func `connections have a bound, and end with the server`() async throws {
        let server = try await startServer([])
        var clients: [TestClient] = []
        for _ in 0..<256 { clients.append(try await TestClient(of: server.address, overTCP: true)) }
        for client in clients { #expect(try await client.ask("client").answers.count == 1) }
        let late = try await TestClient(of: server.address, overTCP: true)
        _ = try await wait { late.isOpen ? nil : true }
        // One that ends makes room for another.
        try await clients.removeLast().close()
        let reply = try await wait {
            try await TestClient(of: server.address, overTCP: true).askIfOpen("client")
        }
        #expect(reply.answers.count == 1)
        await server.stop()
        for client in clients { _ = try await wait { client.isOpen ? nil : true } }
    }

    @Test func `a server that was stopped gives its port back`() async throws {
        let server = try await startServer([])
        let port = UInt16(try #require(server.address.port))
        await server.stop()
        let again = try await DNSServer.start(
            address: IPv4Address(rawValue: 0x7f00_0001), port: port, node: NodeID("here"), upstreams: .fixed([]),
            logger: .init(label: "test"))
        await #expect(throws: IOError.self) {
            _ = try await DNSServer.start(
                address: IPv4Address(rawValue: 0x7f00_0001), port: port, node: NodeID("here"),
                upstreams: .fixed([]), logger: .init(label: "test"))
        }
        await again.stop()
    }

    @Test func `an address that is not there yet can be bound`() async throws {
        let server = try await DNSServer.start(
            address: try #require(IPv4Address("198.51.100.53")), port: 0, node: NodeID("here"),
            upstreams: .fixed([]), logger: .init(label: "test"))
        #expect(server.address.ipAddress == "198.51.100.53")
        await server.stop()
    }
}
