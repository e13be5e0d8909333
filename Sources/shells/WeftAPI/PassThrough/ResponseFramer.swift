import NIOCore

/// Follows the framing of an HTTP/1.1 answer (RFC 9112, 6) without changing a byte of it: what goes in comes out, cut where
/// heads and the body end.
struct ResponseFramer {
    /// What was recognised; its bytes are to be sent on as they are.
    enum Piece {
        /// A 1xx head other than 101: another head follows.
        case interim(ByteBuffer)
        case head(ResponseHead, ByteBuffer)
        case body(ByteBuffer)
        /// The answer is whole. Bytes behind it are nobody's.
        case end
    }

    enum Failure: Error, CustomStringConvertible {
        case headTooLong
        case malformed(String)

        var description: String {
            switch self {
            case .headTooLong: "its head is longer than \(ResponseFramer.headSizeMax) bytes"
            case .malformed(let what): what
            }
        }
    }

    static let headSizeMax = 1 << 20

    private enum State {
        case head
        case counted(Int)
        case chunked(ChunkScanner)
        case untilClose
        case end
        case over
    }

    /// The request was HEAD: its answer has no body, whatever the head says.
    private let answersHead: Bool
    private var state = State.head
    private var buffer = ByteBuffer()
    private var scanned = 0

    init(answersHead: Bool) { self.answersHead = answersHead }

    /// The body ends with the connection.
    var endsWithConnection: Bool { if case .untilClose = state { true } else { false } }

    mutating func append(_ bytes: ByteBuffer) {
        if buffer.readableBytes == 0 {
            buffer = bytes
            scanned = 0
        } else {
            buffer.writeImmutableBuffer(bytes)
        }
    }

    /// Bytes that no piece has covered: what follows the head of a stream.
    mutating func takeRest() -> ByteBuffer {
        defer { buffer = ByteBuffer() }
        return buffer
    }

    /// The next piece; nil when more bytes are needed.
    mutating func next() throws(Failure) -> Piece? {
        switch state {
        case .head: return try nextHead()
        case .counted(let count):
            guard buffer.readableBytes > 0 else { return nil }
            let length = min(count, buffer.readableBytes)
            state = count == length ? .end : .counted(count - length)
            return buffer.readSlice(length: length).map(Piece.body)
        case .chunked(var scanner):
            guard buffer.readableBytes > 0 else { return nil }
            let length = try scanner.scan(buffer.readableBytesView)
            state = scanner.isDone ? .end : .chunked(scanner)
            return buffer.readSlice(length: length).map(Piece.body)
        case .untilClose:
            guard buffer.readableBytes > 0 else { return nil }
            return .body(takeRest())
        case .end:
            state = .over
            return .end
        case .over: return nil
        }
    }

    private mutating func nextHead() throws(Failure) -> Piece? {
        let view = buffer.readableBytesView
        var index = view.startIndex + max(0, scanned - 3)
        while true {
            guard let found = view[index...].firstIndex(of: 0x0d), found + 3 < view.endIndex else {
                scanned = view.count
                guard view.count <= Self.headSizeMax else { throw .headTooLong }
                return nil
            }
            if view[found + 1] == 0x0a, view[found + 2] == 0x0d, view[found + 3] == 0x0a {
                index = found + 4
                break
            }
            index = found + 1
        }
        let length = index - view.startIndex
        guard length <= Self.headSizeMax else { throw .headTooLong }
        let head = try ResponseHead(view[..<index])
        guard let bytes = buffer.readSlice(length: length) else { return nil }
        scanned = 0
        if head.status / 100 == 1, head.status != 101 { return .interim(bytes) }
        state = try bodyState(of: head)
        return .head(head, bytes)
    }

    private func bodyState(of head: ResponseHead) throws(Failure) -> State {
        if head.isStream { return .over }
        if answersHead || head.status == 204 || head.status == 304 { return .end }
        if head.isChunked { return .chunked(ChunkScanner()) }
        guard let length = head.contentLength else { return .untilClose }
        return length == 0 ? .end : .counted(length)
    }
}

