import Glibc
import Logging
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing
import WeftAgent
import WeftDNS
import WeftModel
import WeftNet
import WeftWire

func dnsName(_ text: String) throws -> DNSName { try #require(DNSName(text)) }

/// Messages that have arrived, in order.
final class Inbox: Sendable {
    private let messages = Mutex<[[UInt8]]>([])

    var count: Int { messages.withLock { $0.count } }
    func put(_ message: [UInt8]) { messages.withLock { $0.append(message) } }

    /// The oldest message, waited for.
    func next() async throws -> [UInt8] {
        try await wait { self.messages.withLock { $0.isEmpty ? nil : $0.removeFirst() } }
    }
}

/// Polls until there is a value.
func wait<Value>(
    _ location: SourceLocation = #_sourceLocation, for value: () async throws -> Value?
) async throws -> Value {
    let end = ContinuousClock.now + patience
    while ContinuousClock.now < end {
        if let value = try await value() { return value }
        try await Task.sleep(for: .milliseconds(2))
    }
    return try #require(nil as Value?, "nothing within \(patience)", sourceLocation: location)
}

private final class InboxHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    private let onMessage: (AddressedEnvelope<ByteBuffer>, any Channel) -> Void
    init(_ onMessage: @escaping (AddressedEnvelope<ByteBuffer>, any Channel) -> Void) { self.onMessage = onMessage }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) { onMessage(unwrapInboundIn(data), context.channel) }
}

private final class StreamHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private var decoder = DNSStreamDecoder()
    private let onMessage: ([UInt8], any Channel) -> Void
    init(_ onMessage: @escaping ([UInt8], any Channel) -> Void) { self.onMessage = onMessage }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        decoder.append(unwrapInboundIn(data).readableBytesView)
        do throws(DNSFramingError) { while let message = try decoder.next() { onMessage(message, context.channel) } } catch { context.close(promise: nil) }
    }
}

/// A client at an address of its own, on UDP or TCP.
struct TestClient: Sendable {
    let inbox = Inbox()
    private let channel: any Channel
    private let server: SocketAddress
    private let overTCP: Bool

    init(of server: SocketAddress, from address: String = "127.0.0.1", overTCP: Bool = false) async throws {
        self.server = server
        self.overTCP = overTCP
        let own = try SocketAddress(ipAddress: address, port: 0)
        let group = MultiThreadedEventLoopGroup.singleton
        if overTCP {
            channel = try await ClientBootstrap(group: group)
                .bind(to: own)
                .channelInitializer { [inbox] channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(StreamHandler { message, _ in inbox.put(message) })
                    }
                }
                .connect(to: server).get()
        } else {
            channel = try await DatagramBootstrap(group: group)
                .channelInitializer { [inbox] channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(
                            InboxHandler { envelope, _ in
                                // A reply from another address is no reply.
                                if envelope.remoteAddress == server { inbox.put(Array(envelope.data.readableBytesView)) }
                            })
                    }
                }
                .bind(to: own).get()
        }
    }

    func send(_ message: [UInt8]) async throws {
        if overTCP {
            let framed = try #require(DNSStreamDecoder.frame(message))
            try await channel.writeAndFlush(ByteBuffer(bytes: framed)).get()
        } else {
            let envelope = AddressedEnvelope(remoteAddress: server, data: ByteBuffer(bytes: message))
            try await channel.writeAndFlush(envelope).get()
        }
    }

    /// Octets as they are, on TCP.
    func sendRaw(_ octets: [UInt8]) async throws { try await channel.writeAndFlush(ByteBuffer(bytes: octets)).get() }

    func ask(
        _ name: String, _ type: DNSRecordType = .a, id: UInt16 = 0x4242, payloadSize: UInt16? = nil
    ) async throws -> DNSMessage {
        try await send(query(name, type, id: id, payloadSize: payloadSize))
        return try await DNSMessage(decoding: inbox.next())
    }

    /// The next replies.
    func replies(_ count: Int) async throws -> [DNSMessage] {
        var replies: [DNSMessage] = []
        for _ in 0..<count { replies.append(try await DNSMessage(decoding: inbox.next())) }
        return replies
    }

    var isOpen: Bool { channel.isActive }

    /// The reply; nil when the server closes the connection instead.
    func askIfOpen(_ name: String) async throws -> DNSMessage? {
        try? await send(query(name))
        let isAnswered = try await wait { inbox.count > 0 ? true : isOpen ? nil : false }
        return isAnswered ? try await DNSMessage(decoding: inbox.next()) : nil
    }

    func close() async throws { try await channel.close() }
}

func query(
    _ name: String, _ type: DNSRecordType = .a, id: UInt16 = 0x4242, payloadSize: UInt16? = nil
) throws -> [UInt8] {
    var header = DNSHeader(id: id)
    header.recursionDesired = true
    var message = DNSMessage(header: header)
    message.questions = [DNSQuestion(name: try dnsName(name), type: type)]
    message.edns = payloadSize.map { EDNS(payloadSize: $0) }
    return message.encoded()
}

/// A resolver outside, on UDP and TCP of one port, that answers what its closure says.
struct TestUpstream: Sendable {
    struct Asked: Sendable {
        var query: DNSMessage
        var overTCP: Bool
        /// 0 for the first message this upstream got.
        var number: Int
    }

    let address: SocketAddress
    let asked: Inbox
    private let channels: [any Channel]

    init(_ answer: @escaping @Sendable (Asked) -> [DNSMessage]) async throws {
        self = try await wait {
            // The port that UDP got may be taken for TCP: then another one is drawn.
            try? await TestUpstream(binding: answer)
        }
    }

