internal import CTunnel
internal import Glibc
internal import Synchronization
internal import WeftESP
internal import WeftLinux
internal import WeftTunnelWire

/// Asks peers whether what is sent arrives, and answers them: under the keys in use, through the same socket. Questions are few, so one
/// lock is enough.
package final class Prober: Sendable {
    private struct Question {
        let number: UInt64
        let at: ContinuousClock.Instant
    }

    private struct State {
        var peers: [UInt32: SealingPeer] = [:]
        var results: [UInt32: TunnelProbeResult] = [:]
        var asked: [UInt32: [Question]] = [:]
        var answers: [UInt32: (since: ContinuousClock.Instant, count: Int)] = [:]
    }

    private let associations: Associations
    private let socket: Int32
    private let port: UInt16
    private let state = Mutex(State())

    /// Questions of a peer that an answer may still come to.
    private static let remembered = 8
    /// Answers to a peer in a second: it has no use for more.
    private static let answersMax = 32

    /// - Parameter port: of the protected VXLAN.
    package init(_ associations: Associations, _ socket: borrowing TunnelSocket, port: UInt16) {
        self.associations = associations
        self.socket = socket.descriptor.rawValue
        self.port = port
    }

    /// False if there is no key to ask the peer under. What the underlay does not take is as good as lost.
    func ask(_ peer: UInt32, number: UInt64, length: Int) -> Bool {
        state.withLock { state in
            state.results[peer, default: TunnelProbeResult(peer: peer)].peer = peer
            state.asked[peer, default: []].append(Question(number: number, at: .now))
            if let count = state.asked[peer]?.count, count > Self.remembered { state.asked[peer]?.removeFirst() }
            return send(TunnelProbe(.question, number: number), to: peer, length: length, &state)
        }
    }

    /// What came of it is authentic.
    func came(_ probe: TunnelProbe, from peer: UInt32) {
        state.withLock { state in
            var result = state.results[peer] ?? TunnelProbeResult(peer: peer)
            switch probe.kind {
            case .question:
                result.heard += 1
                guard mayAnswer(peer, &state) else { break }
                _ = send(TunnelProbe(.answer, number: probe.number), to: peer, length: TunnelProbe.lengthMin, &state)
            case .answer:
                // Only what was asked is answered: an answer to anything else is of a former process.
                guard let question = state.asked[peer]?.first(where: { $0.number == probe.number }), probe.number > result.answered else {
                    break
                }
                result.answered = probe.number
                let time = (ContinuousClock.now - question.at) / .microseconds(1)
                result.roundTripMicroseconds = UInt32(min(max(time, 0), Double(UInt32.max)))
            }
            state.results[peer] = result
        }
    }

    /// A peer that is none any more.
    func forget(_ peer: UInt32) {
        state.withLock { state in
            state.peers[peer] = nil
            state.results[peer] = nil
            state.asked[peer] = nil
            state.answers[peer] = nil
        }
    }

    /// By peer.
    var results: [TunnelProbeResult] { state.withLock { $0.results.values.sorted { $0.peer < $1.peer } } }

    private func mayAnswer(_ peer: UInt32, _ state: inout State) -> Bool {
        let now = ContinuousClock.now
        guard let (since, count) = state.answers[peer], now - since < .seconds(1) else {
            state.answers[peer] = (now, 1)
            return true
        }
        state.answers[peer] = (since, count + 1)
        return count < Self.answersMax
    }

    private func send(_ probe: TunnelProbe, to peer: UInt32, length: Int, _ state: inout State) -> Bool {
        guard let association = associations.snapshot.outbound[peer] else {
            state.peers[peer] = nil
            return false
        }
        if state.peers[peer]?.association !== association { state.peers[peer] = SealingPeer(association) }
        guard let to = state.peers[peer], let sequence = association.take(1) else { return false }
        let capacity = ESPPacket.datagramLength(packet: max(length, TunnelProbe.lengthMin))
        return withUnsafeTemporaryAllocation(byteCount: capacity + 32, alignment: 16) { area in
            guard let datagram = area.baseAddress else { return false }
            let count = probe.frame(datagram, spi: association.spi, sequence: sequence, port: port, length: length)
            guard
                to.key.seal(datagram, spi: association.spi, sequence: sequence, length: count, scratch: datagram + ((capacity + 15) & ~15))
            else {
                return false
            }
            let whole = count + ESPPacket.headerLength + ESPPacket.tagLength
            // Bulk traffic may have filled the socket: who waits for it here keeps the packets that come in waiting.
            ctn_send_or_lose(
                socket, datagram.assumingMemoryBound(to: UInt8.self), UInt32(whole), association.address.bigEndian,
                association.port.bigEndian)
            return true
        }
    }
}
