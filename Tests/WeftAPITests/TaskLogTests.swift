import Foundation
import NIOCore
import TestSupport
import Testing
import WeftEngine
import WeftModel
import WeftText

@testable import WeftAPI

/// A frame of an engine's log.
private func frame(_ stream: UInt8, _ text: String) -> [UInt8] {
    let length = UInt32(text.utf8.count)
    return [stream, 0, 0, 0] + (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * $0)) } + Array(text.utf8)
}

@Suite(.timeLimit(.minutes(2))) struct TaskLogTests {
    private static let time = "2026-11-21T09:47:23.122615443Z"

    @Test func `an engine's log is read however it is cut`() throws {
        let bytes = frame(1, "\(Self.time) one\n") + frame(2, "\(Self.time) two words\n") + frame(1, "\(Self.time) \n")
        let wanted = [
            LogLine(time: Self.time, isError: false, bytes: Array("one\n".utf8)),
            LogLine(time: Self.time, isError: true, bytes: Array("two words\n".utf8)),
            LogLine(time: Self.time, isError: false, bytes: Array("\n".utf8)),
        ]
        for size in [1, 7, bytes.count] {
            var frames = LogFrames(isRaw: false)
            var lines: [LogLine] = []
            for start in stride(from: 0, to: bytes.count, by: size) {
                lines += try frames.take(ByteBuffer(bytes: bytes[start..<min(start + size, bytes.count)]))
            }
            #expect(lines == wanted)
        }
        var raw = LogFrames(isRaw: true)
        #expect(try raw.take(ByteBuffer(string: "\(Self.time) a")).isEmpty)
        #expect(try raw.take(ByteBuffer(string: "b\n")) == [LogLine(time: Self.time, isError: false, bytes: Array("ab\n".utf8))])
        var damaged = LogFrames(isRaw: false)
        #expect(throws: LogFrames.Broken.self) { try damaged.take(ByteBuffer(bytes: [9, 0, 0, 0, 0, 0, 0, 1, 0])) }
    }

    /// A service with a task of this node in a container of the engine's, or in a sandbox.
    private static func withTask(
        _ spec: String, node: String? = nil, engine answer: @escaping @Sendable (String) -> (Int, String) = { _ in (404, "{}") },
        _ body: @escaping @Sendable (RawClient, MemoryBackend, TaskID) async throws -> Void
    ) async throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("weft-log-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let engine = try FakeEngine(
            path: directory.appendingPathComponent("engine.sock").path,
            FakeEngine.answering { _, target, _ in
                if target.contains("/logs") { return answer(target) }
                return target.hasSuffix("/networks") ? (200, "[]") : (404, "{}")
            })
        defer { engine.stop() }
        let path = directory.appendingPathComponent("docker.sock").path
        let backend = MemoryBackend()
        try await serve(backend, path, engine: LocalEngine(socketPath: engine.path, patience: patience)) {
            let client = RawClient(path: path)
            _ = try await client.send("POST", "/swarm/init", "{}")
            let made = try await client.send("POST", "/services/create", #"{"Name":"web","TaskTemplate":\#(spec)}"#)
            #expect(made.status == 201, "\(made.text)")
            let task = backend.addTask(of: "web", slot: 1, state: .running)
            if let node { backend.read { $0.tasks[0].node = NodeID(node) } }
            try await body(client, backend, task)
        }
    }

    private static let container = #"{"ContainerSpec":{"Image":"bb"}}"#

    @Test func `lines of a container say whose they are`() async throws {
        let asked = Noted<[String]>([])
        let log = String(decoding: frame(1, "\(Self.time) out\n") + frame(2, "\(Self.time) err\n"), as: UTF8.self)
        let answer: @Sendable (String) -> (Int, String) = { target in
            asked.change { $0.append(target) }
            return (200, log)
        }
        try await Self.withTask(Self.container, engine: answer) { client, backend, task async throws in
            let (node, service) = backend.read { ($0.swarm.nodeID?.rawValue ?? "", $0.services[0].id) }
            let details = "com.docker.swarm.node.id=\(node),com.docker.swarm.service.id=\(service),com.docker.swarm.task.id=\(task)"
            let answer = try await client.send("GET", "/services/web/logs?details=1&stdout=1&stderr=1&tail=5&since=17.5")
            #expect(answer.status == 200 && answer.body == frame(1, "\(details) out\n") + frame(2, "\(details) err\n"))
            #expect(asked.value == ["/containers/c0ffee/logs?stdout=1&stderr=1&timestamps=1&since=17.5&tail=5"])
            let timed = try await client.send("GET", "/tasks/\(task)/logs?timestamps=true&stdout=True&stderr=False")
            #expect(timed.body == frame(1, "\(Self.time) out\n"))
        }
    }

    @Test func `a terminal's output has no frames`() async throws {
        try await Self.withTask(#"{"ContainerSpec":{"Image":"bb","TTY":true}}"#, engine: { _ in (200, "\(Self.time) on screen\r\n") }) {
            client, _, _ async throws in
            #expect(try await client.send("GET", "/services/web/logs?stdout=1").text == "on screen\r\n")
        }
    }

    @Test func `a sandbox's lines come from Weft itself`() async throws {
        try await Self.withTask(#"{"Runtime":"sandbox","ContainerSpec":{"Command":["./server"]}}"#) { client, backend, _ async throws in
            backend.read {
                $0.log = [
                    LogLine(time: Self.time, isError: false, bytes: Array("hello\n".utf8)),
                    LogLine(time: Self.time, isError: true, bytes: Array("oh\n".utf8)),
                ]
            }
            let answer = try await client.send("GET", "/services/web/logs?stdout=1&stderr=1&tail=all&since=1700000000")
            #expect(answer.body == frame(1, "hello\n") + frame(2, "oh\n"))
            let options = try #require(backend.read { $0.lastLog })
            #expect(options.tail == nil && options.since == Instant(nanoseconds: 1_700_000_000_000_000_000) && !options.follows)
            _ = try await client.send("GET", "/services/web/logs?stdout=1&tail=3")
            #expect(backend.read { $0.lastLog?.tail == 3 && $0.lastLog?.hasErrorOutput == false })
        }
    }

    @Test(arguments: [nil, "zz-elsewhere"])
    func `what is not to be had is said on the stream`(node: String?) async throws {
        try await Self.withTask(Self.container, node: node, engine: { _ in (404, #"{"message":"No such container: c0ffee"}"#) }) {
            client, _, task async throws in
            let answer = try await client.send("GET", "/services/web/logs?stdout=1&stderr=1")
            let reason = node == nil ? "is not to be had: No such container: c0ffee" : "is on node zz-elsewhere and is not shown here"
            #expect(answer.status == 200 && answer.text.contains("the output of task \(task) \(reason)") && answer.body.first == 2)
        }
    }

    @Test func `one stream at least must be chosen`() async throws {
        try await Self.withTask(Self.container) { client, _, _ async throws in
            let answer = try await client.send("GET", "/services/web/logs?follow=1")
            #expect(answer.status == 400 && answer.message == "Bad parameters: you must choose at least one stream")
            #expect(try await client.send("GET", "/services/nosuch/logs?stdout=1").message == "service nosuch not found")
            #expect(try await client.send("GET", "/tasks/nosuch/logs?stdout=1").status == 404)
        }
    }

    @Test func `who follows a service sees tasks that come later`() async throws {
        try await Self.withTask(#"{"Runtime":"sandbox","ContainerSpec":{"Command":["./server"]}}"#) { client, backend, _ async throws in
            backend.read { $0.log = [LogLine(time: Self.time, isError: false, bytes: Array("line\n".utf8))] }
            let request = "GET /services/web/logs?stdout=1&follow=1&details=1 HTTP/1.1\r\nHost: docker\r\n\r\n"
            let isLaterThere = Noted(false)
            let bytes = try await client.raw([request]) { bytes in
                let text = String(decoding: bytes, as: UTF8.self)
                if text.contains("task.id=task1"), !isLaterThere.value {
                    isLaterThere.change { $0 = true }
                    backend.addTask(of: "web", slot: 2, state: .running)
                }
                return text.contains("task.id=task2running")
            }
            #expect(String(decoding: bytes, as: UTF8.self).contains("task.id=task2running"))
        }
    }
}
