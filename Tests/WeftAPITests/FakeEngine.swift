import Foundation
import Glibc
import Logging
import Synchronization
import TestSupport
import WeftAPI
import WeftEngine
import WeftText

/// A stream socket, with system calls that block: the test's own threads use it.
final class Wire: Sendable {
    let descriptor: Int32
    init(_ descriptor: Int32) { self.descriptor = descriptor }
    deinit { close(descriptor) }

    static func connected(to path: String) throws -> Wire {
        let wire = Wire(socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0))
        var timeout = timeval(tv_sec: patienceSeconds, tv_usec: 0)
        setsockopt(wire.descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        let result = withAddress(path) { connect(wire.descriptor, $0, $1) }
        guard result == 0 else { throw RawClient.Failure(reason: "connect: \(errno)") }
        return wire
    }

    static func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix(107)) }
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
    }

    /// False when the other side is gone.
    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard sent > 0 else { return false }
            rest = rest.dropFirst(sent)
        }
        return true
    }

    @discardableResult
    func send(_ text: String) -> Bool { send(Array(text.utf8)) }

    /// What fits without waiting.
    func sendSome(_ bytes: [UInt8]) -> Int {
        bytes.withUnsafeBytes {
            max(0, Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)))
        }
    }

    func endOutput() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// What comes next; empty at the end.
    func read(_ count: Int = 65536) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: count)
        let length = recv(descriptor, &buffer, count, 0)
        return Array(buffer.prefix(max(0, length)))
    }

    /// Reads until `isDone` or the end.
    func read(until isDone: ([UInt8]) -> Bool) -> [UInt8] {
        var bytes: [UInt8] = []
        while !isDone(bytes) {
            let more = read()
            if more.isEmpty { break }
            bytes += more
        }
        return bytes
    }

    func readToEnd() -> [UInt8] { read { _ in false } }
    func readText(until mark: String) -> String {
        String(decoding: read { String(decoding: $0, as: UTF8.self).contains(mark) }, as: UTF8.self)
    }
}

/// A container engine that a test plays: every connection runs `serve` on a thread of its own.
final class FakeEngine: Sendable {
    let path: String
    private let listener: Int32

    init(path: String, _ serve: @escaping @Sendable (Wire) -> Void) throws {
        self.path = path
        let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        self.listener = listener
        guard Wire.withAddress(path, { bind(listener, $0, $1) }) == 0, listen(listener, 64) == 0 else {
            throw RawClient.Failure(reason: "listen: \(errno)")
        }
        Thread {
            while true {
                let descriptor = accept(listener, nil, nil)
                guard descriptor >= 0 else { return }
                let wire = Wire(descriptor)
                Thread { serve(wire) }.start()
            }
        }.start()
    }

    func stop() {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }

    /// Answers single requests: `(method, target, body)` to status and JSON text.
    static func answering(
        apiVersion: String = "1.41", _ answer: @escaping @Sendable (String, String, String) -> (Int, String)
    ) -> @Sendable (Wire) -> Void {
        { wire in
            let request = wire.read { bytes in
                guard let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) else { return false }
                let head = String(decoding: bytes[..<end.lowerBound], as: UTF8.self).lowercased()
                let length = head.components(separatedBy: "content-length: ").dropFirst().first
                    .flatMap { Int($0.prefix { $0.isNumber }) }
                return bytes.count - end.upperBound >= length ?? 0
            }
            let text = String(decoding: request, as: UTF8.self)
            let words = text.split(separator: " ", maxSplits: 2)
            guard words.count == 3 else { return }
            let body = text.components(separatedBy: "\r\n\r\n").dropFirst().joined(separator: "\r\n\r\n")
            let (status, json) = answer(String(words[0]), String(words[1]), body)
            wire.send(
                "HTTP/1.1 \(status) X\r\nApi-Version: \(apiVersion)\r\nContent-Type: application/json\r\nContent-Length: \(json.utf8.count)\r\n\r\n\(json)"
            )
        }
    }
}

/// Runs a server with `serve` as its engine while `body` runs, which blocks a thread of its own.
func withEngine(
    _ backend: MemoryBackend = MemoryBackend(), serve: @escaping @Sendable (Wire) -> Void,
    _ body: @escaping @Sendable (String) throws -> Void
) async throws {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("weft-eng-\(UUID().uuidString.prefix(8))")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    let engine = try FakeEngine(path: directory.appendingPathComponent("engine.sock").path, serve)
    defer { engine.stop() }
    let path = directory.appendingPathComponent("docker.sock").path
    try await WeftAPITests.serve(backend, path, engine: LocalEngine(socketPath: engine.path, patience: patience)) {
        try await onThread { try body(path) }
    }
}

/// Runs what blocks on a thread of its own: the server shares the test's pool.
func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        Thread { continuation.resume(with: Result { try body() }) }.start()
    }
}

/// What two threads of a test tell each other.
final class Noted<Value: Sendable>: Sendable {
    private let content: Mutex<Value>
    init(_ value: Value) { content = Mutex(value) }
    var value: Value { content.withLock { $0 } }
    func change(_ body: @Sendable (inout Value) -> Void) { content.withLock { body(&$0) } }
    /// Waits until it is as wanted, on a thread that may block.
    func wait(_ isThere: (Value) -> Bool) -> Bool {
        let end = ContinuousClock.now + patience
        while ContinuousClock.now < end {
            if isThere(value) { return true }
            usleep(5_000)
        }
        return false
    }
}
