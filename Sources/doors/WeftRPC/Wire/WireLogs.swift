internal import FoundationEssentials
internal import WeftModel

extension Weft_V1_LogOrder {
    init(_ order: LogOrder) {
        self.init()
        switch order {
        case .read(let number, let task, let container, let options):
            read.number = number
            read.task = task.rawValue
            read.container = container
            read.follow = options.follows
            read.output = options.hasOutput
            read.errorOutput = options.hasErrorOutput
            read.details = options.hasDetails
            if let since = options.since { read.since = since.nanoseconds }
            if let tail = options.tail { read.tail = UInt64(clamping: tail) }
        case .credit(let number, let bytes):
            credit.number = number
            credit.bytes = UInt64(clamping: bytes)
        case .cancel(let number): cancel.number = number
        }
    }
}

extension LogOrder {
    /// Nil: of a kind that this version does not know.
    init?(wire: Weft_V1_LogOrder) throws(WireError) {
        switch wire.body {
        case nil: return nil
        case .read(let read):
            var options = LogOptions()
            options.follows = read.follow
            options.hasOutput = read.output
            options.hasErrorOutput = read.errorOutput
            options.hasDetails = read.details
            if read.hasSince { options.since = Instant(nanoseconds: read.since) }
            if read.hasTail { options.tail = Int(clamping: read.tail) }
            self = .read(
                read.number, try Wire.identifier(read.task, "read.task"),
                container: try Wire.container(read.container, "read.container"), options)
        case .credit(let credit): self = .credit(credit.number, bytes: Int(clamping: credit.bytes))
        case .cancel(let cancel): self = .cancel(cancel.number)
        }
    }
}

extension Weft_V1_NodeLog {
    init(_ log: NodeLog) {
        self.init()
        switch log {
        case .lines(let number, let found):
            lines.number = number
            lines.lines = found.map { line in
                var wire = Weft_V1_NodeLog.Line()
                wire.time = line.time.nanoseconds
                wire.isError = line.isError
                wire.text = Data(line.bytes)
                wire.details = line.details
                return wire
            }
        case .ended(let number, let reason):
            ended.number = number
            if let reason { ended.reason = reason }
        }
    }
}

extension NodeLog {
    /// Nil: of a kind that this version does not know.
    init?(wire: Weft_V1_NodeLog) throws(WireError) {
        switch wire.body {
        case nil: return nil
        case .lines(let lines):
            self = .lines(
                lines.number,
                lines.lines.map { line in
                    LogLine(
                        time: Instant(nanoseconds: line.time), isError: line.isError, bytes: Array(line.text),
                        details: Wire.shown(line.details, max: LogLine.bytesMax))
                })
        case .ended(let ended):
            self = .ended(ended.number, reason: ended.hasReason ? Wire.shown(ended.reason, max: 1024) : nil)
        }
    }
}

extension Wire {
    /// A runtime's id for its container.
    fileprivate static func container(_ text: String, _ field: String) throws(WireError) -> String {
        guard Bounds.isID(text) else {
            throw WireError(field: field, problem: "an id is made of up to \(Bounds.idBytes) letters, digits, and -_.")
        }
        return text
    }
}
