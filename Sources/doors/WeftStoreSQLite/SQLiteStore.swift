// The store in an SQLite file, for a swarm with one manager. Returns from a commit once it is on the disk. Secrets are sealed by the
// coder that it is given, so that a file alone opens nothing.
internal import FoundationEssentials
internal import GRDB
package import WeftModel
internal import WeftStore

/// The store of a swarm with one manager: an SQLite file, durable on every commit (WAL, synchronous=FULL).
package final class SQLiteStore: Store {
    let queue: DatabaseQueue
    /// How many revisions a watch may lag behind.
    private let revisionsKept: Int64
    private let coding: ObjectCoding

    /// Opens the file at `path`, or makes it with its directory; both for the owner only, for it holds the CA's key.
    /// With a seal, secrets are written with it, those included that an earlier version left in the clear.
    /// A watch from longer than `revisionsKept` revisions ago is refused.
    package init(path: String, seal: SecretSeal? = nil, kinds: Kinds = .all, revisionsKept: Int64 = 10_000) throws {
        self.revisionsKept = max(1, revisionsKept)
        coding = ObjectCoding(seal: seal, kinds: kinds)
        let files = FileManager.default
        if !files.fileExists(atPath: path) {
            let directory = path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(
                separator: "/")
            if !directory.isEmpty {
                try files.createDirectory(
                    atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            }
            // SQLite gives its -wal and -shm files the mode of the file itself.
            _ = files.createFile(atPath: path, contents: nil, attributes: [.posixPermissions: 0o600])
        }
        var configuration = Configuration()
        configuration.busyMode = .timeout(5)
        configuration.prepareDatabase { database in
            // Nothing is written for it where it is so already: a start must not need room on the disk.
            try database.execute(sql: "PRAGMA journal_mode = WAL")
            try database.execute(sql: "PRAGMA synchronous = FULL")
            keepLog(of: database)
        }
        queue = try DatabaseQueue(path: path, configuration: configuration)
        if try queue.read(Schema.migrator.hasBeenSuperseded) { throw StoreError.newerFormat(path: path) }
        if try !queue.read(Schema.migrator.hasCompletedMigrations) { try Schema.migrator.migrate(queue) }
        if seal != nil { try Sealing(coding: coding).perform(on: queue) }
    }

    /// Closes the file; further calls fail.
    package func close() throws { try emptyAndClose(queue) }

    package func snapshot() async throws -> StoreSnapshot {
        let coding = coding
        return try await queue.read { database in
            let rows = try Row.fetchCursor(database, sql: "SELECT kind, id, version, body FROM object")
            var objects: [StoredObject] = []
            while let row = try rows.next() {
                objects.append(try coding.decode(kind: row[0], id: row[1], version: row[2], body: row[3]))
            }
            objects.sort { $0.key < $1.key }
            return StoreSnapshot(revision: try Revisions.read(database).newest, objects: objects)
        }
    }

    @discardableResult
    package func commit(_ transaction: Transaction) async throws -> Version {
        let (keep, coding) = (revisionsKept, coding)
        return try await writing { database in
            try Commit(transaction: transaction, revisionsKept: keep, coding: coding).perform(in: database)
        }
    }

    private func writing<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        do { return try await queue.write(body) } catch let error as DatabaseError
            where [.SQLITE_FULL, .SQLITE_IOERR, .SQLITE_READONLY].contains(error.resultCode)
        {
            throw StoreError.notWritable(path: queue.path, reason: error.message ?? "\(error.resultCode)")
        }
    }

    package func watch(from revision: Version) -> any AsyncSequence<StoreCommit, any Error> & Sendable {
        SQLiteWatch(queue: queue, start: revision, coding: coding)
    }
}
