import Foundation
import Logging
import Synchronization
import Testing
import WeftModel
import WeftNet
import WeftPlugin

extension CallJournal {
    /// In a directory of its own.
    static func temporary() throws -> CallJournal {
        try CallJournal(directory: NSTemporaryDirectory() + "weft-calls-\(UUID().uuidString)", now: { Instant(nanoseconds: 1) })
    }
}

/// weftd is killed while the engine waits for an answer: the engine calls again, and sends nothing but the method.
@Suite("Calls that were cut off")
struct CallJournalTests {
    private let directory = NSTemporaryDirectory() + "weft-calls-\(UUID().uuidString)"
    private let backend: MemoryBackend
    private let create =
        #"{"NetworkID":"d1","EndpointID":"e1","Interface":{"Address":"10.77.1.9/24","AddressIPv6":"","MacAddress":""},"Options":{}}"#

    init() throws { backend = MemoryBackend(networks: [try network("net", "10.77.1.0/24")]) }

    /// The next weftd, with the files of the one before.
    private func weftd(at time: Instant = Instant(nanoseconds: 1_700_000_000_000_000_000)) throws -> PluginService {
        let store = MemoryStore()
        store.state.withLock { $0.networks["d1"] = NetworkID("id-net") }
        return try PluginService(
            backend: backend, store: store, journal: CallJournal(directory: directory, now: { time }), logger: Logger(label: "test"))
    }

    private var files: [String] { (try? FileManager.default.contentsOfDirectory(atPath: directory + "/plugin-calls")) ?? [] }

    @Test("The next weftd has the contents, gives the answer, and forgets the call once the engine has that")
    func again() async throws {
        let method = "NetworkDriver.CreateEndpoint"
        let former = try #require(await weftd().begin(method: method, body: Array(create.utf8)))
        #expect(files == [former.id])
        let next = try weftd()
        let call = try #require(await next.begin(method: method, body: []))
        #expect(call == former)
        let answer = try #require(await next.answer(method: method, body: Array(call.body.utf8)))
        #expect(String(decoding: answer, as: UTF8.self) == #"{"Interface":{"MacAddress":"02:42:0a:4d:01:09"}}"#)
        // Nobody else's.
        #expect(await next.begin(method: method, body: []) == nil)
        // Killed once more before the engine had it.
        #expect(try await weftd().begin(method: method, body: []) == former)
        await next.end(call)
        #expect(files.isEmpty)
        #expect(try await weftd().begin(method: method, body: []) == nil)
    }

    @Test("Which of two it is nobody knows; another method's is none of it; a call without contents is not kept")
    func ambiguous() async throws {
        let former = try weftd()
        for body in ["{\"a\":1}", "{\"b\":1}"] { _ = await former.begin(method: "NetworkDriver.Join", body: Array(body.utf8)) }
        _ = await former.begin(method: "NetworkDriver.Leave", body: Array("{\"c\":1}".utf8))
        #expect(await former.begin(method: "Plugin.Activate", body: Array("null".utf8)) == nil)
        // One's own are answered by who has them.
        #expect(await former.begin(method: "NetworkDriver.Leave", body: []) == nil)
        #expect(files.count == 3)
        let next = try weftd()
        #expect(await next.begin(method: "NetworkDriver.Join", body: []) == nil)
        #expect(await next.begin(method: "NetworkDriver.CreateEndpoint", body: []) == nil)
        #expect(await next.begin(method: "NetworkDriver.Leave", body: [])?.body == "{\"c\":1}")
        let refused = try #require(await next.answer(method: "NetworkDriver.Join", body: []))
        #expect(String(decoding: refused, as: UTF8.self).contains("try again"))
    }

    @Test("What no engine asks for any more is forgotten", arguments: [61, -61])
    func old(seconds: Int64) async throws {
        let start = Instant(nanoseconds: 1_700_000_000_000_000_000)
        _ = try await weftd(at: start).begin(method: "NetworkDriver.Leave", body: Array("{}".utf8))
        let later = try weftd(at: start + .seconds(seconds))
        #expect(await later.begin(method: "NetworkDriver.Leave", body: []) == nil)
        #expect(files.isEmpty)
    }
}
