package typealias IPv4Prefix = IPPrefix<IPv4Address>
package typealias IPv6Prefix = IPPrefix<IPv6Address>
/// A prefix of either family; prefixes of different families have nothing in common.
package typealias AnyIPPrefix = IPPrefix<IPAddress>

/// A prefix in CIDR notation (RFC 4632; RFC 4291, 2.3). Host bits are always zero.
package struct IPPrefix<Address: IPAddressProtocol>: Hashable, Sendable, Comparable {
    /// The lowest address of the prefix.
    package let network: Address
    /// 0 to the address's width.
    package let length: Int

    /// Masks host bits away; nil when `length` is none that the address can have.
    package init?(_ address: Address, length: Int) {
        guard (0...address.width).contains(length),
            let network = address.with(bits: address.bits & ~Self.hostMask(length, width: address.width))
        else { return nil }
        self.init(network: network, length: length)
    }

    /// The prefix that holds just this address.
    package init(host address: Address) { self.init(network: address, length: address.width) }

    /// `network` has no host bits set.
    fileprivate init(network: Address, length: Int) {
        self.network = network
        self.length = length
    }

    /// Ones where the host part is.
    private static func hostMask(_ length: Int, width: Int) -> UInt128 {
        width == length ? 0 : ~0 >> UInt128(128 - (width - length))
    }

    private var hostMask: UInt128 { Self.hostMask(length, width: network.width) }

    /// Bits of an address: 32 or 128.
    package var width: Int { network.width }
    /// True for a prefix of just one address.
    package var isSingle: Bool { length == width }
    /// The highest address: for IPv4 lengths up to 30, the directed broadcast address.
    package var last: Address { network.with(bits: network.bits | hostMask) ?? network }

    /// The addresses hosts may have: without the first, which is the network's or, in IPv6, any router's (RFC 4291, 2.6.1), and
    /// without IPv4's broadcast address; all where there are but one or two (RFC 3021, RFC 6164).
    package var hosts: ClosedRange<Address> {
        guard length < width - 1, let first = network.advanced(by: 1) else { return network...last }
        return first...(width == 32 ? last.with(bits: last.bits - 1) ?? last : last)
    }

    package func contains(_ address: Address) -> Bool {
        address.width == width && address.bits & ~hostMask == network.bits
    }

    package func contains(_ other: Self) -> Bool {
        other.length >= length && contains(other.network)
    }

    package func overlaps(_ other: Self) -> Bool {
        contains(other) || other.contains(self)
    }

    /// The `index`-th prefix of `length` inside this one; nil when there is none.
    package func subprefix(length: Int, index: UInt64) -> Self? {
        guard length >= self.length, length <= width,
            length - self.length >= 64 || index < 1 << UInt64(length - self.length)
        else { return nil }
        let offset = length == self.length ? 0 : UInt128(index) << UInt128(width - length)
        return network.with(bits: network.bits + offset).map { Self(network: $0, length: length) }
    }

    package static func < (left: Self, right: Self) -> Bool {
        (left.network, left.length) < (right.network, right.length)
    }
}

extension IPv4Prefix {
    package var netmask: IPv4Address { IPv4Address(rawValue: length == 0 ? 0 : ~0 << UInt32(32 - length)) }
    /// How many addresses the prefix spans, network and broadcast among them.
    package var count: UInt64 { 1 << UInt64(32 - length) }
}

extension AnyIPPrefix {
    package static func v4(_ prefix: IPv4Prefix) -> Self { Self(network: .v4(prefix.network), length: prefix.length) }
    package static func v6(_ prefix: IPv6Prefix) -> Self { Self(network: .v6(prefix.network), length: prefix.length) }

    package var family: IPAddress.Family { network.family }
    package var v4: IPv4Prefix? { network.v4.map { IPv4Prefix(network: $0, length: length) } }
    package var v6: IPv6Prefix? { network.v6.map { IPv6Prefix(network: $0, length: length) } }
}

extension IPPrefix: LosslessStringConvertible {
    /// Reads `address/length`. Host bits may be set and are masked away.
    package init?(_ description: String) {
        guard let (address, length) = Self.parts(description) else { return nil }
        self.init(address, length: length)
    }

    /// Splits `address/length` and keeps the host bits, for an address with its prefix length.
    package static func parts(_ description: String) -> (address: Address, length: Int)? {
        let halves = description.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard halves.count == 2, let address = Address(String(halves[0])), let length = Int(halves[1]),
            // No sign, no leading zero.
            String(length) == halves[1], (0...address.width).contains(length)
        else { return nil }
        return (address, length)
    }

    package var description: String { "\(network)/\(length)" }
}

extension IPPrefix: Codable {
    package init(from decoder: any Decoder) throws { self = try decodeFromString(decoder) }
    package func encode(to encoder: any Encoder) throws { try encodeAsString(self, encoder) }
}

extension IPPrefix {
    /// Both halves, the lower first; of a single address, that address alone.
    package var halves: [Self] { [0, 1].compactMap { subprefix(length: length + 1, index: $0) } }

    /// What is left of the prefix without another, as few prefixes as possible, sorted.
    package func subtracting(_ others: some Sequence<Self>) -> [Self] {
        let within = others.filter { $0.overlaps(self) }
        guard !within.isEmpty else { return [self] }
        guard !within.contains(where: { $0.contains(self) }) else { return [] }
        return halves.flatMap { $0.subtracting(within) }
    }
}
