internal import CTunnel
internal import Glibc
internal import WeftESP
package import WeftLinux
internal import WeftTunnelWire

/// From the device to the underlay.
package struct SendPath: ~Copyable {
    private let tap: Int32
    private let socket: Int32
    private let associations: Associations
    private let counters: Counters
    /// The port of the protected VXLAN at the other end.
    private let port: UInt16
    private var generation: UInt64 = 0
    private var peers: [UInt32: SealingPeer] = [:]
    private let frame: UnsafeMutableRawPointer
    private let output: UnsafeMutableRawPointer
    private let scratch: UnsafeMutableRawPointer
    private var used = 0
    private var trains: [ctn_train] = []
    /// How many datagrams the last train has, and whether another may follow.
    private var inTrain = 0
    private var isTrainOpen = false

    private static let frameCapacity = 10 + 14 + 65536
    /// A frame's datagrams, however small its segments: more is not begun.
    private static let outputCapacity = 512 * 1024
    /// What one frame can become.
    private static let largestFrame = 256 * 1024
    /// Frames that are taken before anything is sent.
    private static let batch = 64

    /// - Parameters:
    ///   - queue: has to outlive this, as the socket has.
    ///   - port: of the protected VXLAN.
    package init(
        _ queue: borrowing TunnelQueue, _ socket: borrowing TunnelSocket, associations: Associations, counters: Counters, port: UInt16
    ) {
        tap = queue.descriptor.rawValue
        self.socket = socket.descriptor.rawValue
        self.associations = associations
        self.counters = counters
        self.port = port
        frame = .allocate(byteCount: Self.frameCapacity, alignment: 64)
        output = .allocate(byteCount: Self.outputCapacity, alignment: 64)
        scratch = .allocate(byteCount: 16, alignment: 16)
        trains.reserveCapacity(Int(CTN_TRAINS))
    }

    deinit {
        frame.deallocate()
        output.deallocate()
        scratch.deallocate()
    }

    /// Waits for a frame, and sends it with those that have come as well. Throws when the device is gone.
    package mutating func step() throws(SystemError) {
        var waits = true
        for _ in 0..<Self.batch {
            let count = ctn_read(tap, frame, Self.frameCapacity, waits ? 1 : 0)
            if count < 0 {
                if errno == EAGAIN { break }
                let reason = SystemError.last("read from the tunnel's device")
                flush()
                throw reason
            }
            if waits {
                waits = false
                refresh()
            }
            take(count)
            if used + Self.largestFrame > Self.outputCapacity { flush() }
        }
        flush()
    }

    /// Takes over changed keys. A peer whose association is the same keeps what is set up.
    private mutating func refresh() {
        let current = associations.current
        guard current != generation else { return }
        generation = current
        var kept: [UInt32: SealingPeer] = [:]
        for (address, association) in associations.snapshot.outbound {
            if let peer = peers[address], peer.association === association {
                kept[address] = peer
            } else {
                kept[address] = SealingPeer(association)
            }
        }
        peers = kept
    }

    private mutating func take(_ count: Int) {
        guard count >= VirtioHeader.length + TunnelFrame.headerLength, let header = VirtioHeader(frame),
            let about = TunnelFrame(UnsafeRawBufferPointer(start: frame + VirtioHeader.length, count: count - VirtioHeader.length))
        else { return counters.add(.malformed) }
        let front = VirtioHeader.length + TunnelFrame.headerLength
        guard let segments = Segmentation(UnsafeRawBufferPointer(start: frame + front, count: count - front), header),
            segments.count * ESPPacket.datagramLength(packet: segments.longest) <= Self.largestFrame
        else { return counters.add(.malformed) }
        guard let peer = peers[about.peer] else { return counters.add(.noKey, segments.count) }
        guard let first = peer.association.take(segments.count) else { return counters.add(.exhausted, segments.count) }
        let source = Self.sourcePort(frame + front, isIPv6: about.isIPv6)
        let tos = Self.trafficClass(frame + front, isIPv6: about.isIPv6)
        for index in 0..<segments.count {
            let datagram = output + used
            let packet = segments.write(index, to: datagram + ESPPacket.headerLength + ESPPacket.innerHeaderLength)
            let sequence = first + UInt64(index)
            let length = ESPPacket.frame(
                datagram, spi: peer.association.spi, sequence: sequence, vni: about.vni, sourcePort: source, targetPort: port,
                isIPv6: about.isIPv6, packet: packet)
            guard peer.key.seal(datagram, spi: peer.association.spi, sequence: sequence, length: length, scratch: scratch) else {
                counters.add(.malformed)
                continue
            }
            enqueue(peer.association, length + ESPPacket.headerLength + ESPPacket.tagLength, tos: tos)
        }
        counters.add(.sent, segments.count)
    }

    /// The datagram at the end of the output goes into the train before it if it fits, else begins one.
    private mutating func enqueue(_ association: Associations.Outbound, _ length: Int, tos: UInt8) {
        let address = association.address.bigEndian
        if isTrainOpen, let last = trains.last, last.address == address, last.port == association.port.bigEndian, last.tos == tos,
            length <= Int(last.segment), inTrain < Int(CTN_TRAIN_SEGMENTS), Int(last.length) + length <= Int(CTN_TRAIN_LENGTH)
        {
            trains[trains.count - 1].length += UInt32(length)
            inTrain += 1
            // A shorter one is the last of its train.
            isTrainOpen = length == Int(last.segment)
        } else {
            if trains.count == Int(CTN_TRAINS) { send() }
            trains.append(
                ctn_train(
                    start: UnsafePointer((output + used).assumingMemoryBound(to: UInt8.self)), length: UInt32(length),
                    segment: UInt16(truncatingIfNeeded: length), tos: tos, address: address, port: association.port.bigEndian))
            inTrain = 1
            isTrainOpen = true
        }
        used += length
    }

    /// Sends what is written. The output is not begun anew: more may follow in it.
    private mutating func send() {
        guard !trains.isEmpty else { return }
        var error: Int32 = 0
        let lost = ctn_send(socket, trains, Int32(trains.count), &error)
        counters.add(.unsent, Int(lost))
        trains.removeAll(keepingCapacity: true)
        isTrainOpen = false
    }

    private mutating func flush() {
        send()
        used = 0
    }

    /// Of the inner flow, for whoever spreads by it once it is in the clear (RFC 7348, section 5).
    private static func sourcePort(_ packet: UnsafeMutableRawPointer, isIPv6: Bool) -> UInt16 {
        let addresses = isIPv6 ? packet + 24 : packet + 12
        var hash = addresses.loadUnaligned(as: UInt64.self)
        hash = (hash ^ hash >> 29) &* 0x9E37_79B9_7F4A_7C15
        return 0xc000 | UInt16(truncatingIfNeeded: hash >> 50)
    }

    /// As the programs have it for the clear way: the inner packet's.
    private static func trafficClass(_ packet: UnsafeMutableRawPointer, isIPv6: Bool) -> UInt8 {
        let word = packet.loadUnaligned(as: UInt16.self).bigEndian
        return isIPv6 ? UInt8(truncatingIfNeeded: word >> 4) : UInt8(truncatingIfNeeded: word)
    }
}
