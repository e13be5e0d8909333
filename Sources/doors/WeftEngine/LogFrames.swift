package import NIOCore
package import WeftModel

/// Reads what an engine sends of a container's log, with times, into lines.
package struct LogFrames {
    /// A container with a terminal has one stream, and no frames in it.
    private let isRaw: Bool
    private let hasDetails: Bool
    private var bytes: [UInt8] = []
    /// Of the last line: what has no time of its own was written with it.
    private var time = Instant(nanoseconds: 0)

    /// A frame is no longer than a line that the engine keeps, which is 16 KB, and its time.
    private static let contentMax = 1 << 20

    package struct Broken: KindedError {
        package var errorKind: ErrorKind { .failed }
        package var description: String { "the container engine's log is damaged" }
    }

    package init(isRaw: Bool, hasDetails: Bool = false) {
        self.isRaw = isRaw
        self.hasDetails = hasDetails
    }

    package mutating func take(_ chunk: ByteBuffer) throws(Broken) -> [LogLine] {
        bytes += chunk.readableBytesView
        var lines: [LogLine] = []
        var rest = bytes[...]
        while let (content, isError, size) = isRaw ? rawLine(rest) : try frame(rest) {
            lines += parts(of: content, isError: isError)
            rest = rest.dropFirst(size)
        }
        bytes = Array(rest)
        guard bytes.count <= Self.contentMax else { throw Broken() }
        return lines
    }

    /// What is left at the end of a terminal's output: it has no end of a line.
    package mutating func rest() -> [LogLine] {
        defer { bytes = [] }
        return isRaw && !bytes.isEmpty ? parts(of: bytes[...], isError: false) : []
    }

    private typealias Content = (ArraySlice<UInt8>, isError: Bool, size: Int)

    /// The stream's number, three zeros, the length, and the content.
    private func frame(_ rest: ArraySlice<UInt8>) throws(Broken) -> Content? {
        guard rest.count >= 8 else { return nil }
        let head = rest.prefix(8)
        let length = head.suffix(4).reduce(0) { $0 << 8 | Int($1) }
        guard let stream = head.first, stream <= 2, length <= Self.contentMax else { throw Broken() }
        guard rest.count >= 8 + length else { return nil }
        return (rest.dropFirst(8).prefix(length), stream == 2, 8 + length)
    }

    private func rawLine(_ rest: ArraySlice<UInt8>) -> Content? {
        guard let end = rest.firstIndex(of: 0x0a) else { return nil }
        return (rest[...end], false, end + 1 - rest.startIndex)
    }

    /// What stands before the first blank is the time, and before the second the details.
    private mutating func parts(of content: ArraySlice<UInt8>, isError: Bool) -> [LogLine] {
        var text = content
        let word = content.prefix(64).prefix { $0 != 0x20 }
        if let found = Instant(rfc3339: String(decoding: word, as: UTF8.self)) {
            time = found
            text = text.dropFirst(word.count + 1)
        }
        var details = ""
        if hasDetails {
            let word = text.prefix { $0 != 0x20 }
            details = String(decoding: word, as: UTF8.self)
            text = text.dropFirst(word.count + 1)
        }
        var lines: [LogLine] = []
        repeat {
            lines.append(
                LogLine(time: time, isError: isError, bytes: Array(text.prefix(LogLine.bytesMax)), details: details))
            text = text.dropFirst(LogLine.bytesMax)
        } while !text.isEmpty
        return lines
    }
}
