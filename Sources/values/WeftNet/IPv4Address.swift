// Addresses and what belongs to them: MAC and IP addresses of both families, prefixes, VNI, MTU. Values that cannot be wrong:
// what is no address does not become one (failable inits, never a trap), and each prints so that it reads the same again.

/// An IPv4 address (RFC 791), kept in host byte order.
package struct IPv4Address: Hashable, Sendable, Comparable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Reads exactly four octets, in wire order.
    package init?(octets: some Collection<UInt8>) {
        guard octets.count == 4 else { return nil }
        self.init(rawValue: octets.reduce(0) { $0 << 8 | UInt32($1) })
    }

    /// The four octets in wire order.
    package var octets: [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: rawValue >> (24 - 8 * UInt32($0))) }
    }

    /// The address in network byte order, as the kernel's structures hold it.
    package var networkOrder: UInt32 { rawValue.bigEndian }

    /// Reads an address that is held in network byte order.
    package init(networkOrder: UInt32) { self.init(rawValue: UInt32(bigEndian: networkOrder)) }

    /// 224.0.0.0/4 (RFC 5771).
    package var isMulticast: Bool { rawValue >> 28 == 0xe }
    /// 127.0.0.0/8 (RFC 1122, 3.2.1.3).
    package var isLoopback: Bool { rawValue >> 24 == 127 }
    /// 0.0.0.0.
    package var isUnspecified: Bool { rawValue == 0 }
    /// An address that one host may have on a network: no loopback, link-local, group or broadcast address (RFC 6890).
    package var isHostAddress: Bool {
        let isLinkLocal = rawValue >> 16 == 0xa9fe
        return rawValue >> 24 != 0 && !isLoopback && rawValue >> 24 < 224 && !isLinkLocal
    }

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

extension IPv4Address: IPAddressProtocol {
    package var width: Int { 32 }
    package var bits: UInt128 { UInt128(rawValue) }
    package func with(bits: UInt128) -> IPv4Address? { UInt32(exactly: bits).map(IPv4Address.init(rawValue:)) }
}

extension IPv4Address: LosslessStringConvertible {
    /// Reads dotted decimal with exactly four parts and no leading zeros, which some readers take for octal.
    package init?(_ description: String) {
        let parts = description.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var octets: [UInt8] = []
        for part in parts {
            guard !part.isEmpty, part.utf8.allSatisfy({ (48...57).contains($0) }),
                part.count == 1 || part.first != "0", let octet = UInt8(part)
            else { return nil }
            octets.append(octet)
        }
        self.init(octets: octets)
    }

    package var description: String { octets.map(String.init).joined(separator: ".") }
}

extension IPv4Address: Codable {
    package init(from decoder: any Decoder) throws { self = try decodeFromString(decoder) }
    package func encode(to encoder: any Encoder) throws { try encodeAsString(self, encoder) }
}
