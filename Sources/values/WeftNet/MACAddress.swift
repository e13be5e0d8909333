/// A 48-bit IEEE 802 address.
package struct MACAddress: Hashable, Sendable, Comparable {
    /// The address in the low 48 bits, first octet most significant.
    package let rawValue: UInt64

    /// Keeps the low 48 bits of `rawValue`.
    package init(rawValue: UInt64) {
        self.rawValue = rawValue & 0xffff_ffff_ffff
    }

    /// Reads exactly six octets, in wire order.
    package init?(octets: some Collection<UInt8>) {
        guard octets.count == 6 else { return nil }
        self.init(rawValue: octets.reduce(0) { $0 << 8 | UInt64($1) })
    }

    /// The six octets in wire order.
    package var octets: [UInt8] {
        (0..<6).map { UInt8(truncatingIfNeeded: rawValue >> (40 - 8 * UInt64($0))) }
    }

    /// True for group addresses (I/G bit), broadcast among them.
    package var isMulticast: Bool { rawValue >> 40 & 1 == 1 }

    /// The address Docker gives an endpoint that asked for none: 02:42 and the IPv4 address.
    package init(forIPv4 address: IPv4Address) {
        self.init(rawValue: 0x0242_0000_0000 | UInt64(address.rawValue))
    }

    /// Addresses for an endpoint that asked for none: Docker's first, then the same in other locally administered ranges.
    package static func choices(forIPv4 address: IPv4Address) -> some Sequence<MACAddress> {
        (0..<64).lazy.map { MACAddress(rawValue: MACAddress(forIPv4: address).rawValue + $0 << 42) }
    }

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

extension MACAddress: LosslessStringConvertible {
    /// Reads `aa:bb:cc:dd:ee:ff`, one or two hex digits an octet.
    package init?(_ description: String) {
        let parts = description.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 6 else { return nil }
        var octets: [UInt8] = []
        for part in parts {
            guard (1...2).contains(part.count), part.allSatisfy(\.isHexDigit), let octet = UInt8(part, radix: 16)
            else { return nil }
            octets.append(octet)
        }
        self.init(octets: octets)
    }

    package var description: String {
        octets.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
    }
}

extension MACAddress: Codable {
    package init(from decoder: any Decoder) throws {
        self = try decodeFromString(decoder)
    }

    package func encode(to encoder: any Encoder) throws {
        try encodeAsString(self, encoder)
    }
}
