internal import NIOCore

/// Follows the frames of one HTTP/2 connection by their heads (RFC 9113, 4.1), and says when there are too many or too
/// much of them. It looks at lengths and kinds alone, before anything is decoded or kept.
struct FrameGauge {
    enum Violation: String, Error, Hashable, Sendable {
        case calls = "too many calls on one connection"
        case message = "a message is too large"
        case connection = "too much is said on one connection"
        case frames = "frames come too fast"
    }

    /// Whose connection it is.
    enum Caller: Hashable, Sendable { case stranger, member }

    private static let prefaceBytes = 24
    private static let headBytes = 9
    /// gRPC's own: a flag and a length before each message.
    private static let messageHeadBytes = 5
    private static let dataKind: UInt8 = 0
    private static let headersKind: UInt8 = 1

    private let limits: PortLimits
    var caller = Caller.stranger
    /// Calls that were begun, or frames that look like it.
    private var calls = 0
    var hasCalled: Bool { calls > 0 }

    private var skipping = prefaceBytes
    private var head: [UInt8] = []
    private var bytes = 0
    private var frames = 0
    /// Bytes of data in each of a stranger's streams, of which there are few.
    private var streams: [UInt32: Int] = [:]
    private var memberFrames: TokenBucket

    init(limits: PortLimits, now: NIODeadline) {
        self.limits = limits
        memberFrames = TokenBucket(limits.memberFrames, now: now)
        head.reserveCapacity(Self.headBytes)
    }

    /// Takes in what was received.
    mutating func receive(_ buffer: ByteBufferView, now: NIODeadline) throws(Violation) {
        if caller == .stranger {
            bytes += buffer.count
            guard bytes <= limits.strangerBytes else { throw .connection }
        }
        var rest = buffer
        while !rest.isEmpty {
            if skipping > 0 {
                let count = min(skipping, rest.count)
                rest = rest.dropFirst(count)
                skipping -= count
                continue
            }
            let missing = rest.prefix(Self.headBytes - head.count)
            head.append(contentsOf: missing)
            rest = rest.dropFirst(missing.count)
            if head.count == Self.headBytes { try frameBegins(now: now) }
        }
    }

    /// Takes note of what this end says.
    mutating func sent(_ count: Int) { memberFrames.give(Double(count) / Double(limits.sentBytesPerFrame)) }

    private mutating func frameBegins(now: NIODeadline) throws(Violation) {
        let length = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
        let kind = head[3]
        let stream = (UInt32(head[5]) << 24 | UInt32(head[6]) << 16 | UInt32(head[7]) << 8 | UInt32(head[8])) & 0x7fff_ffff
        skipping = length
        head.removeAll(keepingCapacity: true)
        if kind == Self.headersKind { calls += 1 }
        switch caller {
        case .member:
            guard memberFrames.take(now: now) else { throw .frames }
        case .stranger:
            frames += 1
            guard frames <= limits.strangerFrames else { throw .frames }
            guard calls <= limits.strangerCalls else { throw .calls }
            guard kind == Self.dataKind else { return }
            streams[stream, default: 0] += length
            guard streams[stream, default: 0] <= limits.strangerMessageBytes + Self.messageHeadBytes else { throw .message }
        }
    }
}
