import Foundation
import TestSupport
import Testing

@testable import WeftEngine

/// Services' containers go where an engine is: it is heard of when it comes.
@Suite(.timeLimit(.minutes(5))) struct EnginePresenceTests {
    private func directory() throws -> URL {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("weft-eng-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        return directory
    }

    private static func engine(at path: String, version: String) throws -> FakeEngine {
        try FakeEngine(
            path: path,
            FakeEngine.answering { _, target, _ in
                target.hasPrefix("/info") ? (200, #"{"ServerVersion":"\#(version)"}"#) : (200, #"{"Components":[{"Name":"Engine"}]}"#)
            })
    }

    @Test func `one that is there is known after a look`() async throws {
        let directory = try directory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let fake = try Self.engine(at: directory.appendingPathComponent("engine.sock").path, version: "28.1")
        defer { fake.stop() }
        let presence = EnginePresence()
        await presence.look(at: Engine(socketPath: fake.path), within: patience)
        #expect(presence.words?.version == "28.1")
    }

    @Test func `one that comes later is told of, and one that goes`() async throws {
        let directory = try directory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = directory.appendingPathComponent("engine.sock").path
        let presence = EnginePresence()
        let engine = Engine(socketPath: path)
        await presence.look(at: engine, within: patience)
        #expect(presence.words == nil)
        var changes = presence.changes().makeAsyncIterator()
        let following = Task { await presence.follow(engine) }
        defer { following.cancel() }
        let fake = try Self.engine(at: path, version: "28.2")
        await changes.next()
        #expect(presence.words?.version == "28.2")
        fake.stop()
        try FileManager.default.removeItem(atPath: path)
        await presence.look(at: engine, within: patience)
        await changes.next()
        #expect(presence.words == nil)
    }

    @Test func `one that does not answer for once is still there`() async throws {
        let directory = try directory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = directory.appendingPathComponent("engine.sock").path
        let presence = EnginePresence()
        let fake = try Self.engine(at: path, version: "28.2")
        await presence.look(at: Engine(socketPath: path), within: patience)
        fake.stop()
        try FileManager.default.removeItem(atPath: path)
        let silent = try FakeEngine(path: path) { _ = $0.readToEnd() }
        defer { silent.stop() }
        await presence.look(at: Engine(socketPath: path), within: .milliseconds(50))
        #expect(presence.words?.version == "28.2")
    }
}