    private init(binding answer: @escaping @Sendable (Asked) -> [DNSMessage]) async throws {
        let inbox = Inbox()
        let number = Mutex(0)
        let answers: @Sendable ([UInt8], Bool) -> [[UInt8]] = { bytes, overTCP in
            inbox.put(bytes)
            guard let query = try? DNSMessage(decoding: bytes) else { return [] }
            let own = number.withLock { value in
                defer { value += 1 }
                return value
            }
            return answer(Asked(query: query, overTCP: overTCP, number: own)).map { $0.encoded() }
        }
        let group = MultiThreadedEventLoopGroup.singleton
        let udp = try await DatagramBootstrap(group: group)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        InboxHandler { envelope, channel in
                            for reply in answers(Array(envelope.data.readableBytesView), false) {
                                channel.writeAndFlush(
                                    AddressedEnvelope(
                                        remoteAddress: envelope.remoteAddress, data: ByteBuffer(bytes: reply)),
                                    promise: nil)
                            }
                        })
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        address = try #require(udp.localAddress)
        asked = inbox
        let tcp: any Channel
        do {
            tcp = try await Self.bindTCP(address, answers)
        } catch {
            try await udp.close()
            throw error
        }
        channels = [udp, tcp]
    }

    private static func bindTCP(
        _ address: SocketAddress, _ answers: @escaping @Sendable ([UInt8], Bool) -> [[UInt8]]
    ) async throws -> any Channel {
        try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        StreamHandler { message, channel in
                            for reply in answers(message, true) {
                                guard let framed = DNSStreamDecoder.frame(reply) else { continue }
                                channel.writeAndFlush(ByteBuffer(bytes: framed), promise: nil)
                            }
                        })
                }
            }
            .bind(to: address).get()
    }

    func close() async throws { for channel in channels { try await channel.close() } }
}

extension DNSMessage {
    /// A response to this query.
    func response(_ code: DNSResponseCode = .noError, _ addresses: [UInt32] = []) -> DNSMessage {
        var response = self
        response.header.isResponse = true
        response.header.responseCode = code
        response.answers = questions.prefix(1).flatMap { question in
            addresses.map { DNSRecord(name: question.name, timeToLive: 30, data: .a(IPv4Address(rawValue: $0))) }
        }
        return response
    }
}

extension DNSLimits {
    /// That nothing ends because the machine is slow: a test of a time says how long it is.
    static var patient: DNSLimits {
        var limits = DNSLimits()
        let long = TimeAmount.minutes(5)
        limits.times.answer = long
        limits.times.connect = long
        limits.times.idle = long
        limits.times.message = long
        limits.times.owner = long
        return limits
    }
}

/// A server on loopback whose sandbox `client` asks from 127.0.0.1; `sandboxes`: addresses of others.
func startServer(
    _ upstreams: [SocketAddress], limits: DNSLimits = .patient, sandboxes: [String] = [],
    drained: @escaping @Sendable (DNSServer.Transport) -> Void = { _ in }
) async throws -> DNSServer {
    let server = try await DNSServer.start(
        address: try #require(IPv4Address("127.0.0.1")), port: 0, node: NodeID("here"),
        upstreams: .fixed(upstreams), limits: limits, drained: drained, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    let network = Network(
        id: NetworkID("net"), createdAt: Instant(nanoseconds: 0), spec: NetworkSpec(name: "my_net"),
        vni: try #require(VNI(4096)), subnet: try #require(IPv4Prefix("10.0.0.0/16")),
        gateway: IPv4Address(rawValue: 0x0a00_0001))
    var endpoints = [try endpoint("client", IPv4Address(rawValue: 0x7f00_0001))]
    for index in 0..<100 as Range<UInt32> { endpoints.append(try endpoint("many", IPv4Address(rawValue: 0x0a00_0100 + index))) }
    for address in sandboxes { endpoints.append(try endpoint("other", #require(IPv4Address(address)))) }
    server.update(table: NameTable(node: NodeID("here"), networks: [network], endpoints: endpoints, peers: []))
    return server
}

func endpoint(_ name: String, _ address: IPv4Address) throws -> Endpoint {
    Endpoint(
        id: EndpointID("ep-\(address)"), network: NetworkID("net"), node: NodeID("here"),
        sandbox: SandboxID("sb-\(address)"), ipv4: address, mac: MACAddress(forIPv4: address), name: name)
}

/// Sockets for UDP and TCP on one port of loopback, as weftd makes them in a container. Whoever gets the descriptors owns them.
struct LoopbackSockets {
    let datagram: Int32
    let stream: Int32
    let port: Int

    init() throws {
        // A port that is taken: then another one is drawn.
        for _ in 0..<20 {
            let port = Int.random(in: 20_000..<32_000)
            let address = try SocketAddress(ipAddress: "127.0.0.1", port: port)
            let sockets = [try Self.socket(SOCK_DGRAM), try Self.socket(SOCK_STREAM)]
            let isBound = sockets.allSatisfy { socket in address.withSockAddr { bind(socket, $0, socklen_t($1)) } == 0 }
            if isBound, listen(sockets[1], 8) == 0 {
                (datagram, stream, self.port) = (sockets[0], sockets[1], port)
                return
            }
            for socket in sockets { Glibc.close(socket) }
        }
        throw IOError(errnoCode: EADDRINUSE, reason: "draw a port")
    }

    static func connected(to address: SocketAddress, type: __socket_type) throws -> Int32 {
        let socket = try socket(type)
        try #require(address.withSockAddr { connect(socket, $0, socklen_t($1)) } == 0)
        return socket
    }

    private static func socket(_ type: __socket_type) throws -> Int32 {
        let descriptor = Glibc.socket(AF_INET, Int32(type.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        try #require(descriptor >= 0)
        return descriptor
    }
}
