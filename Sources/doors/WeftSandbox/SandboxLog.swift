import CSandbox
import Glibc
import WeftSandboxWire

/// Prints a sandbox's log on standard output and standard error. Blocking.
package enum SandboxLog {
    /// - Parameters:
    ///   - follow: go on until the sandbox ends.
    ///   - tail: print only so many of the last lines there are; nil is all.
    ///   - timestamps: begin each line with its time (UTC).
    package static func print(
        directory: SandboxDirectory, follow: Bool = false, tail: Int? = nil, timestamps: Bool = false
    ) throws {
        var printer = LinePrinter(timestamps: timestamps)
        // With `tail`, what there is is counted before it is printed.
        var waiting: [LogFrame]? = tail == nil ? nil : []
        try frames(directory: directory, follow: follow, isCancelled: { false }) { frame in
            guard let frame else {
                let frames = waiting ?? []
                waiting = nil
                if let tail { printer.skip = max(LinePrinter.lineCount(frames) - max(tail, 0), 0) }
                for frame in frames { try printer.print(frame) }
                printer.showAll()
                return true
            }
            if waiting != nil { waiting?.append(frame) } else { try printer.print(frame) }
            return true
        }
    }

    /// Hands the frames of a log over as they come, and nil once, after all that there are; until `take` answers false.
    ///
    /// - Parameter before: gets all that there are first.
    static func frames(
        directory: SandboxDirectory, follow: Bool, isCancelled: () -> Bool, before: ((LogFrame) -> Void)? = nil,
        _ take: (LogFrame?) throws -> Bool
    ) throws {
        // Before the log is read, so that the end cannot be missed. None: it has ended.
        let watch = follow ? try? SandboxWatch(directory) : nil
        let changes = watch == nil ? -1 : csb_watch_directory(directory.path)
        defer { if changes >= 0 { close(changes) } }
        guard let (older, first) = open(directory) else { return }
        var current = first
        defer {
            older?.close()
            current.close()
        }
        if let before {
            while let frame = try older?.next() ?? current.next() { before(frame) }
            older?.rewind()
            current.rewind()
        }
        while let frame = try older?.next() ?? current.next() {
            guard try take(frame) else { return }
        }
        guard try take(nil), let watch else { return }
        var hasEnded = watch.fd < 0
        while !isCancelled() {
            while let frame = try current.next() {
                guard try take(frame) else { return }
            }
            if let next = LogReader(directory.logFile), next.inode != current.inode {
                while let frame = try current.next() {
                    guard try take(frame) else { return }
                }
                current.close()
                current = next
                continue
            } else if hasEnded {
                return
            }
            var polls = [
                pollfd(fd: changes, events: Int16(POLLIN), revents: 0),
                pollfd(fd: watch.fd, events: Int16(POLLIN), revents: 0),
            ]
            // Without inotify (its instances are few by default) it looks now and then.
            _ = poll(&polls, 2, changes >= 0 ? 500 : 200)
            if polls[0].revents != 0 {
                var events = [UInt8](repeating: 0, count: 4096)
                while read(changes, &events, events.count) > 0 {}
            }
            hasEnded = polls[1].revents != 0
        }
    }

    /// Opens both files of the log, as they are at one moment.
    private static func open(_ directory: SandboxDirectory) -> (older: LogReader?, current: LogReader)? {
        while true {
            guard let current = LogReader(directory.logFile) else { return nil }
            let older = LogReader(directory.logFile + ".1")
            if older?.inode != current.inode { return (older, current) }
            // It was rotated in between.
            older?.close()
            current.close()
        }
    }
}

/// Reads frames from a log file that may grow.
private final class LogReader {
    let inode: UInt64
    private let fd: Int32
    private var bytes: [UInt8] = []
    private var start = 0

    init?(_ path: String) {
        fd = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { return nil }
        var status = stat()
        fstat(fd, &status)
        inode = UInt64(status.st_ino)
    }

    func close() { _ = Glibc.close(fd) }

