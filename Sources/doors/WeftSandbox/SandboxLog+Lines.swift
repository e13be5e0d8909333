import CSandbox
import Glibc
import WeftSandboxWire

/// A line of a sandbox's output.
package struct SandboxLogLine: Hashable, Sendable {
    /// When it began: nanoseconds since 1970.
    package var time: UInt64
    package var isError: Bool
    /// With the end of the line; without it, the last one of an output that ended in the middle of a line.
    package var bytes: [UInt8]
}

extension SandboxLog {
    /// Hands the lines of a sandbox's log over, until `line` has had enough and answers false; where it answers nil, which is not now,
    /// it is asked again in a moment. Blocking.
    ///
    /// - Parameters:
    ///   - follow: go on until the sandbox ends, or `isCancelled` says so, which is asked twice a second.
    ///   - since: leave out what began before, in nanoseconds since 1970.
    ///   - tail: of the lines that there are, only so many of the last; nil is all.
    package static func lines(
        directory: SandboxDirectory, follow: Bool, since: UInt64 = 0, tail: Int? = nil, isCancelled: () -> Bool,
        _ line: (SandboxLogLine) -> Bool?
    ) throws {
        var assembler = LineAssembler()
        var hasEnough = false
        // Until all that there is has been read.
        var waiting: [SandboxLogLine]? = tail == nil ? nil : []
        func take(_ lines: [SandboxLogLine]) -> Bool {
            for found in lines where found.time >= since {
                if waiting != nil {
                    waiting?.append(found)
                    if let count = waiting?.count, let tail, count > tail { waiting?.removeFirst(count - tail) }
                } else if !offer(found, to: line) {
                    hasEnough = true
                    return false
                }
            }
            return true
        }
        try frames(directory: directory, follow: follow, isCancelled: isCancelled) { frame in
            guard let frame else {
                // The end of what there was. What has no end yet is its last line, unless more may come.
                if !follow { _ = take(assembler.rest()) }
                let shown = waiting ?? []
                waiting = nil
                return take(shown)
            }
            return take(assembler.take(frame))
        }
        if !hasEnough { _ = take(assembler.rest()) }
    }

    private static func offer(_ found: SandboxLogLine, to line: (SandboxLogLine) -> Bool?) -> Bool {
        while true {
            if let answer = line(found) { return answer }
            usleep(5000)
        }
    }
}

/// Puts pieces of output together to lines, each stream's for itself.
private struct LineAssembler {
    private var open: [LogFrame.Stream: SandboxLogLine] = [:]
    /// A line that is longer goes out in parts.
    private static let lineMax = 16 << 10

    mutating func take(_ frame: LogFrame) -> [SandboxLogLine] {
        var lines: [SandboxLogLine] = []
        var rest = frame.bytes[...]
        while !rest.isEmpty {
            let end = rest.firstIndex(of: 0x0a).map { $0 + 1 } ?? rest.endIndex
            var line = open[frame.stream] ?? SandboxLogLine(time: frame.time, isError: frame.stream == .errorOutput, bytes: [])
            line.bytes += rest[..<end]
            rest = rest[end...]
            let isWhole = line.bytes.last == 0x0a || line.bytes.count >= Self.lineMax
            open[frame.stream] = isWhole ? nil : line
            if isWhole { lines.append(line) }
        }
        return lines
    }

    /// What has no end of a line.
    mutating func rest() -> [SandboxLogLine] {
        defer { open = [:] }
        return open.values.sorted { $0.time < $1.time }
    }
}
