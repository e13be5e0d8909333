import Foundation
import GRDB
import Testing
import WeftModel
import WeftNet
import WeftStore
import WeftStoreSQLite

/// A store in a directory of its own, removed with it.
private final class Scratch {
    let directory = FileManager.default.temporaryDirectory.appending(path: "weft-store-\(UUID().uuidString)").path
    var path: String { directory + "/state/store.sqlite" }

    func open(seal: SecretSeal? = nil, kinds: Kinds = .all, revisionsKept: Int64 = 10_000) throws -> SQLiteStore {
        try SQLiteStore(path: path, seal: seal, kinds: kinds, revisionsKept: revisionsKept)
    }

    /// Everything in the database's files, as if it were text.
    func bytes() throws -> String {
        try ["", "-wal"].reduce("") { text, suffix in
            guard FileManager.default.fileExists(atPath: path + suffix) else { return text }
            return text + String(decoding: try Data(contentsOf: URL(filePath: path + suffix)), as: UTF8.self)
        }
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }
}

private func node(_ id: String, hostname: String = "h") -> StoredObject {
    var node = Node(id: NodeID(id), createdAt: Instant(nanoseconds: 1), spec: NodeSpec(role: .worker))
    node.description = NodeDescription(
        hostname: hostname, architecture: "x86_64", nanoCPUs: 1, memoryBytes: 2, weftVersion: "0")
    return StoredObject(node)
}

private func put(_ object: StoredObject, expecting: Version = .none) -> Transaction {
    Transaction([.put(object, expecting: expecting)])
}

