/// Segments of a TCP connection put together again, as a network card would (receive offload), so that the kernel handles one large
/// packet instead of forty small ones.
///
/// What is decrypted is put where it would have to be: right behind the payload before it, over whose end its headers go until
/// they have been compared. So a segment that continues the one before is not copied. One connection is open at a time: segments of a
/// connection come in a train, as they were sent.
public struct Merger: ~Copyable {
    /// Frames, with the device's header in front.
    public typealias Emit = (UnsafeRawBufferPointer) -> Void

    /// Two areas: the open packet is in the first.
    private var current: UnsafeMutableRawPointer
    private var other: UnsafeMutableRawPointer
    private let saved: UnsafeMutableRawPointer
    private var open: OpenPacket?
    /// Where the last `place` was.
    private var given: Place = .fresh

    private enum Place { case fresh, other, behind }

    private struct OpenPacket {
        var peer: UInt32
        var vni: UInt32
        var isIPv6: Bool
        /// Of IP and TCP.
        var headers: Int
        var segmentSize: Int
        var segments = 1
        var length: Int
        var nextNumber: UInt32
        var ipHeader: Int { isIPv6 ? 40 : 20 }
    }

    /// Where what is decrypted begins. The device's header and the frame's fit in front of the inner IP header, over what else was there.
    private static let plain = 16
    private static let ip = plain + ESPPacket.innerHeaderLength
    private static let ethernet = ip - TunnelFrame.taggedLength
    /// The largest packet that is built, and so the largest in a datagram.
    private static let largest = 65535
    private static let areaLength = ip + largest + 2048
    /// Segments smaller than this are not worth it.
    private static let leastSegment = 256

    public init() {
        current = .allocate(byteCount: Self.areaLength, alignment: 64)
        other = .allocate(byteCount: Self.areaLength, alignment: 64)
        saved = .allocate(byteCount: 256, alignment: 16)
    }

    deinit {
        current.deallocate()
        other.deallocate()
        saved.deallocate()
    }

    /// Where the next packet's content is to be decrypted to; `accept` or `refuse` has to follow.
    /// - Parameter count: how many octets that are, 65,535 at most.
    public mutating func place(for count: Int) -> UnsafeMutableRawPointer {
        guard let open else {
            given = .fresh
            return current + Self.plain
        }
        let overhead = ESPPacket.innerHeaderLength + open.headers
        guard count <= overhead + open.segmentSize + 5 else {
            given = .other
            return other + Self.plain
        }
        given = .behind
        let place = current + Self.ip + open.length - overhead
        saved.copyMemory(from: place, byteCount: overhead)
        return place
    }

    /// What was put there is not authentic.
    public mutating func refuse() {
        if given == .behind, let open { restore(open) }
    }

    private func restore(_ open: OpenPacket) {
        let overhead = ESPPacket.innerHeaderLength + open.headers
        (current + Self.ip + open.length - overhead).copyMemory(from: saved, byteCount: overhead)
    }

    /// Takes what was decrypted into the place.
    /// - Parameters:
    ///   - isCongested: the outer header bore the congestion mark.
    ///   - emit: is given what is complete.
    /// - Returns: false if the packet was dropped, as it cannot take the mark (RFC 6040, section 4.2).
    public mutating func accept(_ content: ESPPacket.Content, peer: UInt32, isCongested: Bool, emit: Emit) -> Bool {
        guard given == .behind, let packet = open else {
            if given == .other {
                flush(emit: emit)
                swap(&current, &other)
            }
            return begin(content, peer: peer, isCongested: isCongested, emit: emit)
        }
        let overhead = ESPPacket.innerHeaderLength + packet.headers
        let place = current + Self.ip + packet.length - overhead
        let ip = place + ESPPacket.innerHeaderLength
        if !isCongested, packet.peer == peer, packet.vni == content.vni, packet.isIPv6 == content.isIPv6,
            continues(packet, ip, length: content.length)
        {
            let flags = ip.octet(at: packet.ipHeader + 13)
            restore(packet)
            append(content.length - packet.headers, flags: flags, emit: emit)
            return true
        }
        (other + Self.plain).copyMemory(from: place, byteCount: ESPPacket.innerHeaderLength + content.length)
        restore(packet)
        flush(emit: emit)
        swap(&current, &other)
        return begin(content, peer: peer, isCongested: isCongested, emit: emit)
    }

