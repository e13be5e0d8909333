package import WeftModel

/// Which lines of a task's output are asked for.
package struct LogOptions: Hashable, Sendable {
    /// Go on as more is written, until the task ends.
    package var follows = false
    package var hasOutput = true
    package var hasErrorOutput = true
    /// Nil: from the beginning.
    package var since: Instant?
    /// So many of the last lines that there are; nil: all.
    package var tail: Int?
    package init() {}
}

/// A line that a task wrote.
package struct LogLine: Hashable, Sendable {
    /// RFC 3339 with nine decimals, so that lines stand below each other.
    package var time: String
    package var isError: Bool
    /// With the end of the line, where there is one.
    package var bytes: [UInt8]

    package init(time: String, isError: Bool, bytes: [UInt8]) {
        self.time = time
        self.isError = isError
        self.bytes = bytes
    }
}
