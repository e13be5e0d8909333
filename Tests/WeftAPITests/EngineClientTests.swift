import Foundation
import NIOHTTP1
import TestSupport
import Testing
import WeftEngine

/// Requests of weftd's own to an engine that the test plays.
@Suite(.timeLimit(.minutes(5))) struct EngineClientTests {
    private func with(
        _ serve: @escaping @Sendable (Wire) -> Void, _ body: @escaping @Sendable (EngineClient) async throws -> Void
    ) async throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("weft-ec-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let engine = try FakeEngine(path: directory.appendingPathComponent("engine.sock").path, serve)
        defer { engine.stop() }
        try await body(EngineClient(socketPath: engine.path))
    }

    @Test func `an answer in many pieces, behind one that announces nothing, comes whole`() async throws {
        try await with { wire in
            let request = wire.readText(until: "body")
            #expect(request.hasPrefix("POST /x HTTP/1.1\r\n") && request.contains("Connection: close"))
            wire.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in 0..<100 { wire.send("3e8\r\n" + String(repeating: "x", count: 1000) + "\r\n") }
            wire.send("0\r\n\r\n")
        } _: { client in
            let answer = try await client.request(.POST, "/x", body: Array("body".utf8))
            #expect(answer.status == 201 && answer.headers.first(name: "X-A") == "b")
            #expect(answer.body == Array(repeating: UInt8(ascii: "x"), count: 100_000))
        }
    }

    @Test(arguments: ["", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "SSH-2.0-x\r\n\r\n"])
    func `an answer that is not whole is an error`(said: String) async throws {
        try await with { wire in
            _ = wire.readText(until: "\r\n\r\n")
            wire.send(said)
        } _: { client in
            await #expect(throws: EngineError.self) { try await client.request(.GET, "/x") }
        }
    }

    @Test func `an engine says what it is, and what its labels are`() async throws {
        try await with { wire in
            #expect(wire.readText(until: "\r\n\r\n").hasPrefix("GET /info "))
            let body = #"{"ServerVersion":"28.2","Labels":["rack=7","a=b=c","plain"]}"#
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
        } _: { client in
            let words = try await Engine(socketPath: client.socketPath).words(within: patience)
            #expect(words.version == "28.2" && words.labels == ["rack": "7", "a": "b=c", "plain": ""])
        }
    }

    @Test func `an engine that is not there is told from one that does not answer in time`() async throws {
        let absent = EngineClient(socketPath: "/nowhere/engine.sock")
        await #expect {
            try await absent.request(.GET, "/x", within: patience)
        } throws: {
            if case EngineError.absent = $0 { true } else { false }
        }
        try await with {
            _ = $0.readToEnd()
        } _: { client in
            await #expect {
                try await client.request(.GET, "/x", within: .milliseconds(50))
            } throws: {
                if case EngineError.silent = $0 { true } else { false }
            }
        }
    }

    @Test func `a request that nobody waits for any more closes its connection`() async throws {
        let (asked, ended) = (Noted(false), Noted(false))
        try await with { wire in
            _ = wire.readText(until: "\r\n\r\n")
            asked.change { $0 = true }
            #expect(wire.read().isEmpty)
            ended.change { $0 = true }
        } _: { client in
            let request = Task { try await client.request(.GET, "/x") }
            let wasAsked = try await onThread { asked.wait { $0 } }
            #expect(wasAsked)
            request.cancel()
            await #expect(throws: CancellationError.self) { try await request.value }
            let hasEnded = try await onThread { ended.wait { $0 } }
            #expect(hasEnded)
        }
    }
}