    private mutating func append(_ payload: Int, flags: UInt8, emit: Emit) {
        guard var packet = open else { return }
        packet.length += payload
        packet.segments += 1
        packet.nextNumber &+= UInt32(truncatingIfNeeded: payload)
        let place = Self.ip + packet.ipHeader + 13
        current.storeBytes(of: current.octet(at: place) | flags & 0x09, toByteOffset: place, as: UInt8.self)
        open = packet
        if payload < packet.segmentSize || flags & 0x09 != 0 || packet.length + packet.segmentSize > Self.largest { flush(emit: emit) }
    }

    /// Whether the packet is the open one's next segment: the same headers but for what differs from segment to segment.
    private func continues(_ packet: OpenPacket, _ ip: UnsafeMutableRawPointer, length: Int) -> Bool {
        let payload = length - packet.headers
        guard payload > 0, payload <= packet.segmentSize else { return false }
        let first = current + Self.ip
        func isSame(_ from: Int, _ to: Int) -> Bool { Octets.areSame(first + from, ip + from, to - from) }
        if packet.isIPv6 {
            guard isSame(0, 4), isSame(6, 40) else { return false }
        } else {
            guard isSame(0, 2), isSame(6, 10), isSame(12, 20) else { return false }
        }
        let tcp = packet.ipHeader
        // Ports; acknowledgement and length of the header; flags but FIN and PSH; window; urgent pointer and options.
        return isSame(tcp, tcp + 4) && ip.number(at: tcp + 4, as: UInt32.self) == packet.nextNumber && isSame(tcp + 8, tcp + 13)
            && (first.octet(at: tcp + 13) ^ ip.octet(at: tcp + 13)) & ~0x09 == 0 && isSame(tcp + 14, tcp + 16)
            && isSame(tcp + 18, packet.headers)
    }

    /// A packet in the first area, with nothing open.
    private mutating func begin(_ content: ESPPacket.Content, peer: UInt32, isCongested: Bool, emit: Emit) -> Bool {
        let ip = current + Self.ip
        if isCongested && !mark(ip, isIPv6: content.isIPv6, length: content.length) { return false }
        if let headers = Self.headersOfSegment(ip, content), 2 * content.length - headers <= Self.largest {
            let number = ip.number(at: (content.isIPv6 ? 40 : 20) + 4, as: UInt32.self)
            open = OpenPacket(
                peer: peer, vni: content.vni, isIPv6: content.isIPv6, headers: headers, segmentSize: content.length - headers,
                length: content.length, nextNumber: number &+ UInt32(truncatingIfNeeded: content.length - headers))
            return true
        }
        send(VirtioHeader(), vni: content.vni, peer: peer, isIPv6: content.isIPv6, length: content.length, emit: emit)
        return true
    }

    /// The length of IP's and TCP's headers if another segment may follow this one.
    private static func headersOfSegment(_ ip: UnsafeMutableRawPointer, _ content: ESPPacket.Content) -> Int? {
        let tcp = content.isIPv6 ? 40 : 20
        guard content.length >= tcp + 20 + leastSegment else { return nil }
        if content.isIPv6 {
            guard ip.octet(at: 6) == 6, Int(ip.number(at: 4, as: UInt16.self)) == content.length - 40 else { return nil }
        } else {
            guard ip.octet(at: 0) == 0x45, ip.octet(at: 9) == 6, ip.number(at: 6, as: UInt16.self) & 0x3fff == 0,
                Int(ip.number(at: 2, as: UInt16.self)) == content.length
            else { return nil }
        }
        let headers = tcp + Int(ip.octet(at: tcp + 12) >> 4) * 4
        // ACK alone: everything else is something special, or the end of a train.
        guard headers >= tcp + 20, ip.octet(at: tcp + 13) == 0x10, content.length >= headers + leastSegment else { return nil }
        return headers
    }

