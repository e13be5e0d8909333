package import WeftNet
package import WeftWire

/// Names of addresses in the reverse trees: `d.c.b.a.in-addr.arpa` (RFC 1035, 3.5), and the 32 nibbles of an IPv6 address
/// under `ip6.arpa`, the last one first (RFC 3596, 2.5).
package enum ReverseName {
    private static let suffix4 = DNSName(labels: [Array("in-addr".utf8), Array("arpa".utf8)])
    private static let suffix6 = DNSName(labels: [Array("ip6".utf8), Array("arpa".utf8)])

    /// The name that PTR queries for `address` ask about.
    package static func name(of address: IPAddress) -> DNSName {
        let (labels, suffix) =
            switch address {
            case .v4(let address): (address.octets.reversed().map { String($0) }, suffix4)
            case .v6(let address): (nibbles(of: address).reversed().map { String($0, radix: 16) }, suffix6)
            }
        // Short labels, and few enough of them, are always a name.
        return suffix.flatMap { DNSName(labels: labels.map { Array($0.utf8)[...] } + $0.labels) } ?? .root
    }

    private static func nibbles(of address: IPv6Address) -> [UInt8] { address.octets.flatMap { [$0 >> 4, $0 & 0xf] } }

    /// The address a reverse name stands for; nil for any other name, and for parts of an address.
    package static func address(of name: DNSName) -> IPAddress? {
        let labels = name.labels
        guard labels.count > 2 else { return nil }
        let parts = labels.dropLast(2).reversed().map { String(decoding: $0, as: UTF8.self) }
        switch (DNSName(labels: labels.suffix(2)), parts.count) {
        case (suffix4, 4): return IPv4Address(parts.joined(separator: ".")).map(IPAddress.v4)
        case (suffix6, 32):
            let nibbles = parts.compactMap { $0.utf8.count == 1 ? UInt8($0, radix: 16) : nil }
            guard nibbles.count == 32 else { return nil }
            return .v6(IPv6Address(rawValue: nibbles.reduce(0) { $0 << 4 | UInt128($1) }))
        default: return nil
        }
    }
}
