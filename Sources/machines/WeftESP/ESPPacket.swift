/// A packet of ESP in UDP that carries a VXLAN frame in transport mode.
///
///     | SPI 4 | sequence 4 | IV 8 | UDP 8 | VXLAN 8 | Ethernet 14 | IP … | padding, its length, next header | tag 16 |
///                                 '-------------------- encrypted --------------------'
///
/// The IV is the 64-bit sequence number (RFC 4106, section 3.1: it must only never repeat under a key).
public enum ESPPacket {
    /// SPI, sequence number and IV.
    public static let headerLength = 16
    public static let tagLength = 16
    /// UDP, VXLAN and Ethernet in front of the inner IP header.
    public static let innerHeaderLength = 30
    /// The least of what follows the payload: length of the padding, next header.
    static let trailerLength = 2
    /// Values up to 255 are reserved (RFC 4303, 2.1).
    public static let firstSPI: UInt32 = 256
    static let udp: UInt8 = 17

    /// The largest IP packet in a datagram of `capacity` octets (the underlay's MTU less IP and UDP headers).
    public static func largestPacket(in capacity: Int) -> Int {
        // What is encrypted is a multiple of four octets (RFC 4303, 2.4).
        let encrypted = (capacity - headerLength - tagLength) & ~3
        return max(0, encrypted - innerHeaderLength - trailerLength)
    }

    /// How many octets an IP packet of this length is as a datagram.
    public static func datagramLength(packet: Int) -> Int {
        headerLength + (innerHeaderLength + packet + trailerLength + 3) & ~3 + tagLength
    }

    /// Writes everything but the IP packet, which lies at `headerLength + innerHeaderLength` already, and the tag.
    /// - Returns: how many octets are to be encrypted, from `headerLength` on.
    public static func frame(
        _ datagram: UnsafeMutableRawPointer, spi: UInt32, sequence: UInt64, vni: UInt32, sourcePort: UInt16, targetPort: UInt16,
        isIPv6: Bool, packet: Int
    ) -> Int {
        frame(
            datagram, spi: spi, sequence: sequence, vni: vni, sourcePort: sourcePort, targetPort: targetPort,
            etherType: isIPv6 ? 0x86dd : 0x0800, packet: packet)
    }

    /// The same for any packet.
    @inline(__always)
    static func frame(
        _ datagram: UnsafeMutableRawPointer, spi: UInt32, sequence: UInt64, vni: UInt32, sourcePort: UInt16, targetPort: UInt16,
        etherType: UInt16, packet: Int
    ) -> Int {
        datagram.put(spi, at: 0)
        datagram.put(UInt32(truncatingIfNeeded: sequence), at: 4)
        datagram.put(sequence, at: 8)
        let inner = datagram + headerLength
        inner.put(sourcePort, at: 0)
        inner.put(targetPort, at: 2)
        inner.put(UInt16(truncatingIfNeeded: packet + innerHeaderLength), at: 4)
        inner.put(UInt16(0), at: 6)  // RFC 7348, section 5
        inner.put(UInt32(0x0800_0000), at: 8)
        inner.put(vni << 8, at: 12)
        // Nobody looks at the inner addresses; local ones, so that no real interface has them.
        inner.put(UInt64(0x0200_0000_0000_0200), at: 16)
        inner.put(UInt32(0), at: 24)
        inner.put(etherType, at: 28)
        let payload = innerHeaderLength + packet
        let padding = (2 - payload) & 3
        // RFC 4303, 2.4: 1, 2, 3…
        for index in 0..<padding { inner.storeBytes(of: UInt8(index + 1), toByteOffset: payload + index, as: UInt8.self) }
        inner.storeBytes(of: UInt8(padding), toByteOffset: payload + padding, as: UInt8.self)
        inner.storeBytes(of: udp, toByteOffset: payload + padding + 1, as: UInt8.self)
        return payload + padding + trailerLength
    }

    /// The additional authenticated data under extended sequence numbers: SPI and all 64 bits (RFC 4106, section 5). 12 octets.
    public static func writeAuthenticated(_ spi: UInt32, _ sequence: UInt64, to area: UnsafeMutableRawPointer) {
        area.put(spi, at: 0)
        area.put(sequence, at: 4)
    }
    public static let authenticatedLength = 12

    /// What a datagram to the port is (RFC 3948, sections 2.2 to 2.4).
    public enum Kind: Equatable, Sendable {
        case packet(spi: UInt32, sequence: UInt32)
        /// One octet 0xff: a path is kept open.
        case keepalive
        /// Neither: cut off, or of a key exchange, which is not spoken here.
        case unknown
    }

    /// - Parameter datagram: what came, of any length.
    public static func kind(of datagram: UnsafeRawBufferPointer) -> Kind {
        guard let start = datagram.baseAddress else { return .unknown }
        if datagram.count == 1 { return start.octet(at: 0) == 0xff ? .keepalive : .unknown }
        guard datagram.count >= headerLength + tagLength + 4, datagram.count & 3 == 0 else { return .unknown }
        let spi = start.number(at: 0, as: UInt32.self)
        guard spi >= firstSPI else { return .unknown }
        return .packet(spi: spi, sequence: start.number(at: 4, as: UInt32.self))
    }

    /// What was encrypted, once it is in the clear and authenticated.
    public struct Content: Equatable, Sendable {
        public let vni: UInt32
        public let isIPv6: Bool
        /// Of the IP packet behind `innerHeaderLength`.
        public let length: Int

        public init(vni: UInt32, isIPv6: Bool, length: Int) {
            self.vni = vni
            self.isIPv6 = isIPv6
            self.length = length
        }
    }

    /// Nil if it is no VXLAN frame of IP for the port: a peer that is right about the key can be wrong about all else.
    public static func content(_ plain: UnsafeRawBufferPointer, port: UInt16) -> Content? {
        guard let start = plain.baseAddress, let frame = frame(plain, port: port) else { return nil }
        let isIPv6: Bool
        switch frame.etherType {
        case 0x0800: isIPv6 = false
        case 0x86dd: isIPv6 = true
        default: return nil
        }
        let version = start.octet(at: innerHeaderLength) >> 4
        guard version == (isIPv6 ? 6 : 4) else { return nil }
        return Content(vni: frame.vni, isIPv6: isIPv6, length: frame.length)
    }

    /// Nil if it is no VXLAN frame for the port with at least an IPv4 header's length in it.
    @inline(__always)
    static func frame(_ plain: UnsafeRawBufferPointer, port: UInt16) -> (vni: UInt32, etherType: UInt16, length: Int)? {
        guard let start = plain.baseAddress, plain.count >= innerHeaderLength + trailerLength + 20,
            start.octet(at: plain.count - 1) == udp
        else { return nil }
        let payload = plain.count - trailerLength - Int(start.octet(at: plain.count - 2))
        guard payload >= innerHeaderLength + 20, start.number(at: 2, as: UInt16.self) == port,
            Int(start.number(at: 4, as: UInt16.self)) == payload, start.octet(at: 8) & 0x08 != 0
        else { return nil }
        return (start.number(at: 12, as: UInt32.self) >> 8, start.number(at: 28, as: UInt16.self), payload - innerHeaderLength)
    }
}
