import NIOCore
import WeftModel

/// Reads what an engine sends of a container's log, with times, into lines.
struct LogFrames {
    /// A container with a terminal has one stream, and no frames in it.
    private let isRaw: Bool
    private var bytes: [UInt8] = []

    /// A frame is no longer than a line that the engine keeps, which is 16 KB, and its time.
    private static let contentMax = 1 << 20

    struct Broken: KindedError {
        var errorKind: ErrorKind { .failed }
        var description: String { "the container engine's log is damaged" }
    }

    init(isRaw: Bool) { self.isRaw = isRaw }

    mutating func take(_ chunk: ByteBuffer) throws(Broken) -> [LogLine] {
        bytes += chunk.readableBytesView
        var lines: [LogLine] = []
        var rest = bytes[...]
        while let (line, size) = isRaw ? rawLine(rest) : try frame(rest) {
            lines.append(line)
            rest = rest.dropFirst(size)
        }
        bytes = Array(rest)
        guard bytes.count <= Self.contentMax else { throw Broken() }
        return lines
    }

    /// The stream's number, three zeros, the length, and the content.
    private func frame(_ rest: ArraySlice<UInt8>) throws(Broken) -> (LogLine, Int)? {
        guard rest.count >= 8 else { return nil }
        let head = rest.prefix(8)
        let length = head.suffix(4).reduce(0) { $0 << 8 | Int($1) }
        guard let stream = head.first, stream <= 2, length <= Self.contentMax else { throw Broken() }
        guard rest.count >= 8 + length else { return nil }
        return (line(rest.dropFirst(8).prefix(length), isError: stream == 2), 8 + length)
    }

    private func rawLine(_ rest: ArraySlice<UInt8>) -> (LogLine, Int)? {
        guard let end = rest.firstIndex(of: 0x0a) else { return nil }
        return (line(rest[...end], isError: false), end + 1 - rest.startIndex)
    }

    /// What stands before the first blank is the time.
    private func line(_ content: ArraySlice<UInt8>, isError: Bool) -> LogLine {
        let time = content.prefix { $0 != 0x20 }
        return LogLine(time: String(decoding: time, as: UTF8.self), isError: isError, bytes: Array(content.dropFirst(time.count + 1)))
    }
}
