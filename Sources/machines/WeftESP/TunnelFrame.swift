/// A frame on the tunnel's device: between the programs in the kernel and the process that encrypts. The Ethernet addresses, which
/// mean nothing there, say what the packet belongs to; all are local, unicast ones. From the programs it is
///
///     | 02 | VNI 3 | 0 0 | 02 | 0 | peer's data-path address 4 | type 2 | IP …
///
/// and to them, with an 802.1Q tag that the kernel takes out and puts beside the packet,
///
///     | the device's address 6 | 02 | VNI 3 | peer's lower half 2 | 81 00 | peer's upper half 2 | type 2 | IP …
///
/// so that it is for the device: who looks at all interfaces of a host (`tcpdump -i any`) sees it come in there.
public struct TunnelFrame: Equatable, Sendable {
    /// Of a frame from the programs.
    public static let headerLength = 14
    /// Of a frame to them.
    public static let taggedLength = 18

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

    /// Writes the `taggedLength` octets of a frame to the programs.
    public func write(to start: UnsafeMutableRawPointer) {
        // The device's address is the gateway's, as that of all of Weft's.
        start.put(UInt32(0x0a77_6566), at: 0)
        start.put(UInt16(0x7401), at: 4)
        start.put(0x0200_0000 | vni & 0xff_ffff, at: 6)
        start.put(UInt16(truncatingIfNeeded: peer), at: 10)
        start.put(UInt16(0x8100), at: 12)
        start.put(UInt16(truncatingIfNeeded: peer >> 16), at: 14)
        start.put(isIPv6 ? UInt16(0x86dd) : UInt16(0x0800), at: 16)
    }
}
