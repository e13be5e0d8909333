/// Splits a TCP stream into messages, each after its length in two octets (RFC 1035, 4.2.2).
///
/// Taking a message out costs its own octets, however many wait behind it.
package struct DNSStreamDecoder: Sendable {
    private var buffered: [UInt8] = []
    /// How much of `buffered` has been taken out.
    private var taken = 0
    private let sizeMax: Int

    /// - Parameter sizeMax: the longest message that is taken.
    package init(sizeMax: Int = DNSMessage.sizeMax) { self.sizeMax = sizeMax }

    package mutating func append(_ octets: some Sequence<UInt8>) {
        // What is left is less than a message most often; the rest of the array is given up at once.
        if taken > 0 {
            buffered.removeFirst(taken)
            taken = 0
        }
        buffered.append(contentsOf: octets)
    }

    /// Takes the next whole message out; nil until it has arrived.
    ///
    /// - Throws: for a length that no message has, 0 among them. What follows cannot be made sense of.
    package mutating func next() throws(DNSFramingError) -> [UInt8]? {
        guard let length else { return nil }
        guard isPossible(length) else { throw .impossibleLength(length) }
        let start = taken + 2
        guard buffered.count >= start + length else { return nil }
        taken = start + length
        return Array(buffered[start..<taken])
    }

    /// True when `next` has something to say, a message or an error.
    package var hasNext: Bool { length.map { !isPossible($0) || buffered.count - taken >= 2 + $0 } ?? false }

    /// True when a message has begun and not ended.
    package var isInsideMessage: Bool { buffered.count > taken && !hasNext }

    private func isPossible(_ length: Int) -> Bool { length >= DNSHeader.size && length <= sizeMax }

    /// The length that the next message has by its first two octets.
    private var length: Int? {
        guard buffered.count - taken >= 2 else { return nil }
        return Int(buffered[taken]) << 8 | Int(buffered[taken + 1])
    }

    /// The message with its length before it; nil when it is longer than a length can say.
    package static func frame(_ message: [UInt8]) -> [UInt8]? {
        guard let length = UInt16(exactly: message.count) else { return nil }
        return [UInt8(length >> 8), UInt8(truncatingIfNeeded: length)] + message
    }
}

/// What makes the rest of a stream unreadable.
package enum DNSFramingError: Error, Hashable, Sendable {
    /// Shorter than a header, or longer than what is taken.
    case impossibleLength(Int)
}
