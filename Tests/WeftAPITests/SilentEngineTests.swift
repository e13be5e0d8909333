import Foundation
import TestSupport
import Testing
import WeftHTTP
import WeftModel
import WeftText

@testable import WeftAPI
@testable import WeftEngine

/// An engine that takes connections and never answers, as a stopped process does: what is the swarm's own is answered all the
/// same.
@Suite(.timeLimit(.minutes(5))) struct SilentEngineTests {
    private static let sentence = "does not answer"

    private func with(
        _ backend: MemoryBackend = MemoryBackend(), _ body: @escaping @Sendable (RawClient) async throws -> Void
    ) async throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("weft-sil-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let engine = try FakeEngine(path: directory.appendingPathComponent("engine.sock").path) { _ = $0.readToEnd() }
        defer { engine.stop() }
        let path = directory.appendingPathComponent("docker.sock").path
        try await serve(backend, path, engine: LocalEngine(socketPath: engine.path)) {
            let client = RawClient(path: path)
            _ = try await client.send("POST", "/swarm/init", #"{"AdvertiseAddr":"172.30.0.1"}"#)
            _ = try await client.send("POST", "/networks/create", #"{"Name":"mine","Driver":"overlay","Attachable":true}"#)
            try await body(client)
        }
    }

    @Test func `the swarm's own answers come without it`() async throws {
        try await with { client in
            for (method, target, body, status) in [
                ("GET", "/v1.41/nodes", nil, 200), ("GET", "/v1.99/nodes", nil, 400), ("GET", "/swarm", nil, 200),
                ("HEAD", "/_ping", nil, 200), ("GET", "/networks/mine", nil, 200),
                ("DELETE", "/networks/mine", nil, 204), ("POST", "/networks/prune", "{}", 200),
            ] as [(String, String, String?, Int)] {
                let answer = try await client.send(method, target, body)
                #expect(answer.status == status, "\(method) \(target): \(answer.text)")
            }
        }
    }

    @Test func `info, version and the list of networks say that it does not answer`() async throws {
        try await with { client in
            let info = try await client.send("GET", "/info").json()
            guard case .array(let warnings)? = info["Warnings"] else { return #expect(Bool(false)) }
            #expect(warnings.count == 1 && "\(warnings)".contains(Self.sentence))
            #expect(info["Swarm"]?["LocalNodeState"] == "active")
            let version = try await client.send("GET", "/version").json()
            #expect("\(version["Platform"].map { "\($0)" } ?? "")".contains(Self.sentence))
            let networks = try await client.send("GET", "/networks")
            #expect(networks.headers["warning"]?.contains(Self.sentence) == true)
            #expect(networks.text.contains(#""Name":"mine""#))
        }
    }

    @Test func `a network is created, with a warning`() async throws {
        try await with { client in
            let created = try await client.send("POST", "/networks/create", #"{"Name":"other","Driver":"overlay"}"#)
            #expect(created.status == 201)
            #expect(created.text.contains(Self.sentence))
        }
    }

    @Test func `what may be the engine's is not said to be missing`() async throws {
        try await with { client in
            for method in ["GET", "DELETE"] {
                let answer = try await client.send(method, "/networks/unknown")
                #expect(answer.status == 504)
                #expect(answer.message?.contains(Self.sentence) == true)
            }
            #expect(try await client.send("GET", "/networks/unknown?scope=swarm").status == 404)
        }
    }

    @Test func `many who ask at once are answered`() async throws {
        try await with { client in
            try await withThrowingTaskGroup { group in
                for _ in 0..<40 { group.addTask { try await client.send("GET", "/networks").status } }
                for try await status in group { #expect(status == 200) }
            }
        }
    }

    @Test func `the swarm's events come as they happen`() async throws {
        let backend = MemoryBackend()
        try await with(backend) { client in
            let path = client.path
            let told = Task {
                try await onThread {
                    let wire = try Wire.connected(to: path)
                    wire.send("GET /events HTTP/1.1\r\nHost: d\r\n\r\n")
                    return wire.readText(until: "}\n")
                }
            }
            try await eventually("nobody follows the events") { backend.read { $0.events != nil } }
            let event = ClusterEvent(
                kind: .network, action: .create, id: "n1", attributes: ["name": "n1"], time: Instant(nanoseconds: 7))
            backend.read { _ = $0.events?.yield(event) }
            #expect(try await told.value.contains(#""Actor":{"ID":"n1""#))
        }
    }

    @Test func `what is limited is left behind, whatever it waits for`() async throws {
        let (never, continuation) = AsyncStream<Void>.makeStream()
        defer { continuation.finish() }
        let deaf = Task { for await _ in never {} }
        await #expect(throws: EngineError.silent(path: "x")) {
            try await limited(to: .milliseconds(20), late: EngineError.silent(path: "x")) { await deaf.value }
        }
    }
}
