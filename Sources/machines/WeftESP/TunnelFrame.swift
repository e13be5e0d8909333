/// A frame on the tunnel's device: between the programs in the kernel and the process that encrypts. The Ethernet addresses, which
/// mean nothing there, say what the packet belongs to; both are local, unicast ones.
///
///     | 02 | VNI 3 | 0 0 | 02 | 0 | peer's data-path address 4 | type 2 | IP …
public struct TunnelFrame: Equatable, Sendable {
    public static let headerLength = 14

    public var vni: UInt32
    /// The peer's data-path address in the machine's order.
    public var peer: UInt32
    public var isIPv6: Bool

    public init(vni: UInt32, peer: UInt32, isIPv6: Bool) {
        self.vni = vni
        self.peer = peer
        self.isIPv6 = isIPv6
    }

    /// Nil if it is none of the programs' frames: the device also gets what the host's stack says to everybody.
    public init?(_ frame: UnsafeRawBufferPointer) {
        guard let start = frame.baseAddress, frame.count >= Self.headerLength + 20, start.octet(at: 0) == 2, start.octet(at: 6) == 2,
            start.number(at: 4, as: UInt16.self) == 0, start.octet(at: 7) == 0
        else { return nil }
        switch start.number(at: 12, as: UInt16.self) {
        case 0x0800: isIPv6 = false
        case 0x86dd: isIPv6 = true
        default: return nil
        }
        guard start.octet(at: 14) >> 4 == (isIPv6 ? 6 : 4) else { return nil }
        vni = start.number(at: 0, as: UInt32.self) & 0xff_ffff
        peer = start.number(at: 8, as: UInt32.self)
    }

    /// Writes `headerLength` octets.
    public func write(to start: UnsafeMutableRawPointer) {
        start.put(0x0200_0000 | vni & 0xff_ffff, at: 0)
        start.put(UInt16(0), at: 4)
        start.put(UInt16(0x0200), at: 6)
        start.put(peer, at: 8)
        start.put(isIPv6 ? UInt16(0x86dd) : UInt16(0x0800), at: 12)
    }
}
