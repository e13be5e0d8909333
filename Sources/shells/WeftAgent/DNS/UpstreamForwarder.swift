import NIOCore
import WeftDNS
import WeftWire

/// Passes queries to the host's resolvers. Confined to the server's event loop.
final class UpstreamForwarder {
    let eventLoop: any EventLoop
    private var source: UpstreamSource
    private var generator = SystemRandomNumberGenerator()
    private var exchanges: [UInt64: UnderWay] = [:]
    private var shares: FairShares<DNSAsker>
    private var order = UpstreamOrder<SocketAddress>()
    private let times: DNSTimes
    private var nextKey: UInt64 = 0

    private struct UnderWay {
        let exchange: UpstreamExchange
        let asker: DNSAsker
        let sockets: Int
    }

    init(eventLoop: any EventLoop, source: UpstreamSource, limits: DNSLimits) {
        self.eventLoop = eventLoop
        self.source = source
        times = limits.times
        shares = FairShares(total: limits.upstreamSockets, each: limits.upstreamSocketsOfAsker)
    }

    /// Asks `servers`, or the host's resolvers. Calls `completion` once, with an answer that carries the query's identifier, or with nil when there is none.
    func forward(
        _ query: DNSMessage, _ message: [UInt8], from asker: DNSAsker, to servers: [SocketAddress]? = nil,
        in container: ContainerResolver? = nil, overTCP: Bool,
        completion: @escaping ([UInt8]?) -> Void
    ) {
        let now = NIODeadline.now()
        let servers = order.ordered(servers ?? source.current(now: now), now: Self.duration(now))
        guard let question = query.questions.first, !servers.isEmpty, reserve(servers.count, for: asker) else {
            completion(nil)
            return
        }
        let key = nextKey
        nextKey += 1
        let identifiers = servers.map { _ in UInt16.random(in: .min ... .max, using: &generator) }
        let exchange = UpstreamExchange(
            message: message, question: question, servers: servers, identifiers: identifiers, overTCP: overTCP, times: times,
            container: container, eventLoop: eventLoop, note: { [weak self] in self?.note($0, isSilent: $1) }
        ) { [weak self] answer in
            self?.ended(key)
            completion(answer)
        }
        exchanges[key] = UnderWay(exchange: exchange, asker: asker, sockets: servers.count)
        exchange.start()
    }

    private func note(_ server: SocketAddress, isSilent: Bool) {
        if isSilent { order.noteSilence(of: server, now: Self.duration(.now())) } else { order.noteAnswer(of: server) }
    }

    private static func duration(_ time: NIODeadline) -> Duration { .nanoseconds(Int64(clamping: time.uptimeNanoseconds)) }

    /// Ends every exchange; their clients get SERVFAIL if they can still be reached.
    func stop() {
        for underWay in Array(exchanges.values) { underWay.exchange.finish(nil) }
    }

    /// When all sockets are in use, those who have most of them lose their oldest queries.
    private func reserve(_ sockets: Int, for asker: DNSAsker) -> Bool {
        while true {
            switch shares.take(sockets, for: asker) {
            case .taken: return true
            case .refused: return false
            case .fullUnlessEndedBy(let other):
                guard let oldest = exchanges.filter({ $0.value.asker == other }).min(by: { $0.key < $1.key }) else { return false }
                oldest.value.exchange.finish(nil)
            }
        }
    }

    private func ended(_ key: UInt64) {
        guard let underWay = exchanges.removeValue(forKey: key) else { return }
        shares.giveBack(underWay.sockets, of: underWay.asker)
    }
}
