package import NIOCore

/// What a manager's port gives to whom. Strangers are all who have not shown a member's certificate: they may ask for the
/// root certificate and join, which takes a handshake and one small message.
package struct PortLimits: Sendable {
    /// Time for the handshake, and for a stranger's first call.
    package var handshake = TimeAmount.seconds(5)
    /// How long a stranger's connection lasts at most.
    package var strangerLife = TimeAmount.seconds(15)
    /// One message of a stranger's, which is all that a stream of his carries.
    var strangerMessageBytes = 64 << 10
    /// All that a stranger's connection may say: before TLS, and decrypted. The first is larger by what TLS adds.
    var strangerWireBytes = 192 << 10
    var strangerBytes = 128 << 10
    var strangerFrames = 256
    var strangerCalls = 8

    /// Strangers' connections at a time, and from one address.
    var strangers = 256
    var strangersPerAddress = 32
    /// What a handshake takes: only after it does a stranger give way to another from the same member's address.
    var strangerGrace = TimeAmount.milliseconds(500)
    /// New connections: so many at once, and so many in a second. Members' addresses have no common share.
    var arrivals = Rate(burst: 1024, perSecond: 256)
    var arrivalsPerAddress = Rate(burst: 64, perSecond: 16)
    /// The same from a member's address, which it may share with what runs on its host. In a second as many may come as
    /// give way in it.
    var arrivalsPerFamiliarAddress = Rate(burst: 256, perSecond: 64)
    /// Refusals in a tenth of a second, after which nothing is accepted for the rest of it.
    var refusalsPerTenth = 100
    /// A node needs one, and a second while it changes over; more are of connections that it has lost.
    var connectionsPerNode = 4
    /// Frames of a member's; what the manager sends lets more come back, as windows are opened for it.
    var memberFrames = Rate(burst: 1024, perSecond: 512)
    var sentBytesPerFrame = 4096
    /// Descriptors that strangers leave to the rest of weftd.
    var descriptorReserve = 128

    package init() {}

    struct Rate: Sendable {
        var burst: Int
        var perSecond: Int
    }
}

/// A share that fills with time and is used up by events.
struct TokenBucket {
    private let rate: PortLimits.Rate
    private var tokens: Double
    private var last: NIODeadline

    init(_ rate: PortLimits.Rate, now: NIODeadline) {
        self.rate = rate
        tokens = Double(rate.burst)
        last = now
    }

    /// False when the share is used up.
    mutating func take(now: NIODeadline) -> Bool {
        fill(now: now)
        guard tokens >= 1 else { return false }
        tokens -= 1
        return true
    }

    mutating func give(_ count: Double) { tokens = min(tokens + count, Double(rate.burst)) }

    mutating func isFull(now: NIODeadline) -> Bool {
        fill(now: now)
        return tokens >= Double(rate.burst)
    }

    private mutating func fill(now: NIODeadline) {
        guard now > last else { return }
        give(Double((now - last).nanoseconds) / 1e9 * Double(rate.perSecond))
        last = now
    }
}
