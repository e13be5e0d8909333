import NIOCore
import WeftNet

/// The server's UDP socket.
final class DNSDatagramHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>

    private let responder: DNSResponder
    /// Whose socket it is, in a container; nil for the node's own.
    private let container: ContainerResolver?
    /// Replies made while datagrams are read go out together at the end.
    private var isReading = false
    /// Datagrams that came at once.
    private var readCount = 0
    /// Where the socket is never empty, a datagram to itself tells when all has been taken that had arrived before it.
    private var marks = QueueMarks()

    /// How many datagrams one system call takes, and how many such calls there are before other sockets are looked at.
    static let messagesPerCall = 16
    static let callsAtOnce = 4

    init(_ responder: DNSResponder, container: ContainerResolver? = nil) {
        self.responder = responder
        self.container = container
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        isReading = true
        readCount += 1
        let envelope = unwrapInboundIn(data)
        let client = envelope.remoteAddress
        if container == nil, client == context.channel.localAddress {
            if marks.take(Array(envelope.data.readableBytesView)) { responder.drained(.udp) }
            return
        }
        guard let asker = client.ipv4 else { return }
        responder.receive(Array(envelope.data.readableBytesView), from: asker, in: container, over: .udp) { reply in
            guard case .message(let bytes) = reply else { return }
            let buffer = context.channel.allocator.buffer(bytes: bytes)
            context.write(
                self.wrapOutboundOut(AddressedEnvelope(remoteAddress: client, data: buffer)), promise: nil)
            if !self.isReading { context.flush() }
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        context.flush()
        defer { readCount = 0 }
        guard container == nil else { return }
        // A call that brought less than it could have has found the socket empty.
        if readCount < Self.messagesPerCall * Self.callsAtOnce {
            marks.forget()
            responder.drained(.udp)
        } else if let mark = marks.next(), let own = context.channel.localAddress {
            let buffer = context.channel.allocator.buffer(bytes: mark)
            context.writeAndFlush(wrapOutboundOut(AddressedEnvelope(remoteAddress: own, data: buffer)), promise: nil)
        }
    }

    /// A client that has gone makes sending fail (ECONNREFUSED, EHOSTUNREACH); the socket serves all the others.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}

/// Datagrams that a socket sends to itself, one at a time: when one comes, what had arrived before it has been taken.
struct QueueMarks {
    /// Under way.
    private var awaited: UInt64?
    private var last = UInt64.random(in: 0...UInt64.max / 2)

    /// What is to be sent, unless one is under way already.
    mutating func next() -> [UInt8]? {
        guard awaited == nil else { return nil }
        last += 1
        awaited = last
        return withUnsafeBytes(of: last.bigEndian) { Array($0) }
    }

    /// Whether it is the one under way.
    mutating func take(_ bytes: [UInt8]) -> Bool {
        guard let awaited, bytes == withUnsafeBytes(of: awaited.bigEndian, Array.init) else { return false }
        self.awaited = nil
        return true
    }

    /// One that got lost is waited for no longer than until the socket is empty.
    mutating func forget() { awaited = nil }
}

extension SocketAddress {
    /// The IPv4 address, nil for any other family.
    var ipv4: WeftNet.IPv4Address? {
        guard case .v4 = self else { return nil }
        // struct sockaddr_in (ip(7)): family and port, then the address.
        return withSockAddr { address, _ in
            WeftNet.IPv4Address(networkOrder: UnsafeRawPointer(address).load(fromByteOffset: 4, as: UInt32.self))
        }
    }
}