@Suite("The SQLite store") struct SQLiteStoreTests {
    @Test("refuses a transaction that was worked out before another commit, and changes nothing")
    func outdated() async throws {
        let store = try Scratch().open()
        try await store.commit(put(node("n1")))
        await #expect(throws: StoreError.outdated(base: .none, newest: Version(1))) {
            try await store.commit(Transaction([.put(node("n2"), expecting: .none)], base: Version.none))
        }
        #expect(try await store.snapshot().objects.count == 1)
        let revision = try await store.commit(Transaction([.put(node("n2"), expecting: .none)], base: Version(1)))
        #expect(revision == Version(2))
    }

    @Test("stamps every object with the revision of its commit and reads all kinds back")
    func allKinds() async throws {
        let scratch = Scratch()
        let store = try scratch.open()
        let prefix = try #require(IPv4Prefix("10.1.0.0/24"))
        let vni = try #require(VNI(4096))
        let gateway = try #require(IPv4Address("10.1.0.1"))
        let objects: [StoredObject] = [
            StoredObject(
                Cluster(
                    id: ClusterID("c"), createdAt: Instant(nanoseconds: 5), spec: ClusterSpec(),
                    rootCertificatePEM: "P",
                    workerTokenSecret: Secret("w"), managerTokenSecret: Secret("m"))),
            StoredObject(AuthorityKey(id: ClusterID("c"), privateKeyPEM: Secret("key"))),
            node("n"),
            StoredObject(
                Network(
                    id: NetworkID("net"), createdAt: Instant(nanoseconds: 5), spec: NetworkSpec(name: "my_net"),
                    vni: vni,
                    subnet: prefix, gateway: gateway)),
            StoredObject(AddressLease(network: NetworkID("net"), block: .v4(prefix), node: NodeID("n"))),
            StoredObject(
                Endpoint(
                    id: EndpointID("e"), network: NetworkID("net"), node: NodeID("n"), sandbox: SandboxID("s"),
                    ipv4: gateway, mac: MACAddress(forIPv4: gateway), name: "a1", aliases: ["x"])),
        ]
        let revision = try await store.commit(Transaction(objects.map { .put($0, expecting: .none) }))
        #expect(revision == Version(1))
        let snapshot = try await store.snapshot()
        #expect(snapshot.revision == revision)
        let expected = objects.map { object in
            var object = object
            object.version = revision
            return object
        }
        #expect(snapshot.objects == expected)
        guard let key = snapshot.objects[1].as(AuthorityKey.self) else {
            Issue.record("the authority is not second")
            return
        }
        #expect(key.privateKeyPEM.exposed == "key")
    }

    @Test("seals secrets, and those that an earlier version left in the clear")
    func sealing() async throws {
        let scratch = Scratch()
        let seal = SecretSeal(
            seal: { "sealed:" + String($0.reversed()) },
            open: { $0.hasPrefix("sealed:") ? String($0.dropFirst(7).reversed()) : $0 })
        let key = AuthorityKey(id: ClusterID("c"), privateKeyPEM: Secret("very secret"))
        let clear = try scratch.open()
        try await clear.commit(put(StoredObject(key)))
        try clear.close()
        #expect(try scratch.bytes().contains("very secret"))

        let store = try scratch.open(seal: seal)
        #expect(try !scratch.bytes().contains("very secret") && scratch.bytes().contains("terces yrev"))
        guard var found = try await store.snapshot().objects.first?.as(AuthorityKey.self) else {
            Issue.record("no authority")
            return
        }
        #expect(found.privateKeyPEM.exposed == "very secret" && found.version == Version(1))
        found.nextPrivateKeyPEM = Secret("the other one")
        try await store.commit(put(StoredObject(found), expecting: Version(1)))
        for try await commit in store.watch(from: Version(1)) {
            guard case .put(let object)? = commit.changes.first, let told = object.as(AuthorityKey.self) else { break }
            #expect(told.nextPrivateKeyPEM?.exposed == "the other one")
            break
        }
        try store.close()
        #expect(try !scratch.bytes().contains("the other one"))
    }

    @Test("seals credentials for registries, of services and of their tasks")
    func sealsCredentials() async throws {
        let scratch = Scratch()
        let seal = SecretSeal(
            seal: { "sealed:" + String($0.reversed()) },
            open: { $0.hasPrefix("sealed:") ? String($0.dropFirst(7).reversed()) : $0 })
        let start = Instant(nanoseconds: 0)
        var spec = ServiceSpec(name: "web", task: TaskSpec(container: ContainerSpec(image: "app")))
        spec.task.container.registryCredentials = Secret("former hush")
        var service = Service(id: ServiceID("s"), createdAt: start, spec: spec)
        service.previousSpec = spec
        service.spec.task.container.registryCredentials = Secret("hush of today")
        let task = ServiceTask(
            id: TaskID("t"), createdAt: start, of: service, slot: 1, node: nil, desiredState: .running,
            status: TaskStatus(state: .new, at: start, message: ""))
        let clear = try scratch.open()
        try await clear.commit(Transaction([.put(StoredObject(service), expecting: .none), .put(StoredObject(task), expecting: .none)]))
        try clear.close()
        #expect(try scratch.bytes().contains("hush of today"))
        let store = try scratch.open(seal: seal)
        let found = try await store.snapshot().objects
        #expect(found.compactMap { $0.as(Service.self) }.first?.spec == service.spec)
        #expect(found.compactMap { $0.as(ServiceTask.self) }.first?.spec == task.spec)
        try store.close()
        #expect(try !scratch.bytes().contains("hush of today") && !scratch.bytes().contains("former hush"))
    }

    @Test("refuses a write whose guard does not hold, and then changes nothing")
    func guards() async throws {
        let scratch = Scratch()
        let store = try scratch.open()
        try await store.commit(put(node("a")))
        let key = Node.key(NodeID("a"))

        await #expect(throws: StoreError.conflict(key, expected: .none, found: Version(1))) {
            try await store.commit(Transaction([.put(node("b"), expecting: .none), .put(node("a"), expecting: .none)]))
        }
        await #expect(throws: StoreError.conflict(key, expected: Version(7), found: Version(1))) {
            try await store.commit(put(node("a"), expecting: Version(7)))
        }
        await #expect(throws: StoreError.conflict(key, expected: Version(7), found: Version(1))) {
            try await store.commit(Transaction([.delete(key, expecting: Version(7))]))
        }
        let missing = Node.key(NodeID("zz"))
        await #expect(throws: StoreError.conflict(missing, expected: Version(3), found: .none)) {
            try await store.commit(Transaction([.delete(missing, expecting: Version(3))]))
        }
        await #expect(throws: StoreError.duplicateKey(key)) {
            try await store.commit(
                Transaction([.put(node("a"), expecting: Version(1)), .delete(key, expecting: nil)]))
        }
        let snapshot = try await store.snapshot()
        #expect(snapshot.revision == Version(1))
        #expect(snapshot.objects.map(\.key) == [key])

        let second = try await store.commit(put(node("a", hostname: "renamed"), expecting: Version(1)))
        #expect(second == Version(2))
        #expect(try await store.commit(Transaction()) == second)
        #expect(try await store.commit(Transaction([.delete(missing, expecting: nil)])) == second)
    }

    @Test("gives a watch every commit after its revision, in order, deletions among them")
    func watchOrder() async throws {
        let scratch = Scratch()
        let store = try scratch.open()
        try await store.commit(put(node("before")))
        let start = try await store.snapshot().revision
        try await store.commit(Transaction([.put(node("a"), expecting: .none), .put(node("b"), expecting: .none)]))
        let watcher = Task {
            var seen: [StoreCommit] = []
            for try await commit in store.watch(from: start) {
                seen.append(commit)
                if seen.count == 41 { break }
            }
            return seen
        }
        // More than one batch, so that the watch has to page.
        for index in 0..<39 {
            try await store.commit(
                Transaction((0..<20).map { .put(node("n\(index)-\($0)"), expecting: .none) }))
        }
        let last = try await store.commit(Transaction([.delete(Node.key(NodeID("a")), expecting: Version(2))]))
        let seen = try await watcher.value
        #expect(seen.map(\.revision.index) == Array(2...last.index))
        #expect(seen[0].changes.map(\.key.id) == ["a", "b"])
        #expect(seen[40].changes == [.delete(Node.key(NodeID("a")))])
        guard case .put(let object) = seen[5].changes.first else {
            Issue.record("no put")
            return
        }
        #expect(object.version == seen[5].revision)
    }

    @Test("tells a watch that starts too early or in the future to take a snapshot")
    func compaction() async throws {
        let scratch = Scratch()
        let store = try scratch.open(revisionsKept: 5)
        for index in 0..<12 { try await store.commit(put(node("n\(index)"))) }
        await #expect(throws: StoreError.compacted(requested: Version(6), oldest: Version(7))) {
            for try await _ in store.watch(from: Version(6)) { break }
        }
        await #expect(throws: StoreError.unknownRevision(requested: Version(13), newest: Version(12))) {
            for try await _ in store.watch(from: Version(13)) { break }
        }
        for try await commit in store.watch(from: Version(7)) {
            #expect(commit.revision == Version(8))
            break
        }
    }

    @Test("keeps everything over a reopening without a close, in a file for its owner only")
    func reopen() async throws {
        let scratch = Scratch()
        let first = try scratch.open()
        for index in 0..<20 { try await first.commit(put(node("n\(index)"))) }
        let before = try await first.snapshot()

        let second = try scratch.open()
        #expect(try await second.snapshot() == before)
        #expect(try await second.commit(put(node("more"))) == Version(21))
        let mode = try FileManager.default.attributesOfItem(atPath: scratch.path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        let wal = try FileManager.default.attributesOfItem(atPath: scratch.path + "-wal")[.posixPermissions] as? Int
        #expect(wal == 0o600)
    }

    @Test("lets exactly one of many concurrent writers of a version through")
    func concurrentWriters() async throws {
        let scratch = Scratch()
        let store = try scratch.open()
        try await store.commit(put(node("a")))
        let won = await withTaskGroup(of: Bool.self) { group in
            for index in 0..<20 {
                group.addTask {
                    do {
                        try await store.commit(put(node("a", hostname: "h\(index)"), expecting: Version(1)))
                        return true
                    } catch { return false }
                }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(won == 1)
        try await withThrowingTaskGroup { group in
            for index in 0..<50 { group.addTask { _ = try await store.commit(put(node("x\(index)"))) } }
            try await group.waitForAll()
        }
        let snapshot = try await store.snapshot()
        #expect(snapshot.revision == Version(52))
        #expect(Set(snapshot.objects.map(\.version)).count == 51)
    }

    private struct Gadget: StoredValue {
        static let kind = StoreKind("gadget", rank: 1000)
        typealias Assigned = Untold
        let id: NodeID
        var version = Version.none
        var secret: Secret
        static let hasSecrets = true
    }

    @Test("says of an object of an unknown kind what it is, and leaves it where it is")
    func unknownKind() async throws {
        let scratch = Scratch()
        let newer = Kinds(Kinds.all.stored + [Gadget.self])
        let key = Gadget.key(NodeID("g"))
        let store = try scratch.open(kinds: newer)
        try await store.commit(put(StoredObject(Gadget(id: NodeID("g"), secret: Secret("hush")))))
        try await store.commit(Transaction([.delete(key, expecting: Version(1))]))
        try await store.commit(put(StoredObject(Gadget(id: NodeID("g"), secret: Secret("hush")))))
        try store.close()

        let older = try scratch.open()
        await #expect(throws: StoreError.unknownKind(key)) { try await older.snapshot() }
        for revision in [Version(0), Version(1)] {
            await #expect(throws: StoreError.unknownKind(key)) { for try await _ in older.watch(from: revision) { break } }
        }
        try older.close()
        let seal = SecretSeal(seal: { "sealed:\($0)" }, open: { $0.hasPrefix("sealed:") ? String($0.dropFirst(7)) : $0 })
        let again = try scratch.open(seal: seal, kinds: newer)
        let found = try await again.snapshot().objects.first?.as(Gadget.self)
        #expect(found?.secret.exposed == "hush" && found?.version == Version(3))
        #expect(try scratch.bytes().contains("sealed:hush"))
    }

    @Test("refuses a file of a newer format")
    func newerFormat() async throws {
        let scratch = Scratch()
        try scratch.open().close()
        let database = try DatabaseQueue(path: scratch.path)
        try await database.write { try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('9999 from the future')") }
        try database.close()
        #expect(throws: StoreError.newerFormat(path: scratch.path)) { try scratch.open() }
    }
}