    /// Carries the congestion mark to the inner header; false if that cannot bear it (RFC 6040, section 4.2).
    private func mark(_ ip: UnsafeMutableRawPointer, isIPv6: Bool, length: Int) -> Bool {
        if isIPv6 {
            guard ip.octet(at: 1) & 0x30 != 0 else { return false }
            ip.storeBytes(of: ip.octet(at: 1) | 0x30, toByteOffset: 1, as: UInt8.self)
            return true
        }
        guard ip.octet(at: 1) & 3 != 0 else { return false }
        ip.storeBytes(of: ip.octet(at: 1) | 3, toByteOffset: 1, as: UInt8.self)
        Checksum.finishIPv4(ip, length: min(Int(ip.octet(at: 0) & 15) * 4, length))
        return true
    }

    /// Gives out what is open: nothing more is at hand.
    public mutating func flush(emit: Emit) {
        guard let packet = open else { return }
        open = nil
        var header = VirtioHeader()
        if packet.segments > 1 {
            header.flags = VirtioHeader.needsChecksum
            header.segments = packet.isIPv6 ? .tcp6 : .tcp4
            header.headerLength = TunnelFrame.taggedLength + packet.headers
            header.segmentSize = packet.segmentSize
            header.checksumStart = TunnelFrame.taggedLength + packet.ipHeader
            header.checksumOffset = 16
            finish(packet)
        }
        send(header, vni: packet.vni, peer: packet.peer, isIPv6: packet.isIPv6, length: packet.length, emit: emit)
    }

    /// Lengths and sums of the packet as a whole; TCP's checksum is the pseudo-header's, the kernel does the rest if it has to.
    private func finish(_ packet: OpenPacket) {
        let ip = current + Self.ip
        let transport = packet.length - packet.ipHeader
        let addresses: UInt64
        if packet.isIPv6 {
            ip.put(UInt16(truncatingIfNeeded: transport), at: 4)
            addresses = Checksum.sum(ip + 8, 32)
        } else {
            ip.put(UInt16(truncatingIfNeeded: packet.length), at: 2)
            Checksum.finishIPv4(ip, length: 20)
            addresses = Checksum.sum(ip + 12, 8)
        }
        let sum = Checksum.fold(addresses &+ Checksum.word(6) &+ Checksum.word(transport))
        ip.storeBytes(of: sum, toByteOffset: packet.ipHeader + 16, as: UInt16.self)
    }

    private func send(_ header: VirtioHeader, vni: UInt32, peer: UInt32, isIPv6: Bool, length: Int, emit: Emit) {
        var header = header
        // Authentic as it was sent: whatever the sender's own checksum says is for the receiver's end.
        if header.segments == .none { header.flags = VirtioHeader.isValid }
        header.write(to: current + Self.ethernet - VirtioHeader.length)
        TunnelFrame(vni: vni, peer: peer, isIPv6: isIPv6).write(to: current + Self.ethernet)
        emit(
            UnsafeRawBufferPointer(
                start: current + Self.ethernet - VirtioHeader.length, count: VirtioHeader.length + TunnelFrame.taggedLength + length))
    }
}

private enum Octets {
    /// For a few octets, without a call.
    @inline(__always)
    static func areSame(_ first: UnsafeMutableRawPointer, _ second: UnsafeMutableRawPointer, _ count: Int) -> Bool {
        var offset = 0
        while offset &+ 8 <= count {
            if first.loadUnaligned(fromByteOffset: offset, as: UInt64.self) != second.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            {
                return false
            }
            offset &+= 8
        }
        while offset < count {
            if first.octet(at: offset) != second.octet(at: offset) { return false }
            offset &+= 1
        }
        return true
    }
}
