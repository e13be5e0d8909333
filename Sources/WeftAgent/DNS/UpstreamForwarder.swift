import NIOCore
import WeftNet
import WeftWire

/// Passes queries to the host's resolvers. Confined to the server's event loop.
final class UpstreamForwarder {
    /// Queries under way at once.
    static let inFlightMax = 1024
    /// Of these, of one asker: no sandbox can use up what all of them share.
    static let inFlightPerAskerMax = 256

    let eventLoop: any EventLoop
    private var source: UpstreamSource
    private var generator = SystemRandomNumberGenerator()
    private var exchanges: [UInt64: UpstreamExchange] = [:]
    private var inFlight: [IPv4Address: Int] = [:]
    private var nextKey: UInt64 = 0

    init(eventLoop: any EventLoop, source: UpstreamSource) {
        self.eventLoop = eventLoop
        self.source = source
    }

    /// Asks `servers`, or the host's resolvers. Calls `completion` once, with an answer that carries the query's identifier, or with nil when there is none.
    func forward(
        _ query: DNSMessage, _ message: [UInt8], from asker: IPv4Address, to servers: [SocketAddress]? = nil,
        in container: ContainerResolver? = nil, overTCP: Bool,
        completion: @escaping ([UInt8]?) -> Void
    ) {
        let servers = servers ?? source.current(now: .now())
        guard let question = query.questions.first, !servers.isEmpty, exchanges.count < Self.inFlightMax,
            inFlight[asker, default: 0] < Self.inFlightPerAskerMax
        else {
            completion(nil)
            return
        }
        let key = nextKey
        nextKey += 1
        inFlight[asker, default: 0] += 1
        let identifiers = servers.map { _ in UInt16.random(in: .min ... .max, using: &generator) }
        let exchange = UpstreamExchange(
            message: message, question: question, servers: servers, identifiers: identifiers, overTCP: overTCP,
            container: container, eventLoop: eventLoop
        ) { [weak self] answer in
            self?.ended(key, asker)
            completion(answer)
        }
        exchanges[key] = exchange
        exchange.start()
    }

    /// Ends every exchange; their clients get SERVFAIL if they can still be reached.
    func stop() {
        for exchange in Array(exchanges.values) { exchange.finish(nil) }
    }

    private func ended(_ key: UInt64, _ asker: IPv4Address) {
        exchanges[key] = nil
        inFlight[asker, default: 1] -= 1
        if inFlight[asker] == 0 { inFlight[asker] = nil }
    }
}
