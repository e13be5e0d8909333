/// What an address needs so that prefixes can be made of it.
package protocol IPAddressProtocol: Hashable, Sendable, Comparable, LosslessStringConvertible, Codable {
    /// How many bits the address has: 32 or 128.
    var width: Int { get }
    /// The address as a number of `width` bits.
    var bits: UInt128 { get }
    /// The address of the same family with other bits; nil where they are more than its width.
    func with(bits: UInt128) -> Self?

    var isMulticast: Bool { get }
    var isLoopback: Bool { get }
    var isUnspecified: Bool { get }
}

extension IPAddressProtocol {
    /// The address `offset` further on; nil past the last one.
    package func advanced(by offset: some BinaryInteger) -> Self? {
        guard let offset = UInt128(exactly: offset) else { return nil }
        let (sum, overflow) = bits.addingReportingOverflow(offset)
        return overflow ? nil : with(bits: sum)
    }
}

/// An address of either family. IPv4 sorts before IPv6.
package enum IPAddress: Hashable, Sendable, Comparable {
    case v4(IPv4Address)
    case v6(IPv6Address)

    package enum Family: String, Hashable, Sendable, Comparable, CaseIterable, CustomStringConvertible {
        case v4 = "IPv4"
        case v6 = "IPv6"

        package static func < (left: Self, right: Self) -> Bool { left == .v4 && right == .v6 }
        package var description: String { rawValue }
    }

    package var family: Family {
        switch self {
        case .v4: .v4
        case .v6: .v6
        }
    }

    package var v4: IPv4Address? { if case .v4(let address) = self { address } else { nil } }
    package var v6: IPv6Address? { if case .v6(let address) = self { address } else { nil } }
}

extension IPAddress: IPAddressProtocol {
    private var address: any IPAddressProtocol {
        switch self {
        case .v4(let address): address
        case .v6(let address): address
        }
    }

    package var width: Int {
        switch self {
        case .v4(let address): address.width
        case .v6(let address): address.width
        }
    }

    package var bits: UInt128 {
        switch self {
        case .v4(let address): address.bits
        case .v6(let address): address.bits
        }
    }

    package var isMulticast: Bool { address.isMulticast }
    package var isLoopback: Bool { address.isLoopback }
    package var isUnspecified: Bool { address.isUnspecified }

    package func with(bits: UInt128) -> IPAddress? {
        switch self {
        case .v4(let address): address.with(bits: bits).map(IPAddress.v4)
        case .v6(let address): address.with(bits: bits).map(IPAddress.v6)
        }
    }
}

extension IPAddress: LosslessStringConvertible {
    package init?(_ description: String) {
        if let address = IPv4Address(description) {
            self = .v4(address)
        } else if let address = IPv6Address(description) {
            self = .v6(address)
        } else {
            return nil
        }
    }

    package var description: String { address.description }
}

extension IPAddress: Codable {
    package init(from decoder: any Decoder) throws { self = try decodeFromString(decoder) }
    package func encode(to encoder: any Encoder) throws { try encodeAsString(self, encoder) }
}
