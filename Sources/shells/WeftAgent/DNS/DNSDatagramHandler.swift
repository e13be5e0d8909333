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
        // A call that brought less than it could have has found the socket empty.
        if readCount < Self.messagesPerCall * Self.callsAtOnce, container == nil { responder.drained(.udp) }
        readCount = 0
    }

    /// A client that has gone makes sending fail (ECONNREFUSED, EHOSTUNREACH); the socket serves all the others.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
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
