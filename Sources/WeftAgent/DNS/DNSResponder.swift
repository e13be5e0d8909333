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

    /// Calls `reply` once, now or later, or never.
    func receive(
        _ message: [UInt8], from asker: IPv4Address, over transport: Transport, reply: @escaping ([UInt8]) -> Void
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
        let decision = shared.table.withLock { table in
            resolver.answer(query, from: asker, in: table, using: &generator)
        }
        switch decision {
        case .reply(let message): finish(message, sizeMax: sizeMax, reply)
        case .ignore: finish(nil, sizeMax: sizeMax, reply)
        case .forward:
            shared.counters.add { $0.forwarded += 1 }
            forwarder.forward(query, message, from: asker, to: ownUpstreams(of: asker), overTCP: transport == .tcp) { [shared] answer in
                let bytes = answer.flatMap { Self.fitting($0, sizeMax) }
                let failure = { Resolver.reply(to: query, .serverFailure).encoded(limit: sizeMax) }
                let sent = bytes ?? failure()
                shared.counters.add {
                    if bytes == nil { $0.failed += 1 }
                    if let header = DNSHeader(message: sent) { $0.replies[header.responseCode, default: 0] += 1 }
                }
                reply(sent)
            }
        }
    }

    private func ownUpstreams(of asker: IPv4Address) -> [SocketAddress]? {
        guard let sandbox = shared.table.withLock({ $0.sandbox(at: asker) }) else { return nil }
        return shared.upstreams.withLock { $0[sandbox] }
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
