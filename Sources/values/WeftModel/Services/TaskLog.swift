/// Which lines of a task's output are asked for.
package struct LogOptions: Hashable, Sendable {
    /// Go on as more is written, until the container ends.
    package var follows = false
    package var hasOutput = true
    package var hasErrorOutput = true
    /// With what the engine's log driver adds to each line.
    package var hasDetails = false
    /// Nil: from the beginning.
    package var since: Instant?
    /// So many of the last lines that there are; nil: all.
    package var tail: Int?
    package init() {}

    package func takes(_ line: LogLine) -> Bool { line.isError ? hasErrorOutput : hasOutput }
}

/// A line that a task wrote.
package struct LogLine: Hashable, Sendable {
    /// A line that is longer goes out in parts, of the same time.
    package static let bytesMax = 16 << 10

    package var time: Instant
    package var isError: Bool
    /// With the end of the line, where there is one.
    package var bytes: [UInt8]
    /// `key=value,…` of the engine's log driver, where that was asked for.
    package var details: String

    package init(time: Instant, isError: Bool, bytes: [UInt8], details: String = "") {
        self.time = time
        self.isError = isError
        self.bytes = bytes
        self.details = details
    }

    /// What it counts for in a message, and of a credit.
    package var sizeBytes: Int { bytes.count + details.utf8.count + 32 }
}

/// From a manager to a node, about the output of the node's tasks. The number is the manager's, and of one reading.
package enum LogOrder: Hashable, Sendable {
    /// Of this run of the task, of which the manager knows by its container.
    case read(RequestNumber, TaskID, container: String, LogOptions)
    /// So many bytes more may be sent of the reading.
    case credit(RequestNumber, bytes: Int)
    case cancel(RequestNumber)
}

/// From a node to its manager.
package enum NodeLog: Hashable, Sendable {
    case lines(RequestNumber, [LogLine])
    /// Nothing more comes of the reading: the output is at its end, or for this reason, a sentence.
    case ended(RequestNumber, reason: String?)

    package var number: RequestNumber {
        switch self {
        case .lines(let number, _), .ended(let number, _): number
        }
    }
}

/// A task's output is not to be had, or not the rest of it.
package struct LogUnavailable: KindedError, Hashable {
    package var errorKind: ErrorKind { .unavailable }
    /// A sentence's second half, after "the output of … is not to be had: ".
    package let description: String
    package init(_ description: String) { self.description = description }
}

/// How far a task's output was read: where it broke off, the next reading goes on.
package struct LogPosition: Hashable, Sendable {
    private let asked: LogOptions
    private var last: Instant?
    /// Lines of the last one's time that were read. Several may have one time.
    private var countAtLast = 0
    /// Lines of that time that the reading under way has shown again.
    private var countAgain = 0

    package init(_ options: LogOptions) { asked = options }

    /// Nothing was read so far.
    package var isAtStart: Bool { last == nil }

    /// What is to be asked for now.
    package var options: LogOptions {
        var options = asked
        if let last { (options.since, options.tail) = (last, nil) }
        return options
    }

    /// The same between two readings.
    package var settled: LogPosition {
        var settled = self
        settled.countAgain = 0
        return settled
    }

    /// A reading of `options` begins.
    package mutating func begin() { countAgain = last == nil ? 0 : countAtLast }

    /// Those of the lines that were not read before.
    package mutating func take(_ lines: [LogLine]) -> [LogLine] {
        lines.filter { line in
            if countAgain > 0 {
                if line.time == last {
                    countAgain -= 1
                    return false
                }
                countAgain = 0
            }
            if line.time == last { countAtLast += 1 } else { (last, countAtLast) = (line.time, 1) }
            return true
        }
    }
}

extension Instant {
    /// Reads `2026-11-21T09:47:23.122615443Z` (RFC 3339), with more or fewer decimals or an offset; nil for anything else.
    package init?(rfc3339 text: some StringProtocol) {
        let bytes = Array(text.utf8)
        func number(_ range: Range<Int>) -> Int64? {
            guard range.upperBound <= bytes.count, bytes[range].allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            return bytes[range].reduce(0) { $0 * 10 + Int64($1 - 0x30) }
        }
        // What can be told in nanoseconds ends in 2262.
        guard bytes.count >= 20, let year = number(0..<4), let month = number(5..<7), let day = number(8..<10), let hour = number(11..<13),
            let minute = number(14..<16), let second = number(17..<19), (1678...2261).contains(year), (1...12).contains(month),
            (1...31).contains(day), [bytes[4], bytes[7]] == [0x2d, 0x2d], [bytes[13], bytes[16]] == [0x3a, 0x3a]
        else { return nil }
        var rest = bytes[19...]
        var nanoseconds: Int64 = 0
        if rest.first == UInt8(ascii: ".") {
            let digits = rest.dropFirst().prefix { (0x30...0x39).contains($0) }
            for place in 0..<9 {
                let index = digits.startIndex + place
                nanoseconds = nanoseconds * 10 + (index < digits.endIndex ? Int64(digits[index] - 0x30) : 0)
            }
            rest = rest[digits.endIndex...]
        }
        var offset: Int64 = 0
        if rest.count == 6, let sign = rest.first, sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") {
            guard let hours = number(rest.startIndex + 1..<rest.startIndex + 3), let minutes = number(rest.startIndex + 4..<rest.endIndex)
            else { return nil }
            offset = (hours * 60 + minutes) * (sign == UInt8(ascii: "-") ? -60 : 60)
        } else if Array(rest) != [UInt8(ascii: "Z")] {
            return nil
        }
        // Days from the civil calendar, with years that begin in March.
        let shifted = month <= 2 ? year - 1 : year
        let yearOfEra = shifted % 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let days = shifted / 400 * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
        let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset
        self.init(nanoseconds: seconds * 1_000_000_000 + nanoseconds)
    }
}
