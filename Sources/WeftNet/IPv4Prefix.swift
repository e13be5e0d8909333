/// An IPv4 prefix in CIDR notation (RFC 4632). Host bits are always zero.
package struct IPv4Prefix: Hashable, Sendable, Comparable {
    /// The lowest address of the prefix.
    package let network: IPv4Address
    /// 0 to 32.
    package let length: Int

    /// Masks host bits away; nil when `length` is outside 0...32.
    package init?(_ address: IPv4Address, length: Int) {
        guard (0...32).contains(length) else { return nil }
        self.length = length
        self.network = IPv4Address(rawValue: address.rawValue & Self.mask(length))
    }

    /// The prefix that holds just this address.
    package init(host address: IPv4Address) {
        self.network = address
        self.length = 32
    }

    private static func mask(_ length: Int) -> UInt32 { length == 0 ? 0 : ~0 << UInt32(32 - length) }

    package var netmask: IPv4Address { IPv4Address(rawValue: Self.mask(length)) }
    /// How many addresses the prefix spans, network and broadcast among them.
    package var count: UInt64 { 1 << UInt64(32 - length) }
    /// The highest address: the directed broadcast address for lengths up to 30.
    package var last: IPv4Address { IPv4Address(rawValue: network.rawValue | ~Self.mask(length)) }

    /// The addresses hosts may have: all of a /31 or /32 (RFC 3021), else without the first and the last.
    package var hosts: ClosedRange<UInt32> {
        length >= 31 ? network.rawValue...last.rawValue : network.rawValue + 1...last.rawValue - 1
    }

    package func contains(_ address: IPv4Address) -> Bool {
        address.rawValue & Self.mask(length) == network.rawValue
    }

    package func contains(_ other: IPv4Prefix) -> Bool {
        other.length >= length && contains(other.network)
    }

    package func overlaps(_ other: IPv4Prefix) -> Bool {
        contains(other) || other.contains(self)
    }

    /// The `index`-th prefix of `length` inside this one; nil when there is none.
    package func subprefix(length: Int, index: UInt64) -> IPv4Prefix? {
        guard length >= self.length, length <= 32, index < 1 << UInt64(length - self.length) else { return nil }
        let offset = index << UInt64(32 - length)
        return IPv4Prefix(IPv4Address(rawValue: network.rawValue + UInt32(offset)), length: length)
    }

    package static func < (left: Self, right: Self) -> Bool {
        (left.network, left.length) < (right.network, right.length)
    }
}

extension IPv4Prefix: LosslessStringConvertible {
    /// Reads `a.b.c.d/len`. Host bits may be set and are masked away.
    package init?(_ description: String) {
        guard let (address, length) = Self.parts(description) else { return nil }
        self.init(address, length: length)
    }

    /// Splits `a.b.c.d/len` and keeps the host bits, for an address with its prefix length.
    package static func parts(_ description: String) -> (address: IPv4Address, length: Int)? {
        let halves = description.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard halves.count == 2, let address = IPv4Address(String(halves[0])),
            (1...2).contains(halves[1].count), halves[1].utf8.allSatisfy({ (48...57).contains($0) }),
            let length = Int(halves[1]), (0...32).contains(length)
        else { return nil }
        return (address, length)
    }

    package var description: String { "\(network)/\(length)" }
}

extension IPv4Prefix: Codable {
    package init(from decoder: any Decoder) throws { self = try decodeFromString(decoder) }
    package func encode(to encoder: any Encoder) throws { try encodeAsString(self, encoder) }
}
