/// An IPv6 address (RFC 4291), kept in host byte order.
package struct IPv6Address: Hashable, Sendable, Comparable {
    package let rawValue: UInt128

    package init(rawValue: UInt128) { self.rawValue = rawValue }

    /// Reads exactly sixteen octets, in wire order.
    package init?(octets: some Collection<UInt8>) {
        guard octets.count == 16 else { return nil }
        self.init(rawValue: octets.reduce(0) { $0 << 8 | UInt128($1) })
    }

    /// The sixteen octets in wire order.
    package var octets: [UInt8] {
        (0..<16).map { UInt8(truncatingIfNeeded: rawValue >> (120 - 8 * UInt128($0))) }
    }

    /// The address in network byte order, as the kernel's structures hold it.
    package var networkOrder: UInt128 { rawValue.bigEndian }

    /// Reads an address that is held in network byte order.
    package init(networkOrder: UInt128) { self.init(rawValue: UInt128(bigEndian: networkOrder)) }

    /// ff00::/8 (RFC 4291, 2.7).
    package var isMulticast: Bool { rawValue >> 120 == 0xff }
    /// ::1 (RFC 4291, 2.5.3).
    package var isLoopback: Bool { rawValue == 1 }
    /// :: (RFC 4291, 2.5.2).
    package var isUnspecified: Bool { rawValue == 0 }
    /// fe80::/10 (RFC 4291, 2.5.6).
    package var isLinkLocal: Bool { rawValue >> 118 == 0xfe80 >> 6 }

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

extension IPv6Address: IPAddressProtocol {
    package var width: Int { 128 }
    package var bits: UInt128 { rawValue }
    package func with(bits: UInt128) -> IPv6Address? { IPv6Address(rawValue: bits) }
}

extension IPv6Address: LosslessStringConvertible {
    /// Reads the three forms of RFC 4291, 2.2. A zone (`%eth0`) is no part of an address.
    package init?(_ description: String) {
        // More than one "::" leaves an empty part behind, which is no group.
        guard let gap = description.firstRange(of: "::") else {
            guard let groups = Self.groups(description[...]), groups.count == 8 else { return nil }
            self.init(groups: groups)
            return
        }
        let (before, after) = (description[..<gap.lowerBound], description[gap.upperBound...])
        guard !before.contains("."), let head = before.isEmpty ? [] : Self.groups(before),
            let tail = after.isEmpty ? [] : Self.groups(after), head.count + tail.count < 8
        else { return nil }
        self.init(groups: head + Array(repeating: 0, count: 8 - head.count - tail.count) + tail)
    }

    private init(groups: [UInt16]) { self.init(rawValue: groups.reduce(0) { $0 << 16 | UInt128($1) }) }

    /// Groups between single colons; the last may be an IPv4 address, which makes two of them.
    private static func groups(_ text: Substring) -> [UInt16]? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        var groups: [UInt16] = []
        for (index, part) in parts.enumerated() {
            if index == parts.count - 1, part.contains(".") {
                guard let embedded = IPv4Address(String(part)) else { return nil }
                groups += [UInt16(embedded.rawValue >> 16), UInt16(truncatingIfNeeded: embedded.rawValue)]
            } else {
                guard (1...4).contains(part.utf8.count), part.first != "+", let group = UInt16(part, radix: 16) else {
                    return nil
                }
                groups.append(group)
            }
        }
        return groups
    }

    /// The one text of RFC 5952: lower case, no leading zeros, the first of the longest runs of zero groups as `::`.
    package var description: String {
        if rawValue >> 32 == 0xffff { return "::ffff:\(IPv4Address(rawValue: UInt32(truncatingIfNeeded: rawValue)))" }
        let groups = (0..<8).map { UInt16(truncatingIfNeeded: rawValue >> (112 - 16 * UInt128($0))) }
        func text(_ groups: some Sequence<UInt16>) -> String {
            groups.map { String($0, radix: 16) }.joined(separator: ":")
        }
        guard let gap = Self.longestRunOfZeros(groups) else { return text(groups) }
        return "\(text(groups[..<gap.lowerBound]))::\(text(groups[gap.upperBound...]))"
    }

    /// Nil where no two zeros stand together: `::` must not shorten just one group (RFC 5952, 4.2.2).
    private static func longestRunOfZeros(_ groups: [UInt16]) -> Range<Int>? {
        var longest = 0..<1
        var start = 0
        for (index, group) in groups.enumerated() {
            if group != 0 { start = index + 1 } else if index + 1 - start > longest.count { longest = start..<index + 1 }
        }
        return longest.count > 1 ? longest : nil
    }
}

extension IPv6Address: Codable {
    package init(from decoder: any Decoder) throws { self = try decodeFromString(decoder) }
    package func encode(to encoder: any Encoder) throws { try encodeAsString(self, encoder) }
}
