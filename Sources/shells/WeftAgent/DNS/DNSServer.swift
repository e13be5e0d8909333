package import Logging
package import NIOCore
import NIOPosix
import Synchronization
package import WeftAgentCore
package import WeftDNS
package import WeftModel
package import WeftNet

/// Answers DNS queries of a node's sandboxes, over UDP and TCP, on one event loop.
///
/// All decisions are `Resolver`'s and `UpstreamRace`'s; here are sockets, timers and counters. The table and the
/// counters are all that is shared with other threads.
package final class DNSServer: Sendable {
    /// Where to ask about names outside.
    package enum Upstreams: Sendable {
        /// The name servers of a `resolv.conf`, which is read again when it changes.
        case file(String)
        case fixed([SocketAddress])
    }

    package enum Transport: Sendable { case udp, tcp }

    /// The address in use; its port is the real one when the server was started with port 0.
    package let address: SocketAddress
    private let shared: DNSShared
    private let responder: NIOLoopBoundBox<DNSResponder?>
    private let channels: [any Channel]

    private static let portDrawsMax = 10

    private init(
        _ bound: (udp: any Channel, tcp: any Channel, address: SocketAddress), shared: DNSShared,
        responder: NIOLoopBoundBox<DNSResponder?>, logger: Logger
    ) {
        self.address = bound.address
        self.shared = shared
        self.responder = responder
        channels = [bound.udp, bound.tcp]
        logger.info("resolver listens", metadata: ["address": "\(bound.address)"])
    }

    /// Binds UDP and TCP and begins to answer, from an empty table: nobody gets a reply.
    ///
    /// `drained` is called, on the event loop, whenever all has been taken that had arrived: queries over UDP, or connections.
    ///
    /// - Throws: `IOError` when the address or the port is not to be had.
    package static func start(
        address: IPv4Address, port: UInt16, node: NodeID, upstreams: Upstreams = .file("/etc/resolv.conf"),
        limits: DNSLimits = DNSLimits(), on eventLoop: any EventLoop = MultiThreadedEventLoopGroup.singleton.next(),
        drained: @escaping @Sendable (Transport) -> Void = { _ in }, logger: Logger
    ) async throws -> DNSServer {
        let shared = DNSShared(node: node)
        let box = NIOLoopBoundBox<DNSResponder?>.makeEmptyBox(eventLoop: eventLoop)
        let source = UpstreamSource(upstreams, excluding: address, logger: logger)
        try await eventLoop.submit {
            box.value = DNSResponder(
                shared: shared, forwarder: UpstreamForwarder(eventLoop: eventLoop, source: source, limits: limits),
                limits: limits, drained: drained)
        }.get()
        let wanted = try SocketAddress(ipAddress: address.description, port: Int(port))
        // A port that the kernel chose for UDP may be taken for TCP: then another one is drawn.
        for _ in 1..<(port == 0 ? portDrawsMax : 1) {
            if let channels = try? await bind(wanted, eventLoop, box) {
                return DNSServer(channels, shared: shared, responder: box, logger: logger)
            }
        }
        return DNSServer(try await bind(wanted, eventLoop, box), shared: shared, responder: box, logger: logger)
    }

    private static func bind(
        _ wanted: SocketAddress, _ eventLoop: any EventLoop, _ box: NIOLoopBoundBox<DNSResponder?>
    ) async throws -> (udp: any Channel, tcp: any Channel, address: SocketAddress) {
        let udp = try await datagramBootstrap(eventLoop, box).bind(to: wanted).get()
        do {
            // More than an ordinary process may ask for; without the right to it the kernel's bound holds.
            try? await udp.setOption(receiveBufferForced, value: receiveBufferSize).get()
            let address = udp.localAddress ?? wanted
            return (udp, try await streamBootstrap(eventLoop, box).bind(to: address).get(), address)
        } catch {
            try? await udp.close()
            throw error
        }
    }

    /// Answers from `table` from now on.
    package func update(table: NameTable) {
        var table = table
        // The old table is released after the lock is: a hundred thousand names take a tenth of a second.
        shared.table.withLock { swap(&$0, &table) }
    }

    /// Changes the table in place. Queries wait meanwhile: microseconds for an endpoint, as long as nobody else holds
    /// a copy of the table, which the change would have to make separate first.
    package func update(_ change: (inout NameTable) -> Void) { shared.table.withLock { change(&$0) } }

    /// Takes over what changed.
    package func update(_ change: ViewChange) {
        guard change.isWhole else { return update { $0.apply(change) } }
        var table = NameTable(node: shared.node)
        table.apply(change)
        update(table: table)
    }

    /// Sandboxes whose queries about names outside go to resolvers of their own; replaces what was said before.
    package func use(upstreams: [SandboxID: [IPv4Address]], port: Int = 53) {
        let servers = upstreams.mapValues { $0.compactMap { try? SocketAddress(ipAddress: $0.description, port: port) } }
        shared.upstreams.withLock { $0 = servers }
    }

    /// The engine's containers are told of, so that a query may wait until it is known whose it is.
    package func followEngine() { shared.isEngineFollowed.withLock { $0 = true } }

    /// A container's queries about names outside go to these; none: to the host's resolvers.
    package func use(upstreams: [IPv4Address], of container: SandboxID, port: Int = 53) {
        let servers = upstreams.compactMap { try? SocketAddress(ipAddress: $0.description, port: port) }
        shared.containerUpstreams.withLock { $0[container] = servers.isEmpty ? nil : servers }
    }

    /// Answers on sockets in a container, which it takes over.
    package func open(_ container: ContainerResolver, datagram: Int32, stream: Int32) async throws -> ContainerSockets {
        let udp = try await Self.datagramBootstrap(responder.eventLoop, responder, container).withBoundSocket(datagram).get()
        do {
            let tcp = try await Self.streamBootstrap(responder.eventLoop, responder, container).withBoundSocket(stream).get()
            return ContainerSockets(channels: [udp, tcp])
        } catch {
            try? await udp.close()
            throw error
        }
    }

    /// What the server has done since it started.
    package var counts: DNSCounts { shared.counters.current }

    /// Closes the sockets and gives up queries that wait for an answer from outside.
    package func stop() async {
        for channel in channels { try? await channel.close() }
        try? await responder.eventLoop.submit { [responder] in
            responder.value?.stop()
            responder.value = nil
        }.get()
    }
}

