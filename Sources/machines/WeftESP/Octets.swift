/// Numbers in network order at places in memory. Nobody checks bounds here: callers have.
extension UnsafeRawPointer {
    @inline(__always)
    func number<Number: FixedWidthInteger>(at offset: Int, as type: Number.Type) -> Number {
        Number(bigEndian: loadUnaligned(fromByteOffset: offset, as: type))
    }

    @inline(__always)
    func octet(at offset: Int) -> UInt8 { load(fromByteOffset: offset, as: UInt8.self) }
}

extension UnsafeMutableRawPointer {
    @inline(__always)
    func number<Number: FixedWidthInteger>(at offset: Int, as type: Number.Type) -> Number {
        UnsafeRawPointer(self).number(at: offset, as: type)
    }

    @inline(__always)
    func octet(at offset: Int) -> UInt8 { load(fromByteOffset: offset, as: UInt8.self) }

    @inline(__always)
    func put<Number: FixedWidthInteger>(_ number: Number, at offset: Int) {
        storeBytes(of: number.bigEndian, toByteOffset: offset, as: Number.self)
    }
}

/// The Internet checksum (RFC 1071), summed in the machine's own order, which changes nothing but the order of the result's octets.
enum Checksum {
    /// The sum over the octets, not folded. An odd last octet counts as if a 0 followed.
    @inline(__always)
    static func sum(_ start: UnsafeRawPointer, _ count: Int) -> UInt64 {
        var first: UInt64 = 0
        var second: UInt64 = 0
        var offset = 0
        // Halves in lanes of their own: no carry to wait for, and 2^32 of them fit.
        while offset &+ 16 <= count {
            let a = start.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            let b = start.loadUnaligned(fromByteOffset: offset &+ 8, as: UInt64.self)
            first &+= (a & 0xffff_ffff) &+ (b & 0xffff_ffff)
            second &+= (a >> 32) &+ (b >> 32)
            offset &+= 16
        }
        var total = first &+ second
        while offset &+ 2 <= count {
            total &+= UInt64(start.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
            offset &+= 2
        }
        if offset < count { total &+= UInt64(UInt16(start.octet(at: offset)).littleEndian) }
        return total
    }

    /// The sum in 16 bits, in the machine's order.
    @inline(__always)
    static func fold(_ sum: UInt64) -> UInt16 {
        var sum = (sum & 0xffff_ffff) &+ (sum >> 32)
        sum = (sum & 0xffff) &+ (sum >> 16)
        sum = (sum & 0xffff) &+ (sum >> 16)
        sum = (sum & 0xffff) &+ (sum >> 16)
        return UInt16(truncatingIfNeeded: sum)
    }

    /// A number as it stands in a packet, for adding to a sum.
    @inline(__always)
    static func word(_ number: Int) -> UInt64 { UInt64(UInt16(truncatingIfNeeded: number).bigEndian) }

    /// The checksum of an IPv4 header that has 0 in its place is written there.
    @inline(__always)
    static func finishIPv4(_ header: UnsafeMutableRawPointer, length: Int) {
        header.storeBytes(of: 0, toByteOffset: 10, as: UInt16.self)
        header.storeBytes(of: ~fold(sum(header, length)), toByteOffset: 10, as: UInt16.self)
    }
}
