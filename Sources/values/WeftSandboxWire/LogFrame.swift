/// One piece of a sandbox's output in its log file.
///
/// A frame is 16 bytes of header (time, 8 bytes; length, 4; stream, 1; "WL" and a version, 3; little endian)
/// and the bytes as the process wrote them.
package struct LogFrame: Equatable, Sendable {
    package enum Stream: UInt8, Sendable {
        case output = 1
        case errorOutput = 2
    }

    /// Nanoseconds since 1970.
    package var time: UInt64
    package var stream: Stream
    package var bytes: [UInt8]

    package static let headerSize = 16
    /// Longest content of one frame, in bytes.
    package static let contentSizeMax = 1 << 20
    private static let mark: [UInt8] = [0x57, 0x4c, 1]

    package init(time: UInt64, stream: Stream, bytes: [UInt8]) {
        self.time = time
        self.stream = stream
        self.bytes = bytes
    }

    package func encoded() -> [UInt8] {
        var writer = WireWriter()
        writer.bytes.reserveCapacity(Self.headerSize + bytes.count)
        writer.write(time)
        writer.write(UInt32(bytes.count))
        writer.bytes.append(stream.rawValue)
        writer.bytes += Self.mark
        writer.bytes += bytes
        return writer.bytes
    }

    /// Reads the frame at the start of `bytes`; nil when it is not whole yet.
    /// - Throws: when these are no frame: the rest of the file is of no use.
    package static func decode(
        _ bytes: ArraySlice<UInt8>
    ) throws(ShimMessageError) -> (frame: LogFrame, size: Int)? {
        guard bytes.count >= headerSize else { return nil }
        var reader = WireReader(bytes.prefix(headerSize))
        let time = try reader.readUInt64()
        let size = Int(try reader.readUInt32())
        let kind = try reader.readUInt8()
        guard let stream = Stream(rawValue: kind), reader.readRest() == mark else { throw .unknownKind(kind) }
        guard size <= contentSizeMax else { throw .tooLong(size) }
        guard bytes.count >= headerSize + size else { return nil }
        let content = bytes.dropFirst(headerSize).prefix(size)
        return (LogFrame(time: time, stream: stream, bytes: Array(content)), headerSize + size)
    }
}
