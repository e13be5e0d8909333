/// Packets made and checked by hand, apart from what is tested.
enum Packets {
    struct TCP {
        var isIPv6 = false
        var source: UInt16 = 40000
        var number: UInt32 = 1
        var flags: UInt8 = 0x10
        var options: [UInt8] = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]
        var identification: UInt16 = 7
        var tos: UInt8 = 0
    }

    static func tcp(_ about: TCP = TCP(), payload: [UInt8]) -> [UInt8] {
        let transport = 20 + about.options.count
        var packet = ip(
            isIPv6: about.isIPv6, next: 6, length: transport + payload.count, identification: about.identification, tos: about.tos)
        packet += big(about.source) + big(UInt16(80)) + big32(about.number) + big32(77)
        packet += [UInt8(transport / 4) << 4, about.flags, 1, 0, 0, 0, 0, 0] + about.options + payload
        return withChecksum(packet, isIPv6: about.isIPv6, field: 16)
    }

    static func udp(isIPv6: Bool = false, payload: [UInt8]) -> [UInt8] {
        let packet =
            ip(isIPv6: isIPv6, next: 17, length: 8 + payload.count, identification: 7, tos: 0) + big(UInt16(5000)) + big(UInt16(53))
            + big(UInt16(8 + payload.count)) + [0, 0] + payload
        return withChecksum(packet, isIPv6: isIPv6, field: 6)
    }

    private static func ip(isIPv6: Bool, next: UInt8, length: Int, identification: UInt16, tos: UInt8) -> [UInt8] {
        if isIPv6 {
            return [0x60 | tos >> 4, tos << 4, 0, 0] + big(UInt16(length)) + [next, 64]
                + [UInt8](repeating: 0xfd, count: 15) + [1] + [UInt8](repeating: 0xfd, count: 15) + [2]
        }
        var header = [0x45, tos] + big(UInt16(20 + length)) + big(identification) + [0x40, 0, 64, next, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
        let sum = ~folded(words(header))
        header[10] = UInt8(sum >> 8)
        header[11] = UInt8(sum & 0xff)
        return header
    }

    private static func withChecksum(_ packet: [UInt8], isIPv6: Bool, field: Int) -> [UInt8] {
        var packet = packet
        let start = isIPv6 ? 40 : 20
        let sum = ~folded(pseudo(packet) + words(Array(packet[start...])))
        packet[start + field] = UInt8(sum >> 8)
        packet[start + field + 1] = UInt8(sum & 0xff)
        return packet
    }

    /// Whether lengths and all checksums are right.
    static func isRight(_ packet: [UInt8]) -> Bool {
        let isIPv6 = packet[0] >> 4 == 6
        let start = isIPv6 ? 40 : 20
        if isIPv6 {
            guard Int(packet[4]) << 8 | Int(packet[5]) == packet.count - 40 else { return false }
        } else {
            guard Int(packet[2]) << 8 | Int(packet[3]) == packet.count, folded(words(Array(packet[..<20]))) == 0xffff else { return false }
        }
        return folded(pseudo(packet) + words(Array(packet[start...]))) == 0xffff
    }

    /// The sum over the pseudo-header, as the kernel leaves it in the checksum's field.
    static func pseudo(_ packet: [UInt8]) -> UInt32 {
        let isIPv6 = packet[0] >> 4 == 6
        let addresses = isIPv6 ? Array(packet[8..<40]) : Array(packet[12..<20])
        return words(addresses) + UInt32(isIPv6 ? packet[6] : packet[9]) + UInt32(packet.count - (isIPv6 ? 40 : 20))
    }

    static func words(_ octets: [UInt8]) -> UInt32 {
        var sum: UInt32 = 0
        for index in stride(from: 0, to: octets.count, by: 2) {
            sum += UInt32(octets[index]) << 8 | UInt32(index + 1 < octets.count ? octets[index + 1] : 0)
        }
        return sum
    }

    static func folded(_ sum: UInt32) -> UInt16 {
        var sum = sum
        while sum > 0xffff { sum = (sum & 0xffff) + sum >> 16 }
        return UInt16(sum)
    }

    static func big(_ number: UInt16) -> [UInt8] { [UInt8(number >> 8), UInt8(number & 0xff)] }
    static func big32(_ number: UInt32) -> [UInt8] { big(UInt16(number >> 16)) + big(UInt16(number & 0xffff)) }
}

/// For memory that is there: an array's that is not empty.
extension UnsafeRawBufferPointer {
    var start: UnsafeRawPointer {
        guard let baseAddress else { preconditionFailure("no memory") }
        return baseAddress
    }
}

extension UnsafeMutableRawBufferPointer {
    var start: UnsafeMutableRawPointer {
        guard let baseAddress else { preconditionFailure("no memory") }
        return baseAddress
    }
}