/// What the event loop and the rest of the program both touch.
final class DNSShared: Sendable {
    let node: NodeID
    let table: Mutex<NameTable>
    let upstreams = Mutex<[SandboxID: [SocketAddress]]>([:])
    let containerUpstreams = Mutex<[SandboxID: [SocketAddress]]>([:])
    let isEngineFollowed = Mutex(false)
    let counters = DNSCounters()

    init(node: NodeID) {
        self.node = node
        table = Mutex(NameTable(node: node))
    }
}

extension DNSServer {
    /// IP_FREEBIND (ip(7)): the resolver's address may come to `lo` after the server, or go and come back.
    private static let freeBind = ChannelOptions.Types.SocketOption(level: .ip, name: .init(rawValue: 15))

    /// SO_RCVBUFFORCE (socket(7)). What each endpoint may have waiting in the socket is bounded (`WEFT_RESOLVER_SHARE_UDP`);
    /// there is room for some 15 that have twice that, which is what may
    /// come in the round that begins before the last one's is taken. Memory is used for what waits alone.
    private static let receiveBufferForced = ChannelOptions.Types.SocketOption(level: .socket, name: .init(rawValue: 33))
    private static let receiveBufferSize: SocketOptionValue = 32 << 20

    private static func datagramBootstrap(
        _ eventLoop: any EventLoop, _ box: NIOLoopBoundBox<DNSResponder?>, _ container: ContainerResolver? = nil
    ) -> DatagramBootstrap {
        DatagramBootstrap(group: eventLoop)
            .channelOption(freeBind, value: 1)
            .channelOption(.socketOption(.so_rcvbuf), value: 1 << 20)
            .channelOption(.datagramVectorReadMessageCount, value: DNSDatagramHandler.messagesPerCall)
            .channelOption(.maxMessagesPerRead, value: UInt(DNSDatagramHandler.callsAtOnce))
            .channelOption(
                .recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: DNSDatagramHandler.messagesPerCall * 4096)
            )
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let responder = box.value else { throw ChannelError.ioOnClosedChannel }
                    try channel.pipeline.syncOperations.addHandler(DNSDatagramHandler(responder, container: container))
                }
            }
    }

    private static func streamBootstrap(
        _ eventLoop: any EventLoop, _ box: NIOLoopBoundBox<DNSResponder?>, _ container: ContainerResolver? = nil
    ) -> ServerBootstrap {
        ServerBootstrap(group: eventLoop)
            .serverChannelOption(freeBind, value: 1)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.maxMessagesPerRead, value: UInt(DNSListenHandler.connectionsAtOnce))
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let responder = box.value else { throw ChannelError.ioOnClosedChannel }
                    try channel.pipeline.syncOperations.addHandler(DNSListenHandler(responder, isNodes: container == nil))
                }
            }
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: DNSStreamHandler.readSize))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let responder = box.value else { throw ChannelError.ioOnClosedChannel }
                    try channel.pipeline.syncOperations.addHandlers([
                        IdleStateHandler(readTimeout: responder.limits.times.idle), DNSStreamHandler(responder, container: container),
                    ])
                }
            }
    }
}
