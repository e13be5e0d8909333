import Foundation
import Testing
import WeftSandbox
import WeftSandboxWire

/// A log as the shim writes it: pieces of output as they came, not lines.
@Suite struct SandboxLogTests {
    private static func lines(
        _ frames: [LogFrame], since: UInt64 = 0, tail: Int? = nil, taking most: Int = .max
    ) throws -> [String] {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("weft-sandbox-log-\(UUID().uuidString.prefix(8))").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let directory = SandboxDirectory(path: path)
        try Data(frames.flatMap { $0.encoded() }).write(to: URL(fileURLWithPath: directory.logFile))
        var lines: [String] = []
        try SandboxLog.lines(directory: directory, follow: false, since: since, tail: tail, isCancelled: { false }) { found in
            for line in found {
                lines.append("\(line.time)\(line.isError ? "!" : " ")\(String(decoding: line.bytes, as: UTF8.self))")
            }
            return lines.count < most
        }
        return lines
    }

    private static func frame(_ time: UInt64, _ text: String, error: Bool = false) -> LogFrame {
        LogFrame(time: time, stream: error ? .errorOutput : .output, bytes: Array(text.utf8))
    }

    private static let frames = [
        frame(1, "on"), frame(2, "oh ", error: true), frame(3, "e\ntwo\nthr"), frame(4, "no\n", error: true), frame(5, "ee\n"),
        frame(6, "open"),
    ]

    @Test func `pieces are put together to lines, each stream's for itself`() throws {
        #expect(try Self.lines(Self.frames) == ["1 one\n", "3 two\n", "2!oh no\n", "3 three\n", "6 open"])
    }

    @Test(arguments: [0, 2, 9])
    func `the last lines alone`(tail: Int) throws {
        #expect(try Self.lines(Self.frames, tail: tail) == Self.lines(Self.frames).suffix(tail))
    }

    @Test func `lines since a time, and no more than are wanted`() throws {
        #expect(try Self.lines(Self.frames, since: 3) == ["3 two\n", "3 three\n", "6 open"])
        #expect(try (2...3).contains(Self.lines(Self.frames, taking: 2).count), "those of one piece of output come together")
        #expect(try Self.lines([]) == [])
    }

    @Test func `a line without an end goes out in parts`() throws {
        let long = (0..<4).map { Self.frame(UInt64($0), String(repeating: "x", count: 10_000)) }
        #expect(try Self.lines(long).map { $0.count - 2 } == [16_384, 16_384, 7232])
        #expect(try Self.lines(long, tail: 1).map { $0.count - 2 } == [7232])
    }

    /// As a log is at its largest. What is counted instead of kept needs no room for it.
    @Test func `as many lines as anybody may ask for take no more memory than few`() throws {
        let one = [UInt8](repeating: 0x78, count: 4000) + [0x0a]
        let frames = (0..<4000).map { LogFrame(time: UInt64($0), stream: .output, bytes: one) }
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("weft-sandbox-log-\(UUID().uuidString.prefix(8))").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let directory = SandboxDirectory(path: path)
        try Data(frames[..<2000].flatMap { $0.encoded() }).write(to: URL(fileURLWithPath: directory.logFile + ".1"))
        try Data(frames[2000...].flatMap { $0.encoded() }).write(to: URL(fileURLWithPath: directory.logFile))
        for (tail, wanted) in [(Int.max, 4000), (3000, 3000), (1, 1), (0, 0)] {
            var largest = 0
            var times: [UInt64] = []
            try SandboxLog.lines(directory: directory, follow: false, tail: tail, isCancelled: { false }) { lines in
                largest = max(largest, lines.reduce(0) { $0 + $1.bytes.count })
                times += lines.map(\.time)
                return true
            }
            #expect(times == Array((0..<4000).suffix(wanted)) && largest <= one.count)
        }
    }
}
