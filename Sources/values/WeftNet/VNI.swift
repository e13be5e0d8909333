/// A VXLAN network identifier (RFC 7348, section 5): 24 bits.
package struct VNI: Hashable, Sendable, Comparable, Codable, CustomStringConvertible {
    package let rawValue: UInt32

    /// Nil outside 1...2^24−1; 0 is no overlay's identifier.
    package init?(_ value: UInt32) {
        guard (1..<1 << 24).contains(value) else { return nil }
        rawValue = value
    }

    /// The first identifier handed out; below lie the VLAN identifiers that some switches map one to one.
    package static let firstAutomatic: UInt32 = 4096

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let value = try container.decode(UInt32.self)
        guard let vni = VNI(value) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "\(value) is not a 24-bit VNI")
        }
        self = vni
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    package var description: String { String(rawValue) }
}
