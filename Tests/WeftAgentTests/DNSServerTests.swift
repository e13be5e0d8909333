import Glibc
import Logging
import NIOCore
import NIOPosix
import Synchronization
import Testing
import WeftDNS
import WeftModel
import WeftNet
import WeftWire

@testable import WeftAgent

private final class Rounds: Sendable {
    private let counts = Mutex<[DNSServer.Transport: Int]>([:])
    func add(_ transport: DNSServer.Transport) { counts.withLock { $0[transport, default: 0] += 1 } }
    func count(_ transport: DNSServer.Transport) -> Int { counts.withLock { $0[transport, default: 0] } }
}

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
        for (size, count) in [(nil, (512 - 22) / 16), (512, (512 - 33) / 16), (1232, (1232 - 33) / 16), (4096, (1232 - 33) / 16)]
            as [(UInt16?, Int)]
        {
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

    @Test func `what asks in a container has a share of its own`() async throws {
        let silent = try await TestUpstream { _ in [] }
        var limits = DNSLimits.patient
        (limits.connectionsOfAsker, limits.upstreamSocketsOfAsker) = (2, 3)
        limits.times.again = .minutes(5)
        let server = try await startServer([silent.address], limits: limits)
        let sockets = try LoopbackSockets()
        let container = ContainerResolver(endpoints: { [EndpointID("ep-127.0.0.1")] }, server: silent.address) {
            try LoopbackSockets.connected(to: silent.address, type: $0 ? SOCK_STREAM : SOCK_DGRAM)
        }
        let door = try await server.open(container, datagram: sockets.datagram, stream: sockets.stream)
        let inside = try SocketAddress(ipAddress: "127.0.0.1", port: sockets.port)
        var clients: [TestClient] = []
        for _ in 0..<2 {
            clients.append(try await TestClient(of: inside, overTCP: true))
            #expect(try await clients.last?.ask("client").answers.count == 1)
        }
        let late = try await TestClient(of: inside, overTCP: true)
        _ = try await wait { late.isOpen ? nil : true }
        let udp = try await TestClient(of: inside)
        for id in 0..<5 as Range<UInt16> { try await udp.send(query("example.org", id: id)) }
        // Three wait for the engine, two are told at once.
        #expect(try await udp.replies(2).allSatisfy { $0.responseCode == .serverFailure })
        let other = try await TestClient(of: server.address, overTCP: true)
        #expect(try await other.ask("client").answers.count == 1)
        for id in 0..<3 as Range<UInt16> { try await other.send(query("example.org", id: id)) }
        _ = try await wait { silent.asked.count == 6 ? true : nil }
        await door.close()
        await server.stop()
        try await silent.close()
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

    @Test func `who is no sandbox of the node gets no reply, and no connection`() async throws {
        let server = try await startServer([])
        let stranger = try await TestClient(of: server.address, from: "127.0.0.2")
        try await stranger.send(query("client"))
        _ = try await wait { server.counts.refused == 1 ? true : nil }
        let client = try await TestClient(of: server.address)
        #expect(try await client.ask("client").answers.count == 1)
        #expect(stranger.inbox.count == 0 && server.counts.answered == 1)
        let connected = try await TestClient(of: server.address, from: "127.0.0.2", overTCP: true)
        _ = try await wait { connected.isOpen ? nil : true }
        #expect(server.counts.queries == 2)
        await server.stop()
    }

    @Test func `who is no sandbox any more loses its connection with its next query`() async throws {
        let server = try await startServer([])
        let client = try await TestClient(of: server.address, overTCP: true)
        #expect(try await client.ask("client").answers.count == 1)
        server.update { $0.removeEndpoint(EndpointID("ep-127.0.0.1")) }
        #expect(try await client.askIfOpen("client") == nil)
        await server.stop()
    }

    @Test(arguments: [0, 1, 11, 4097, 65_535])
    func `a message of an impossible length ends its connection, and no other`(length: Int) async throws {
        let server = try await startServer([])
        let other = try await TestClient(of: server.address, overTCP: true)
        let client = try await TestClient(of: server.address, overTCP: true)
        let framed = try #require(DNSStreamDecoder.frame(query("client")))
        try await client.sendRaw(framed + [UInt8(length >> 8), UInt8(truncatingIfNeeded: length)])
        // What came before is answered.
        #expect(try await DNSMessage(decoding: client.inbox.next()).answers.count == 1)
        _ = try await wait { client.isOpen ? nil : true }
        #expect(try await other.ask("client").answers.count == 1)
        await server.stop()
    }

    @Test func `a query in single octets is answered`() async throws {
        let server = try await startServer([])
        let client = try await TestClient(of: server.address, overTCP: true)
        for octet in try #require(DNSStreamDecoder.frame(query("client"))) { try await client.sendRaw([octet]) }
        #expect(try await DNSMessage(decoding: client.inbox.next()).answers.count == 1)
        await server.stop()
    }

    @Test func `a message that is not made whole ends its connection, however slowly it goes on`() async throws {
        var limits = DNSLimits.patient
        limits.times.message = .milliseconds(500)
        let server = try await startServer([], limits: limits)
        let other = try await TestClient(of: server.address, overTCP: true)
        let slow = try await TestClient(of: server.address, overTCP: true)
        #expect(try await slow.ask("client").answers.count == 1)
        try await slow.sendRaw([1, 0])
        _ = try await wait {
            try? await slow.sendRaw([1])
            try await Task.sleep(for: .milliseconds(50))
            return slow.isOpen ? nil : true
        }
        #expect(try await other.ask("client").answers.count == 1)
        await server.stop()
    }

    @Test func `a connection has a bound of queries that wait for an answer from outside, and then goes on`() async throws {
        let silent = try await TestUpstream { _ in [] }
        var limits = DNSLimits.patient
        limits.pipelined = 4
        // Less than all of them take together: it is not the client who is waited for.
        (limits.times.answer, limits.times.idle) = (.seconds(2), .seconds(5))
        let server = try await startServer([silent.address], limits: limits)
        let client = try await TestClient(of: server.address, overTCP: true)
        for id in 0..<12 as Range<UInt16> { try await client.send(query("example.org", id: id)) }
        try await client.send(query("client", id: 99))
        _ = try await wait {
            let counts = server.counts
            #expect(counts.queries <= counts.replies.values.reduce(4, +))
            return client.inbox.count == 13 ? true : nil
        }
        let replies = try await client.replies(13)
        #expect(replies.filter { $0.answers.count == 1 }.map(\.header.id) == [99])
        await server.stop()
        try await silent.close()
    }

    @Test func `it is said when all that had arrived has been taken`() async throws {
        let rounds = Rounds()
        let server = try await startServer([]) { rounds.add($0) }
        let udp = try await TestClient(of: server.address)
        _ = try await udp.ask("client")
        _ = try await wait { rounds.count(.udp) > 0 ? true : nil }
        let before = rounds.count(.udp)
        for id in 0..<400 as Range<UInt16> { try await udp.send(query("client", id: id)) }
        _ = try await wait { rounds.count(.udp) > before ? true : nil }
        #expect(rounds.count(.tcp) == 0)
        _ = try await TestClient(of: server.address, overTCP: true).ask("client")
        _ = try await wait { rounds.count(.tcp) > 0 ? true : nil }
        await server.stop()
    }

    @Test func `it is said too where more comes before all has been taken`() async throws {
        let rounds = Rounds()
        let server = try await startServer([], drained: { rounds.add($0) })
        let sockets = try (0..<3).map { _ in try LoopbackSockets.connected(to: server.address, type: SOCK_DGRAM) }
        defer { for socket in sockets { Glibc.close(socket) } }
        let message = try query("client", id: 1)
        // Each has a hundred queries waiting all the time, as a load generator has: the socket is empty at the end alone.
        let answered = try await NIOThreadPool.singleton.runIfActive {
            var room = [UInt8](repeating: 0, count: 4096)
            var deadline = timeval(tv_sec: 60, tv_usec: 0)
            for socket in sockets {
                setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &deadline, socklen_t(MemoryLayout<timeval>.size))
                for _ in 0..<100 { send(socket, message, message.count, 0) }
            }
            var answered = 0
            for _ in 0..<1000 {
                for socket in sockets where recv(socket, &room, room.count, 0) > 0 {
                    answered += 1
                    send(socket, message, message.count, 0)
                }
            }
            return answered
        }
        #expect(answered == 3000)
        #expect(rounds.count(.udp) >= 5)
        await server.stop()
    }

    @Test func `a mark is taken once, and one that got lost holds nothing up`() {
        var marks = QueueMarks()
        let first = marks.next()
        #expect(first?.count == 8 && marks.next() == nil)
        #expect(!marks.take([1, 2, 3]) && !marks.take([]))
        #expect(marks.take(first ?? []) && !marks.take(first ?? []))
        let lost = marks.next()
        marks.forget()
        let next = marks.next()
        #expect(next != nil && next != lost && !marks.take(lost ?? []) && marks.take(next ?? []))
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

    @Test func `a sandbox's connections have a bound, which others do not notice, and end with the server`() async throws {
        let server = try await startServer([], sandboxes: ["127.0.0.2"])
        var clients: [TestClient] = []
        for _ in 0..<64 { clients.append(try await TestClient(of: server.address, overTCP: true)) }
        for client in clients { #expect(try await client.ask("client").answers.count == 1) }
        let late = try await TestClient(of: server.address, overTCP: true)
        _ = try await wait { late.isOpen ? nil : true }
        let other = try await TestClient(of: server.address, from: "127.0.0.2", overTCP: true)
        #expect(try await other.ask("client").answers.count == 1)
        // One that ends makes room for another.
        try await clients.removeLast().close()
        let reply = try await wait {
            try await TestClient(of: server.address, overTCP: true).askIfOpen("client")
        }
        #expect(reply.answers.count == 1)
        await server.stop()
        for client in clients { _ = try await wait { client.isOpen ? nil : true } }
    }

    @Test func `when there are no more connections, who has most of them makes room`() async throws {
        var limits = DNSLimits.patient
        (limits.connections, limits.connectionsOfAsker) = (4, 3)
        let server = try await startServer([], limits: limits, sandboxes: ["127.0.0.2", "127.0.0.3"])
        var clients: [TestClient] = []
        for _ in 0..<3 {
            clients.append(try await TestClient(of: server.address, overTCP: true))
            #expect(try await clients.last?.ask("client").answers.count == 1)
        }
        for address in ["127.0.0.2", "127.0.0.3"] {
            let other = try await TestClient(of: server.address, from: address, overTCP: true)
            #expect(try await other.ask("client").answers.count == 1)
            clients.append(other)
        }
        _ = try await wait { clients[0].isOpen ? nil : true }
        // Nobody has two more than another now: who comes next is no better than those who are there.
        let late = try await TestClient(of: server.address, from: "127.0.0.2", overTCP: true)
        _ = try await wait { late.isOpen ? nil : true }
        for client in clients.dropFirst() { #expect(try await client.ask("client").answers.count == 1) }
        await server.stop()
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
