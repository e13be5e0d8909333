internal import CTunnel
internal import Glibc
internal import Synchronization
internal import WeftESP
package import WeftLinux
internal import WeftTunnelWire

/// From the underlay to the device.
package struct ReceivePath: ~Copyable {
    private let tap: Int32
    private let socket: Int32
    private let associations: Associations
    private let counters: Counters
    private let port: UInt16
    private let prober: Prober
    private var generation: UInt64 = 0
    private var known: [UInt32: Known] = [:]
    /// The association of the packet before: usually this one's, too.
    private var last: Known?
    private var merger = Merger()
    private let input: UnsafeMutableRawPointer
    private let scratch: UnsafeMutableRawPointer

    private static let capacity = 65536
    /// Calls before what is open is given to the device even if more keeps coming.
    private static let batch = 32

    private final class Known {
        let association: Associations.Inbound
        let key: SealingKey

        init?(_ association: Associations.Inbound) {
            guard let key = association.secret.makeKey(seals: false) else { return nil }
            self.association = association
            self.key = key
        }
    }

    /// - Parameters:
    ///   - queue: has to outlive this, as the socket has.
    ///   - port: of the protected VXLAN.
    package init(
        _ queue: borrowing TunnelQueue, _ socket: borrowing TunnelSocket, associations: Associations, counters: Counters, prober: Prober,
        port: UInt16
    ) {
        tap = queue.descriptor.rawValue
        self.socket = socket.descriptor.rawValue
        self.associations = associations
        self.counters = counters
        self.port = port
        self.prober = prober
        input = .allocate(byteCount: Self.capacity, alignment: 64)
        scratch = .allocate(byteCount: 16, alignment: 16)
    }

    deinit {
        input.deallocate()
        scratch.deallocate()
    }

    /// Waits for a datagram, and takes it with those that have come as well. Throws when the socket is gone.
    package mutating func step() throws(SystemError) {
        var arrival = ctn_arrival()
        var waits = true
        for _ in 0..<Self.batch {
            let count = ctn_receive(socket, input, Self.capacity, &arrival, waits ? 1 : 0)
            if count < 0 {
                // What an ICMP error said of a datagram that was sent: a peer that does not listen is no reason to stop.
                if errno == EAGAIN || errno == ECONNREFUSED || errno == EHOSTUNREACH || errno == ENETUNREACH || errno == EMSGSIZE { break }
                throw .last("receive encrypted packets")
            }
            if waits {
                waits = false
                refresh()
            }
            take(count, segment: Int(arrival.segment), isCongested: arrival.tos & 3 == 3)
        }
        let (tap, counters) = (tap, counters)
        merger.flush { Self.deliver($0, tap, counters) }
    }

    private mutating func refresh() {
        let current = associations.current
        guard current != generation else { return }
        generation = current
        var kept: [UInt32: Known] = [:]
        for (spi, association) in associations.snapshot.inbound {
            if let old = known[spi], old.association === association { kept[spi] = old } else { kept[spi] = Known(association) }
        }
        known = kept
        last = nil
    }

    private mutating func take(_ count: Int, segment: Int, isCongested: Bool) {
        var offset = 0
        repeat {
            let length = segment > 0 ? min(segment, count - offset) : count
            take(UnsafeRawBufferPointer(start: input + offset, count: length), isCongested: isCongested)
            offset += length
        } while offset < count
    }

    private mutating func take(_ datagram: UnsafeRawBufferPointer, isCongested: Bool) {
        guard case .packet(let spi, let low) = ESPPacket.kind(of: datagram) else { return }
        if last?.association.spi != spi { last = known[spi] }
        guard let from = last else { return counters.add(.unknownAssociation) }
        let sequence: UInt64? = from.association.window.withLock {
            guard let number = $0.extend(low), $0.admits(number) else { return nil }
            return number
        }
        guard let sequence else { return counters.add(.replayed) }
        let length = datagram.count - ESPPacket.headerLength - ESPPacket.tagLength
        let place = merger.place(for: length)
        guard from.key.open(datagram, spi: spi, sequence: sequence, to: place, scratch: scratch) else {
            merger.refuse()
            return counters.add(.forged)
        }
        // Again: another thread may have taken the same packet meanwhile.
        guard from.association.window.withLock({ $0.take(sequence) }) else {
            merger.refuse()
            return counters.add(.replayed)
        }
        let plain = UnsafeRawBufferPointer(start: place, count: length)
        guard let content = ESPPacket.content(plain, port: port) else {
            let probe = TunnelProbe(plain, port: port)
            merger.refuse()
            if let probe { return prober.came(probe, from: from.association.peer) }
            return counters.add(.unacceptable)
        }
        let (tap, counters) = (tap, counters)
        let isTaken = merger.accept(content, peer: from.association.peer, isCongested: isCongested) {
            Self.deliver($0, tap, counters)
        }
        counters.add(isTaken ? .received : .unacceptable)
    }

    private static func deliver(_ frame: UnsafeRawBufferPointer, _ tap: Int32, _ counters: Counters) {
        while write(tap, frame.baseAddress, frame.count) < 0 {
            if errno == EINTR { continue }
            return counters.add(.undelivered)
        }
    }
}
