import Logging
import WeftCrypto
import WeftModel
import WeftNet
import WeftNode
import WeftTunnelWire

extension KeyKeeper {
    /// Asks the tunnels of the peers whether what this one sends arrives, and says what does not.
    func watchPaths(_ news: KeyNews) throws {
        let now = options.now()
        guard let session, let life, askedAt.map({ now - $0 >= PathWatch.interval }) ?? true else { return }
        askedAt = now
        // A process of an earlier version knows no questions: nothing is known of its paths then.
        guard case .probes(let results) = try session.ask(.probes) else { return }
        let nodes = Dictionary(news.peers.map { ($0.value.rawValue, $0.key) }) { first, _ in first }
        for result in results {
            guard let node = nodes[result.peer] else { continue }
            let came = PathWatch.Result(
                answered: result.answered, roundTrip: .microseconds(Int64(result.roundTripMicroseconds)), heard: result.heard)
            paths.learn(came, of: node, now: now)
        }
        let peers = life.outbound.keys.filter { news.paths[$0]?.isUp ?? true }
        let lengths = Dictionary(peers.map { ($0, path($0, news).insideESP.length) }) { first, _ in first }
        for question in paths.questions(lengths, now: now) {
            guard let address = news.peers[question.node] else { continue }
            _ = try session.ask(.probe(peer: address.rawValue, number: question.number, length: question.length))
        }
        tellPaths(news, now)
    }

    private func path(_ node: NodeID, _ news: KeyNews) -> MTU { news.paths[node]?.mtu ?? .ethernet }

    /// What is wrong with the path to a node; nil: nothing, or it is not known yet.
    func condition(_ node: NodeID, _ news: KeyNews, lasting: Bool = false) -> PathCondition? {
        guard let fault = paths.fault(node, now: options.now(), missed: lasting ? PathWatch.missedLong : PathWatch.missedMax) else {
            return nil
        }
        let port = life?.outbound[node].flatMap { life?.taken[node]?[$0.theirs]?.port } ?? options.port
        return PathCondition(peer: node, fault: fault, port: port, length: path(node, news).length)
    }

    private func tellPaths(_ news: KeyNews, _ now: Duration) {
        let conditions = news.peers.keys.sorted().compactMap { condition($0, news, lasting: true) }
        guard conditions != told else { return }
        for condition in conditions where !told.contains(condition) {
            logger.warning("an encrypted path is out of order", metadata: ["node": "\(condition.peer)", "reason": "\(condition.sentence)"])
        }
        let mended = Set(told.map(\.peer)).subtracting(conditions.map(\.peer))
        for node in mended.sorted() { logger.notice("an encrypted path is in order again", metadata: ["node": "\(node)"]) }
        told = conditions
        say(.paths(Array(conditions.prefix(PathCondition.told))))
    }
}

extension MTU {
    var length: UInt16 { UInt16(clamping: bytes) }
}
