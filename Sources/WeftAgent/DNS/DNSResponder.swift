import NIOCore
import Synchronization
import WeftDNS
import WeftNet
import WeftWire

/// Takes one message and sees to its reply, whichever way it came. Confined to the server's event loop.
final class DNSResponder {
    enum Transport { case udp, tcp }

    private let shared: DNSShared
    private let forwarder: UpstreamForwarder
    private let resolver = Resolver()
    private var generator = SystemRandomNumberGenerator()
    /// TCP connections that are open.
    private var connections: [ObjectIdentifier: any Channel] = [:]
    /// Connections open at once; one more is closed as soon as it is accepted.
    private static let connectionsMax = 256

    init(shared: DNSShared, forwarder: UpstreamForwarder) {
        self.shared = shared
        self.forwarder = forwarder
    }

    /// How often, and for how long, a query waits until it is known whose endpoint asks.
    private static let waitsMax = 100
    private static let wait = TimeAmount.milliseconds(10)

    /// Calls `reply` once, now or later, or never. What comes by a container's own socket is the container's, and its
    /// engine's to answer when the swarm has no record.
    func receive(
        _ message: [UInt8], from source: IPv4Address, in container: ContainerResolver? = nil, over transport: Transport,
        reply: @escaping ([UInt8]) -> Void
    ) {
        shared.counters.add { $0.queries += 1 }
        let query: DNSMessage
        do throws(DNSDecodingError) {
            query = try DNSMessage(decoding: message)
        } catch {
            finish(resolver.answer(undecodable: message), sizeMax: DNSMessage.plainUDPSizeMax, reply)
            return
        }
        let sizeMax = transport == .tcp ? DNSMessage.sizeMax : Resolver.replySizeMax(to: query)
        let (asker, answer) = shared.table.withLock { table in
            guard let endpoints = container?.endpoints() else {
                return (source, resolver.answer(query, from: source, in: table, using: &generator))
            }
            let answer = resolver.answer(query, seeing: table.view(of: endpoints), in: table, using: &generator)
            return (table.address(ofFirst: endpoints) ?? source, answer)
        }
        let decision =
            if container != nil, case .reply(let message) = answer, [.nameError, .refused].contains(message.responseCode) {
                Resolver.Decision.forward
            } else { answer }
        switch decision {
        case .reply(let message): finish(message, sizeMax: sizeMax, reply)
        case .ignore: finish(nil, sizeMax: sizeMax, reply)
        case .forward:
            shared.counters.add { $0.forwarded += 1 }
            let finish = { [shared] (answer: [UInt8]?) in
                let answer = container == nil ? answer : answer.map(self.shortened)
                let bytes = answer.flatMap { Self.fitting($0, sizeMax) }
                let sent = bytes ?? Resolver.reply(to: query, .serverFailure).encoded(limit: sizeMax)
                shared.counters.add {
                    if bytes == nil { $0.failed += 1 }
                    if let header = DNSHeader(message: sent) { $0.replies[header.responseCode, default: 0] += 1 }
                }
                reply(sent)
            }
            forward(query, message, from: asker, in: container, overTCP: transport == .tcp, waits: 0, finish)
        }
    }

    /// A container's first queries may come before its engine has told whose they are, and so which servers are to be asked.
    private func forward(
        _ query: DNSMessage, _ message: [UInt8], from asker: IPv4Address, in container: ContainerResolver?, overTCP: Bool,
        waits: Int, _ finish: @escaping ([UInt8]?) -> Void
    ) {
        if container == nil, waits < Self.waitsMax, shared.isEngineFollowed.withLock({ $0 }),
            shared.table.withLock({ $0.isNameless(at: asker) })
        {
            forwarder.eventLoop.assumeIsolated().scheduleTask(in: Self.wait) {
                self.forward(query, message, from: asker, in: container, overTCP: overTCP, waits: waits + 1, finish)
            }
            return
        }
        let servers = container.map { [$0.server] } ?? ownUpstreams(of: asker)
        forwarder.forward(
            query, message, from: asker, to: servers, in: container, overTCP: overTCP, completion: finish)
    }

    /// What an engine says, unless it says nothing of the swarm's addresses or cannot be read: then as it is.
    private func shortened(_ answer: [UInt8]) -> [UInt8] {
        guard let message = try? DNSMessage(decoding: answer) else { return answer }
        let shortened = shared.table.withLock { resolver.shortened(message, in: $0) }
        return shortened == message ? answer : shortened.encoded(limit: DNSMessage.sizeMax)
    }

    private func ownUpstreams(of asker: IPv4Address) -> [SocketAddress]? {
        guard let sandbox = shared.table.withLock({ $0.sandbox(at: asker) }) else { return nil }
        return shared.upstreams.withLock { $0[sandbox] } ?? shared.containerUpstreams.withLock { $0[sandbox] }
    }

    /// False when there are too many connections.
    func opened(_ connection: any Channel) -> Bool {
        guard connections.count < Self.connectionsMax else { return false }
        connections[ObjectIdentifier(connection)] = connection
        return true
    }

    func closed(_ connection: any Channel) { connections[ObjectIdentifier(connection)] = nil }

    /// Gives up queries under way and closes connections.
    func stop() {
        forwarder.stop()
        for connection in connections.values { connection.close(promise: nil) }
    }

    private func finish(_ message: DNSMessage?, sizeMax: Int, _ reply: ([UInt8]) -> Void) {
        guard let message else {
            shared.counters.add { $0.ignored += 1 }
            return
        }
        let code = message.responseCode
        shared.counters.add {
            if code == .refused { $0.refused += 1 } else { $0.answered += 1 }
            $0.replies[code, default: 0] += 1
        }
        reply(message.encoded(limit: sizeMax))
    }

    /// An answer from outside, cut to what the client takes. Normally it fits: the client's own limit went with the
    /// query. Nil when it does not fit and cannot be read.
    private static func fitting(_ answer: [UInt8], _ sizeMax: Int) -> [UInt8]? {
        guard answer.count > sizeMax else { return answer }
        return (try? DNSMessage(decoding: answer))?.encoded(limit: sizeMax)
    }
}
