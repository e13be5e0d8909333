import NIOCore
import Synchronization
import WeftDNS
import WeftModel
import WeftNet
import WeftWire

/// What becomes of one message.
enum DNSReply {
    case message([UInt8])
    /// What is no DNS message, and responses.
    case none
    /// The client is no sandbox of this node, or is none any more.
    case turnedAway
}

/// Who has a share of what the resolver can do.
enum DNSAsker: Hashable, Comparable {
    /// By whichever of its addresses it asks.
    case sandbox(SandboxID)
    /// What asks at the sockets in a container.
    case door(ObjectIdentifier)
}

/// Takes one message and sees to its reply, whichever way it came. Confined to the server's event loop.
final class DNSResponder {
    typealias Transport = DNSServer.Transport

    let limits: DNSLimits
    let turns: StreamTurns
    private let shared: DNSShared
    private let forwarder: UpstreamForwarder
    private let resolver = Resolver()
    private var generator = SystemRandomNumberGenerator()
    /// TCP connections that are open, and whose.
    private var connections: [ObjectIdentifier: Connection] = [:]
    private var connectionShares: FairShares<DNSAsker>
    private var connectionsMade: UInt64 = 0

    private struct Client {
        let asker: DNSAsker
        let address: IPv4Address
    }

    private struct Connection {
        let channel: any Channel
        let asker: DNSAsker
        /// Lower for an older one.
        let number: UInt64
    }

    /// Called when all has been taken that had arrived at the node's socket.
    let drained: (Transport) -> Void

    init(shared: DNSShared, forwarder: UpstreamForwarder, limits: DNSLimits, drained: @escaping (Transport) -> Void) {
        self.drained = drained
        self.shared = shared
        self.forwarder = forwarder
        self.limits = limits
        turns = StreamTurns(eventLoop: forwarder.eventLoop)
        connectionShares = FairShares(total: limits.connections, each: limits.connectionsOfAsker)
    }

    /// Whose address it is; nil for who is no sandbox of this node.
    func asker(at address: IPv4Address, in container: ContainerResolver?) -> DNSAsker? {
        container?.asker ?? shared.table.withLock { $0.sandbox(at: address) }.map { .sandbox($0) }
    }

    /// How often it is looked whether it is known by now whose endpoint asks.
    private static let ownerPoll = TimeAmount.milliseconds(10)
    private var waitShares = FairShares<DNSAsker>(total: 4096, each: 256)

    /// Calls `reply` once, now or later. What comes by a container's own socket is the container's, and its
    /// engine's to answer when the swarm has no record.
    func receive(
        _ message: [UInt8], from source: IPv4Address, in container: ContainerResolver? = nil, over transport: Transport,
        reply: @escaping (DNSReply) -> Void
    ) {
        shared.counters.add { $0.queries += 1 }
        guard let asker = asker(at: source, in: container) else {
            shared.counters.add { $0.refused += 1 }
            return reply(.turnedAway)
        }
        let query: DNSMessage
        do throws(DNSDecodingError) {
            query = try DNSMessage(decoding: message)
        } catch {
            finish(resolver.answer(undecodable: message), sizeMax: DNSMessage.plainUDPSizeMax, reply)
            return
        }
        let sizeMax = transport == .tcp ? DNSMessage.sizeMax : Resolver.replySizeMax(to: query)
        let (client, answer) = shared.table.withLock { table in
            guard let endpoints = container?.endpoints() else {
                return (Client(asker: asker, address: source), resolver.answer(query, from: source, in: table, using: &generator))
            }
            let answer = resolver.answer(query, seeing: table.view(of: endpoints), in: table, using: &generator)
            return (Client(asker: asker, address: table.address(ofFirst: endpoints) ?? source), answer)
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
                reply(.message(sent))
            }
            forward(query, message, from: client, in: container, overTCP: transport == .tcp, until: .now() + limits.times.owner, finish)
        }
    }

    /// A container's first queries may come before its engine has told whose they are, and so which servers are to be asked.
    private func forward(
        _ query: DNSMessage, _ message: [UInt8], from client: Client, in container: ContainerResolver?, overTCP: Bool,
        until ownerDeadline: NIODeadline, _ finish: @escaping ([UInt8]?) -> Void
    ) {
        if container == nil, .now() < ownerDeadline, shared.isEngineFollowed.withLock({ $0 }),
            shared.table.withLock({ $0.isNameless(at: client.address) })
        {
            guard waitShares.take(for: client.asker) == .taken else { return finish(nil) }
            forwarder.eventLoop.assumeIsolated().scheduleTask(in: Self.ownerPoll) {
                self.waitShares.giveBack(of: client.asker)
                self.forward(query, message, from: client, in: container, overTCP: overTCP, until: ownerDeadline, finish)
            }
            return
        }
        let servers = container.map { [$0.server] } ?? ownUpstreams(of: client.asker)
        forwarder.forward(
            query, message, from: client.asker, to: servers, in: container, overTCP: overTCP, completion: finish)
    }

    /// What an engine says, unless it says nothing of the swarm's addresses or cannot be read: then as it is.
    private func shortened(_ answer: [UInt8]) -> [UInt8] {
        guard let message = try? DNSMessage(decoding: answer) else { return answer }
        let shortened = shared.table.withLock { resolver.shortened(message, in: $0) }
        return shortened == message ? answer : shortened.encoded(limit: DNSMessage.sizeMax)
    }

    private func ownUpstreams(of asker: DNSAsker) -> [SocketAddress]? {
        guard case .sandbox(let sandbox) = asker else { return nil }
        return shared.upstreams.withLock { $0[sandbox] } ?? shared.containerUpstreams.withLock { $0[sandbox] }
    }

    /// False when the asker has too many connections. When all askers together have, one of those who have most loses its oldest.
    func opened(_ channel: any Channel, by asker: DNSAsker) -> Bool {
        switch connectionShares.take(for: asker) {
        case .taken: break
        case .refused: return false
        case .fullUnlessEndedBy(let other):
            guard let oldest = connections.values.filter({ $0.asker == other }).min(by: { $0.number < $1.number }) else { return false }
            closed(oldest.channel)
            oldest.channel.close(promise: nil)
            guard connectionShares.take(for: asker) == .taken else { return false }
        }
        connectionsMade += 1
        connections[ObjectIdentifier(channel)] = Connection(channel: channel, asker: asker, number: connectionsMade)
        return true
    }

    func closed(_ channel: any Channel) {
        guard let connection = connections.removeValue(forKey: ObjectIdentifier(channel)) else { return }
        connectionShares.giveBack(of: connection.asker)
    }

    /// Gives up queries under way and closes connections.
    func stop() {
        forwarder.stop()
        for connection in connections.values { connection.channel.close(promise: nil) }
    }

    private func finish(_ message: DNSMessage?, sizeMax: Int, _ reply: (DNSReply) -> Void) {
        guard let message else {
            shared.counters.add { $0.ignored += 1 }
            return reply(.none)
        }
        let code = message.responseCode
        shared.counters.add {
            if code == .refused { $0.refused += 1 } else { $0.answered += 1 }
            $0.replies[code, default: 0] += 1
        }
        reply(.message(message.encoded(limit: sizeMax)))
    }

    /// An answer from outside, cut to what the client takes. Normally it fits: the client's own limit went with the
    /// query. Nil when it does not fit and cannot be read.
    private static func fitting(_ answer: [UInt8], _ sizeMax: Int) -> [UInt8]? {
        guard answer.count > sizeMax else { return answer }
        return (try? DNSMessage(decoding: answer))?.encoded(limit: sizeMax)
    }
}