    /// The next frame is the first one again.
    func rewind() {
        lseek(fd, 0, SEEK_SET)
        (bytes, start) = ([], 0)
    }

    /// The next frame, or nil when there is none at the moment.
    func next() throws -> LogFrame? {
        while true {
            do {
                if let (frame, size) = try LogFrame.decode(bytes[start...]) {
                    start += size
                    return frame
                }
            } catch {
                throw SandboxError.invalidSpec("the log is damaged: it holds \(error)")
            }
            bytes.removeFirst(start)
            start = 0
            var count = 0
            let more = [UInt8](unsafeUninitializedCapacity: 64 << 10) { space, used in
                count = read(fd, space.baseAddress, space.count)
                used = max(count, 0)
            }
            guard count > 0 else { return nil }
            bytes += more
        }
    }
}

/// Puts frames out as lines, each stream's for itself.
private struct LinePrinter {
    let timestamps: Bool
    /// Lines still to leave out.
    var skip = 0
    private var output = Progress()
    private var errorOutput = Progress()

    private struct Progress {
        var isAtLineStart = true
        var isVisible = true
    }

    init(timestamps: Bool) { self.timestamps = timestamps }

    /// From now on nothing is left out, not even the rest of a line whose beginning was.
    mutating func showAll() {
        skip = 0
        output.isVisible = true
        errorOutput.isVisible = true
    }

    /// How many lines begin in the frames.
    static func lineCount(_ frames: [LogFrame]) -> Int {
        var count = 0
        var atStart = (output: true, errorOutput: true)
        for frame in frames where !frame.bytes.isEmpty {
            let path = frame.stream == .output ? \(output: Bool, errorOutput: Bool).output : \.errorOutput
            let breaks = frame.bytes.dropLast().count { $0 == 0x0a }
            count += breaks + (atStart[keyPath: path] ? 1 : 0)
            atStart[keyPath: path] = frame.bytes.last == 0x0a
        }
        return count
    }

    mutating func print(_ frame: LogFrame) throws {
        var progress = frame.stream == .output ? output : errorOutput
        var text: [UInt8] = []
        var rest = frame.bytes[...]
        while !rest.isEmpty {
            let end = rest.firstIndex(of: 0x0a).map { $0 + 1 } ?? rest.endIndex
            let piece = rest[..<end]
            rest = rest[end...]
            if progress.isAtLineStart {
                progress.isVisible = skip == 0
                if skip > 0 { skip -= 1 }
                if timestamps, progress.isVisible { text += Self.format(frame.time).utf8 }
            }
            if progress.isVisible { text += piece }
            progress.isAtLineStart = piece.last == 0x0a
        }
        if frame.stream == .output { output = progress } else { errorOutput = progress }
        let fd: Int32 = frame.stream == .output ? 1 : 2
        var remaining = text[...]
        while !remaining.isEmpty {
            let count = remaining.withUnsafeBytes { write(fd, $0.baseAddress, $0.count) }
            guard count > 0 || errno == EINTR else {
                throw SandboxError.system("cannot write the output", errno: errno)
            }
            remaining = remaining.dropFirst(max(count, 0))
        }
    }

    /// As Docker prints it: 2026-01-02T03:04:05.000000006Z and a blank.
    private static func format(_ nanoseconds: UInt64) -> String {
        var seconds = time_t(nanoseconds / 1_000_000_000)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func padded(_ value: some BinaryInteger, _ width: Int) -> String {
            let digits = String(value)
            return String(repeating: "0", count: max(width - digits.utf8.count, 0)) + digits
        }
        let date = "\(padded(parts.tm_year + 1900, 4))-\(padded(parts.tm_mon + 1, 2))-\(padded(parts.tm_mday, 2))"
        let time = "\(padded(parts.tm_hour, 2)):\(padded(parts.tm_min, 2)):\(padded(parts.tm_sec, 2))"
        return "\(date)T\(time).\(padded(nanoseconds % 1_000_000_000, 9))Z "
    }
}
