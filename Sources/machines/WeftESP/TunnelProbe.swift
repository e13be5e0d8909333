/// What the two ends of a tunnel ask each other: does what I send arrive, at this length? It travels as all else does, under the keys in use,
/// in a VXLAN frame of network 0, which no network is, with an EtherType for local use (IEEE Std 802, 9.2.4).
///
///     | UDP 8 | VXLAN 8 | Ethernet 14, type 88b5 | 'Weft' 4 | kind 1 | 0 0 0 | number 8 | zeros
public struct TunnelProbe: Equatable, Sendable {
    public enum Kind: UInt8, Sendable {
        case question = 1
        case answer = 2
    }

    public var kind: Kind
    /// The asker's; the answer has it again.
    public var number: UInt64

    public init(_ kind: Kind, number: UInt64) {
        self.kind = kind
        self.number = number
    }

    /// Octets behind the Ethernet header: what an IP packet would have. The least that there is of one.
    public static let lengthMin = 20
    static let etherType: UInt16 = 0x88b5
    private static let mark: UInt32 = 0x5765_6674
    /// Writes a datagram but for what the key makes of it.
    /// - Parameter length: of the packet that it stands for, from `lengthMin` on.
    /// - Returns: how many octets are to be encrypted.
    public func frame(_ datagram: UnsafeMutableRawPointer, spi: UInt32, sequence: UInt64, port: UInt16, length: Int) -> Int {
        let packet = datagram + ESPPacket.headerLength + ESPPacket.innerHeaderLength
        let length = max(length, Self.lengthMin)
        packet.initializeMemory(as: UInt8.self, repeating: 0, count: length)
        packet.put(Self.mark, at: 0)
        packet.storeBytes(of: kind.rawValue, toByteOffset: 4, as: UInt8.self)
        packet.put(number, at: 8)
        return ESPPacket.frame(
            datagram, spi: spi, sequence: sequence, vni: 0, sourcePort: port, targetPort: port, etherType: Self.etherType, packet: length)
    }

    /// Nil if what was decrypted is something else.
    public init?(_ plain: UnsafeRawBufferPointer, port: UInt16) {
        guard let start = plain.baseAddress, let frame = ESPPacket.frame(plain, port: port), frame.etherType == Self.etherType,
            frame.vni == 0
        else { return nil }
        let packet = start + ESPPacket.innerHeaderLength
        guard packet.number(at: 0, as: UInt32.self) == Self.mark, let kind = Kind(rawValue: packet.octet(at: 4)) else { return nil }
        self.kind = kind
        number = packet.number(at: 8, as: UInt64.self)
    }
}
