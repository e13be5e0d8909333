/// A frame from the device cut into the packets that it stands for (segmentation offload), each whole and with right checksums, as
/// whatever is at the other end expects real packets.
public struct Segmentation {
    /// The IP packet.
    private let packet: UnsafeRawPointer
    private let length: Int
    private let isIPv6: Bool
    private let kind: VirtioHeader.Segments
    /// Where TCP or UDP begins.
    private let transport: Int
    /// Where the payload begins that is cut.
    private let headers: Int
    private let size: Int
    /// Of the pseudo-header without the length.
    private let pseudoSum: UInt64
    private let checksum: (start: Int, field: Int)?
    public let count: Int
    /// TCP's number, IPv4's identification: read once.
    private let firstNumber: UInt32
    private let firstIdentification: UInt16

    /// How long the longest packet is.
    public var longest: Int { count == 1 ? length : headers + size }

    /// - Parameters:
    ///   - packet: the IP packet of a frame; has to outlive this.
    ///   - header: what the device says of the frame.
    /// - Returns: nil if what it says does not fit the packet.
    public init?(_ packet: UnsafeRawBufferPointer, _ header: VirtioHeader) {
        guard let start = packet.baseAddress, packet.count >= 20, packet.count <= 65535 else { return nil }
        let isIPv6 = start.octet(at: 0) >> 4 == 6
        self.packet = start
        length = packet.count
        self.isIPv6 = isIPv6
        kind = header.segments
        let checksumStart = header.checksumStart - TunnelFrame.headerLength
        let field = checksumStart + header.checksumOffset
        if header.needsChecksum {
            guard checksumStart >= 20, field + 2 <= packet.count else { return nil }
            checksum = (checksumStart, field)
        } else {
            checksum = nil
        }
        guard kind != .none else {
            (transport, headers, size, pseudoSum, count) = (0, 0, 0, 0, 1)
            (firstNumber, firstIdentification) = (0, 0)
            return
        }
        let least = kind == .udp ? 8 : 20
        guard header.needsChecksum, checksumStart >= (isIPv6 ? 40 : 20), checksumStart + least <= packet.count, header.segmentSize > 0,
            kind == .udp || (kind == .tcp6) == isIPv6, header.checksumOffset == (kind == .udp ? 6 : 16)
        else { return nil }
        transport = checksumStart
        let transportLength = kind == .udp ? 8 : Int(start.octet(at: checksumStart + 12) >> 4) * 4
        headers = checksumStart + transportLength
        guard transportLength >= least, headers < packet.count else { return nil }
        size = header.segmentSize
        count = (packet.count - headers + size - 1) / size
        let total = packet.count - checksumStart
        let given = UInt64(start.loadUnaligned(fromByteOffset: field, as: UInt16.self))
        // One's complement: to take the length away is to add its complement.
        pseudoSum = given &+ UInt64(~Checksum.fold(Checksum.word(total)))
        firstNumber = kind == .udp ? 0 : start.number(at: checksumStart + 4, as: UInt32.self)
        firstIdentification = isIPv6 ? 0 : start.number(at: 4, as: UInt16.self)
    }

    /// Writes one of the packets.
    /// - Parameter target: with room for `longest` octets.
    /// - Returns: its length.
    public func write(_ index: Int, to target: UnsafeMutableRawPointer) -> Int {
        guard kind != .none else {
            target.copyMemory(from: packet, byteCount: length)
            if let checksum { finish(target, length: length, start: checksum.start, field: checksum.field) }
            return length
        }
        let from = headers + index * size
        let payload = min(size, length - from)
        let total = headers + payload
        target.copyMemory(from: packet, byteCount: headers)
        (target + headers).copyMemory(from: packet + from, byteCount: payload)
        if isIPv6 {
            target.put(UInt16(truncatingIfNeeded: total - 40), at: 4)
        } else {
            target.put(UInt16(truncatingIfNeeded: total), at: 2)
            target.put(firstIdentification &+ UInt16(truncatingIfNeeded: index), at: 4)
            Checksum.finishIPv4(target, length: min(Int(target.octet(at: 0) & 15) * 4, transport))
        }
        let field: Int
        if kind == .udp {
            target.put(UInt16(truncatingIfNeeded: total - transport), at: transport + 4)
            field = transport + 6
        } else {
            target.put(firstNumber &+ UInt32(truncatingIfNeeded: index * size), at: transport + 4)
            var flags = target.octet(at: transport + 13)
            // FIN and PSH are the last one's, CWR the first one's.
            if index != count - 1 { flags &= ~0x09 }
            if index != 0 { flags &= ~0x80 }
            target.storeBytes(of: flags, toByteOffset: transport + 13, as: UInt8.self)
            field = transport + 16
        }
        target.storeBytes(of: 0, toByteOffset: field, as: UInt16.self)
        let sum = pseudoSum &+ Checksum.word(total - transport) &+ Checksum.sum(target + transport, total - transport)
        store(sum, at: field, of: target)
        return total
    }

    /// The field has the pseudo-header's sum: with it the sum of the rest is the checksum.
    private func finish(_ target: UnsafeMutableRawPointer, length: Int, start: Int, field: Int) {
        store(Checksum.sum(target + start, length - start), at: field, of: target)
    }

    private func store(_ sum: UInt64, at field: Int, of target: UnsafeMutableRawPointer) {
        var checksum = ~Checksum.fold(sum)
        // 0 says that there is none (RFC 768); TCP does not mind.
        if checksum == 0 { checksum = 0xffff }
        target.storeBytes(of: checksum, toByteOffset: field, as: UInt16.self)
    }
}
