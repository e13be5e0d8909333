import Glibc
import Testing
import WeftKernel
import WeftLinux
import WeftNet
import WeftTunnel
import WeftTunnelWire

/// Whether networks of tests that do not say are encrypted: WEFT_ENCRYPTED.
let encryptsNetworks = getenv("WEFT_ENCRYPTED") != nil

/// What encrypts on a host, in this process instead of one of its own. Its threads stay until the process ends.
final class TestTunnel: Sendable {
    private let tunnel: Tunnel
    private let own: IPv4Address
    private let peer: IPv4Address

    /// Has keys at once.
    init(in namespace: NetworkNamespace, _ own: IPv4Address, peer: IPv4Address) throws {
        let options = Tunnel.Options(device: KernelDatapath.tunnelName, address: own.rawValue, innerPort: 4790)
        // It fails once the host is gone.
        tunnel = try namespace.run { try Tunnel(options) { _ in } }
        (self.own, self.peer) = (own, peer)
        let inbound = Self.key(from: peer, to: own)
        #expect(tunnel.answer(.receive(InboundAssociation(spi: inbound.spi, peer: peer.rawValue, material: inbound.material))) == .done)
        setSends(true)
    }

    /// Whether it has a key to send under.
    func setSends(_ sends: Bool) {
        let outbound = Self.key(from: own, to: peer)
        let association = OutboundAssociation(
            spi: outbound.spi, address: peer.rawValue, port: 4500, lastSequence: highest, material: outbound.material)
        #expect(tunnel.answer(.send(peer: peer.rawValue, association: sends ? association : nil)) == .done)
    }

    /// The number sent last: another is not to be sent twice.
    private var highest: UInt64 {
        guard case .status(let status) = tunnel.answer(.status) else { return 0 }
        return (status.outbound.first?.lastSequence ?? 0) + UInt64(count(.sent))
    }

    func count(_ event: Counters.Event) -> Int {
        guard case .status(let status) = tunnel.answer(.status) else { return 0 }
        return Int(status.counts[event.rawValue])
    }

    private static func key(from: IPv4Address, to: IPv4Address) -> (spi: UInt32, material: [UInt8]) {
        let names = [UInt8(truncatingIfNeeded: from.rawValue), UInt8(truncatingIfNeeded: to.rawValue)]
        return (0x1000 | UInt32(names[0]) << 4 | UInt32(names[1]), (0..<20).map { names[$0 % 2] &+ UInt8($0) })
    }
}
