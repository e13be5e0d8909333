// Bytes ↔ values of everything that weft-shim shares with others: the messages of a supervisor's socket and the frames of a
// sandbox's log. Free of Foundation, for weft-shim's sake. A reader takes bytes in any pieces and refuses what is too long.

/// What goes over a sandbox supervisor's unix socket, in both directions.
///
/// A message is one byte of kind, four bytes of length (little endian), and that many bytes of content.
/// A client says first what it wants (`attach`, `exec`, `wait`, `start` or `signal`); after `attach` and
/// `exec` it may go on with input, sizes and signals.
package enum ShimMessage: Equatable, Sendable {
    /// Launcher to supervisor: make the namespaces.
    case launch(LaunchRequest)
    /// Supervisor to launcher: the first process waits inside its namespaces.
    case created(pid: Int32)

    /// Client: send me the sandbox's output, and take my input if `input`.
    case attach(input: Bool)
    /// Client: run another command in the sandbox; `detached` runs it without output to anybody.
    case exec(ProcessRequest, detached: Bool)
    /// Client: tell me when the sandbox's process has ended.
    case wait
    /// Client: let the sandbox's process go.
    case start
    /// Client: a signal for the sandbox's process, or for the command of this client's `exec`.
    case signal(UInt8)
    case input([UInt8])
    case inputEnd
    case resize(TerminalSize)
    /// Client: I leave; the sandbox's input stays open.
    case detach

    /// Supervisor: done, or from now on.
    case accepted
    /// Supervisor: the code is an exit code in Docker's manner: 125, 126 or 127.
    case failed(code: Int32, reason: String)
    case output([UInt8])
    case errorOutput([UInt8])
    case exited(code: Int32)

    /// Longest content that is accepted, in bytes.
    package static let contentSizeMax = 4 << 20

    private enum Kind: UInt8 {
        case launch = 1, created, attach, exec, wait, start, signal, input, inputEnd, resize, detach
        case accepted = 64, failed, output, errorOutput, exited
    }

    /// The message's bytes as they go over the socket.
    package func encoded() -> [UInt8] {
        var content = WireWriter()
        let kind: Kind
        switch self {
        case .launch(let request):
            kind = .launch
            request.write(to: &content)
        case .created(let pid):
            kind = .created
            content.write(UInt32(bitPattern: pid))
        case .attach(let input):
            kind = .attach
            content.write(input)
        case .exec(let request, let detached):
            kind = .exec
            request.write(to: &content)
            content.write(detached)
        case .wait: kind = .wait
        case .start: kind = .start
        case .signal(let number):
            kind = .signal
            content.bytes.append(number)
        case .input(let bytes):
            kind = .input
            content.bytes = bytes
        case .inputEnd: kind = .inputEnd
        case .resize(let size):
            kind = .resize
            content.write(size.rows)
            content.write(size.columns)
        case .detach: kind = .detach
        case .accepted: kind = .accepted
        case .failed(let code, let reason):
            kind = .failed
            content.write(UInt32(bitPattern: code))
            content.write(reason)
        case .output(let bytes):
            kind = .output
            content.bytes = bytes
        case .errorOutput(let bytes):
            kind = .errorOutput
            content.bytes = bytes
        case .exited(let code):
            kind = .exited
            content.write(UInt32(bitPattern: code))
        }
        var frame = WireWriter()
        frame.bytes.reserveCapacity(5 + content.bytes.count)
        frame.bytes.append(kind.rawValue)
        frame.write(UInt32(content.bytes.count))
        frame.bytes += content.bytes
        return frame.bytes
    }

    fileprivate init(kind: UInt8, content: ArraySlice<UInt8>) throws(ShimMessageError) {
        guard let kind = Kind(rawValue: kind) else { throw .unknownKind(kind) }
        var reader = WireReader(content)
        switch kind {
        case .launch: self = .launch(try LaunchRequest(from: &reader))
        case .created: self = .created(pid: Int32(bitPattern: try reader.readUInt32()))
        case .attach: self = .attach(input: try reader.readBool())
        case .exec:
            let request = try ProcessRequest(from: &reader)
            self = .exec(request, detached: try reader.readBool())
        case .wait: self = .wait
        case .start: self = .start
        case .signal: self = .signal(try reader.readUInt8())
        case .input: self = .input(reader.readRest())
        case .inputEnd: self = .inputEnd
        case .resize:
            let rows = try reader.readUInt16()
            self = .resize(TerminalSize(rows: rows, columns: try reader.readUInt16()))
        case .detach: self = .detach
        case .accepted: self = .accepted
        case .failed:
            let code = Int32(bitPattern: try reader.readUInt32())
            self = .failed(code: code, reason: try reader.readString())
        case .output: self = .output(reader.readRest())
        case .errorOutput: self = .errorOutput(reader.readRest())
        case .exited: self = .exited(code: Int32(bitPattern: try reader.readUInt32()))
        }
        guard reader.isAtEnd else { throw .trailingBytes }
    }

    /// Collects bytes of a stream and cuts messages out of them.
    package struct Buffer: Sendable {
        private var bytes: [UInt8] = []
        private var start = 0

        package init() {}

        package mutating func append(_ more: some Sequence<UInt8>) {
            if start > 0 {
                bytes.removeFirst(start)
                start = 0
            }
            bytes.append(contentsOf: more)
        }

        /// The next whole message, or nil when more bytes are needed.
        package mutating func next() throws(ShimMessageError) -> ShimMessage? {
            guard bytes.count - start >= 5 else { return nil }
            var header = WireReader(bytes[(start + 1)..<(start + 5)])
            let size = Int(try header.readUInt32())
            guard size <= ShimMessage.contentSizeMax else { throw .tooLong(size) }
            guard bytes.count - start >= 5 + size else { return nil }
            let kind = bytes[start]
            let content = bytes[(start + 5)..<(start + 5 + size)]
            start += 5 + size
            return try ShimMessage(kind: kind, content: content)
        }
    }
}

/// Why bytes are no message.
package enum ShimMessageError: Error, Equatable, CustomStringConvertible {
    case unknownKind(UInt8)
    case truncated
    case trailingBytes
    case invalidText
    case tooLong(Int)

    package var description: String {
        switch self {
        case .unknownKind(let kind): "a message of the unknown kind \(kind); are weft and weft-shim of one version?"
        case .truncated: "a message that ends too early"
        case .trailingBytes: "a message with bytes too many"
        case .invalidText: "a message whose text is not UTF-8"
        case .tooLong(let size): "a message of \(size) bytes, more than \(ShimMessage.contentSizeMax)"
        }
    }
}
