package import WeftNet
package import WeftWire

/// Names of IPv4 addresses in the reverse tree, `d.c.b.a.in-addr.arpa` (RFC 1035, 3.5).
package enum ReverseName {
    private static let suffix = [Array("in-addr".utf8), Array("arpa".utf8)]

    /// The name that PTR queries for `address` ask about.
    package static func name(of address: IPv4Address) -> DNSName {
        // Four labels of at most three digits and the suffix are always a name.
        DNSName(labels: address.octets.reversed().map { Array(String($0).utf8) } + suffix) ?? .root
    }

    /// The address a reverse name stands for; nil for any other name, and for parts of an address.
    package static func address(of name: DNSName) -> IPv4Address? {
        let labels = name.labels
        guard labels.count == 6,
            DNSName(labels: labels[4...]) == DNSName(labels: suffix)
        else { return nil }
        let text = labels[..<4].reversed().map { String(decoding: $0, as: UTF8.self) }.joined(separator: ".")
        return IPv4Address(text)
    }
}
