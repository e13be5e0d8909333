/// A link's maximum transmission unit, in bytes of IP packet.
package struct MTU: Hashable, Sendable, Comparable, Codable, CustomStringConvertible {
    package let bytes: Int

    /// Nil outside 68...65535 (RFC 791: every link carries 68 bytes).
    package init?(_ bytes: Int) {
        guard (68...65535).contains(bytes) else { return nil }
        self.bytes = bytes
    }

    package static let ethernet = MTU(1500).unsafelyUnwrapped

    /// Bytes VXLAN takes from an IPv4 underlay's MTU: IP 20, UDP 8, VXLAN 8, inner Ethernet 14 (RFC 7348).
    package static let vxlanOverheadIPv4 = 50

    /// The MTU inside a VXLAN tunnel over an IPv4 underlay, never below 576.
    package var insideVXLAN: MTU { MTU(max(576, bytes - Self.vxlanOverheadIPv4)) ?? self }

    /// Bytes that ESP in UDP takes of it where what is inside is a multiple of four (`insideESP`).
    package static let espOverheadIPv4 = 92

    /// The MTU inside ESP in UDP over an IPv4 underlay, never below 576: IP 20, UDP 8, ESP's header 16 and tag 16, then, in whole words with
    /// two octets of trailer, UDP 8, VXLAN 8 and Ethernet 14 (`WeftESP/ESPPacket.largestPacket`).
    package var insideESP: MTU { MTU(max(576, (bytes - 60) & ~3 - 32)) ?? self }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let value = try container.decode(Int.self)
        guard let mtu = MTU(value) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "\(value) is not an MTU")
        }
        self = mtu
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(bytes)
    }

    package static func < (left: Self, right: Self) -> Bool { left.bytes < right.bytes }
    package var description: String { String(bytes) }
}
