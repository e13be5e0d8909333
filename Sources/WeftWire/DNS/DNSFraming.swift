/// Splits a TCP stream into messages, each after its length in two octets (RFC 1035, 4.2.2).
package struct DNSStreamDecoder: Sendable {
    private var buffered: [UInt8] = []

    package init() {}

    package mutating func append(_ octets: some Sequence<UInt8>) { buffered.append(contentsOf: octets) }

    /// Takes the next whole message out; nil until it has arrived.
    package mutating func next() -> [UInt8]? {
        guard buffered.count >= 2 else { return nil }
        let end = 2 + (Int(buffered[0]) << 8 | Int(buffered[1]))
        guard buffered.count >= end else { return nil }
        defer { buffered.removeFirst(end) }
        return Array(buffered[2..<end])
    }

    /// The message with its length before it; nil when it is longer than a length can say.
    package static func frame(_ message: [UInt8]) -> [UInt8]? {
        guard let length = UInt16(exactly: message.count) else { return nil }
        return [UInt8(length >> 8), UInt8(truncatingIfNeeded: length)] + message
    }
}
