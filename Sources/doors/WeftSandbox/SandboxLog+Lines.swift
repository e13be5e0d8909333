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
    /// Hands the lines of a sandbox's log over as they come, until `take` has had enough and answers false; where it answers nil, which
    /// is not now, it is asked again in a moment. Blocking. Of the log no more than what is handed over next is in memory.
    ///
    /// - Parameters:
    ///   - follow: go on until the sandbox ends, or `isCancelled` says so, which is asked twice a second.
    ///   - since: leave out what began before, in nanoseconds since 1970.
    ///   - tail: of the lines that there are, only so many of the last; nil is all.
    package static func lines(
        directory: SandboxDirectory, follow: Bool, since: UInt64 = 0, tail: Int? = nil, isCancelled: () -> Bool,
        _ take: ([SandboxLogLine]) -> Bool?
    ) throws {
        // With `tail` the lines that there are, are counted before they are read.
        var counter = LineAssembler()
        var count = 0
        func note(_ frame: LogFrame) { count += counter.take(frame).count { $0.time >= since } }
        var assembler = LineAssembler()
        // Lines still to leave out, and still to show.
        var skip: Int?
        var left = follow ? nil : tail
        func show(_ lines: [SandboxLogLine]) -> Bool {
            var shown = lines[...].filter { $0.time >= since }[...]
            if skip == nil {
                // What has no end yet is the last line, unless more may come.
                let open = follow ? 0 : counter.rest().count { $0.time >= since }
                skip = tail.map { max(0, count + open - max($0, 0)) } ?? 0
            }
            let skipped = min(skip ?? 0, shown.count)
            skip = (skip ?? 0) - skipped
            shown = shown.dropFirst(skipped)
            if let most = left {
                shown = shown.prefix(max(most, 0))
                left = most - shown.count
            }
            return shown.isEmpty || offer(Array(shown), to: take, isCancelled)
        }
        var hasEnough = false
        try frames(directory: directory, follow: follow, isCancelled: isCancelled, before: tail == nil ? nil : note) { frame in
            guard let frame else { return true }
            hasEnough = !show(assembler.take(frame))
            return !hasEnough
        }
        if !hasEnough { _ = show(assembler.rest()) }
    }

    private static func offer(
        _ lines: [SandboxLogLine], to take: ([SandboxLogLine]) -> Bool?, _ isCancelled: () -> Bool
    ) -> Bool {
        while !isCancelled() {
            if let answer = take(lines) { return answer }
            usleep(5000)
        }
        return false
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
            while line.bytes.count > Self.lineMax {
                var part = line
                part.bytes = Array(line.bytes.prefix(Self.lineMax))
                lines.append(part)
                line.bytes.removeFirst(Self.lineMax)
            }
            let isWhole = line.bytes.last == 0x0a || line.bytes.count == Self.lineMax
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
