/// What the kernel says of a frame on the tunnel's device: `struct virtio_net_hdr`, 10 octets in the machine's order.
public struct VirtioHeader: Equatable, Sendable {
    public static let length = 10

    /// VIRTIO_NET_HDR_F_NEEDS_CSUM: the checksum's field has the pseudo-header's sum alone.
    static let needsChecksum: UInt8 = 1
    /// VIRTIO_NET_HDR_F_DATA_VALID: the checksum need not be looked at.
    static let isValid: UInt8 = 2

    public enum Segments: UInt8, Sendable {
        case none = 0
        case tcp4 = 1
        case tcp6 = 4
        /// VIRTIO_NET_HDR_GSO_UDP_L4: a train of datagrams.
        case udp = 5
    }
    /// VIRTIO_NET_HDR_GSO_ECN, beside the kind.
    private static let congestionFlag: UInt8 = 0x80

    public var flags: UInt8 = 0
    public var segments = Segments.none
    /// Of the headers in front of a segment's payload, from the frame's beginning; a hint.
    public var headerLength = 0
    /// Octets of payload in each segment but the last.
    public var segmentSize = 0
    public var checksumStart = 0
    public var checksumOffset = 0

    public init() {}

    /// Nil for a kind that was not agreed on with the kernel.
    public init?(_ start: UnsafeRawPointer) {
        flags = start.octet(at: 0)
        guard let kind = Segments(rawValue: start.octet(at: 1) & ~Self.congestionFlag) else { return nil }
        segments = kind
        headerLength = Int(start.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
        segmentSize = Int(start.loadUnaligned(fromByteOffset: 4, as: UInt16.self))
        checksumStart = Int(start.loadUnaligned(fromByteOffset: 6, as: UInt16.self))
        checksumOffset = Int(start.loadUnaligned(fromByteOffset: 8, as: UInt16.self))
    }

    public func write(to start: UnsafeMutableRawPointer) {
        start.storeBytes(of: flags, toByteOffset: 0, as: UInt8.self)
        start.storeBytes(of: segments.rawValue, toByteOffset: 1, as: UInt8.self)
        for (place, number) in [headerLength, segmentSize, checksumStart, checksumOffset].enumerated() {
            start.storeBytes(of: UInt16(truncatingIfNeeded: number), toByteOffset: 2 + 2 * place, as: UInt16.self)
        }
    }

    var needsChecksum: Bool { flags & Self.needsChecksum != 0 }
}