/// What the head of an answer says about the connection.
struct ResponseHead: Equatable {
    private(set) var status = 0
    private(set) var contentLength: Int?
    private(set) var isChunked = false
    /// `Connection: close`, or HTTP/1.0.
    private(set) var closes = false
    private var contentType = ""

    init(_ bytes: some Collection<UInt8>) throws(ResponseFramer.Failure) {
        var lines = String(decoding: bytes, as: UTF8.self).split(separator: "\r\n")[...]
        let words = (lines.popFirst() ?? "").split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        guard words.count >= 2, words[0] == "HTTP/1.1" || words[0] == "HTTP/1.0", words[1].utf8.count == 3,
            let status = Int(words[1]), (100..<1000).contains(status)
        else { throw .malformed("its answer is not HTTP/1.1") }
        self.status = status
        closes = words[0] == "HTTP/1.0"
        for line in lines {
            guard let colon = line.firstIndex(of: ":") else { throw .malformed("a line of its head has no colon") }
            let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
            switch line[..<colon].lowercased() {
            case "content-length":
                guard let length = Int(value.prefix { $0 != " " }), length >= 0, contentLength ?? length == length else {
                    throw .malformed("its Content-Length is \(value)")
                }
                contentLength = length
            case "transfer-encoding": isChunked = value.lowercased().hasSuffix("chunked")
            case "connection": if value.lowercased().contains("close") { closes = true }
            case "content-type": contentType = String(value)
            default: break
            }
        }
    }

    /// The connection has left HTTP: by 101, or by an answer without any framing that announces a raw stream.
    var isStream: Bool {
        status == 101
            || (status == 200 && contentLength == nil && !isChunked
                && (contentType.hasPrefix("application/vnd.docker.raw-stream")
                    || contentType.hasPrefix("application/vnd.docker.multiplexed-stream")))
    }
}

/// Finds the end of a chunked body (RFC 9112, 7.1).
struct ChunkScanner {
    private enum State {
        case size(Int, digits: Int)
        /// Behind the size: extensions, up to the line's end.
        case extensions(Int)
        case data(Int)
        case dataEnd
        /// At the start of a line of the trailer section, or within one.
        case trailer(lineLength: Int)
        case done
    }

    private var state = State.size(0, digits: 0)

    var isDone: Bool { if case .done = state { true } else { false } }

    /// Walks over `bytes` and returns how many of them belong to the body.
    mutating func scan(_ bytes: ByteBufferView) throws(ResponseFramer.Failure) -> Int {
        var index = bytes.startIndex
        while index < bytes.endIndex {
            if case .data(let count) = state {
                let length = min(count, bytes.endIndex - index)
                index += length
                state = count == length ? .dataEnd : .data(count - length)
                continue
            }
            let byte = bytes[index]
            index += 1
            switch state {
            case .size(let size, let digits):
                if let digit = Self.hexDigit(byte) {
                    guard digits < 15 else { throw .malformed("a chunk of its body is too large") }
                    state = .size(size << 4 | digit, digits: digits + 1)
                } else {
                    guard digits > 0 else { throw .malformed("a chunk of its body has no size") }
                    state = byte == 0x0a ? Self.afterSize(size) : .extensions(size)
                }
            case .extensions(let size): if byte == 0x0a { state = Self.afterSize(size) }
            case .dataEnd: if byte == 0x0a { state = .size(0, digits: 0) }
            case .trailer(let length):
                if byte == 0x0a {
                    if length == 0 {
                        state = .done
                        return index - bytes.startIndex
                    }
                    state = .trailer(lineLength: 0)
                } else if byte != 0x0d {
                    state = .trailer(lineLength: length + 1)
                }
            case .data, .done: return index - 1 - bytes.startIndex
            }
        }
        return bytes.count
    }

    private static func afterSize(_ size: Int) -> State { size == 0 ? .trailer(lineLength: 0) : .data(size) }

    private static func hexDigit(_ byte: UInt8) -> Int? {
        switch byte {
        case 0x30...0x39: Int(byte) - 0x30
        case 0x41...0x46: Int(byte) - 0x41 + 10
        case 0x61...0x66: Int(byte) - 0x61 + 10
        default: nil
        }
    }
}
