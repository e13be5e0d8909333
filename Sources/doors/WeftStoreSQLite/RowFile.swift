internal import FoundationEssentials
internal import GRDB
internal import GRDBSQLite
package import WeftLinux

/// What one daemon must know again after a restart: bodies under a kind and an id, in an SQLite file. A write costs what
/// it writes, however much there is, and is durable when it returns.
package final class RowFile: Sendable {
    private let queue: DatabaseQueue

    /// A step from one content to the next.
    package struct Change: Sendable {
        fileprivate var cleared: [String] = []
        fileprivate var puts: [(kind: String, id: String, body: [UInt8])] = []
        fileprivate var removals: [(kind: String, id: String)] = []

        package init() {}

        /// Removes all rows of a kind, before anything is put.
        package mutating func clear(_ kind: String) { cleared.append(kind) }
        package mutating func put(_ kind: String, _ id: String, _ body: [UInt8]) { puts.append((kind, id, body)) }
        package mutating func remove(_ kind: String, _ id: String) { removals.append((kind, id)) }
    }

    /// Opens the file at `path`, or makes it, for the owner only.
    package init(path: String) throws {
        let files = FileManager.default
        if !files.fileExists(atPath: path) {
            _ = files.createFile(atPath: path, contents: nil, attributes: [.posixPermissions: 0o600])
        }
        var configuration = Configuration()
        configuration.busyMode = .timeout(5)
        configuration.prepareDatabase { database in
            // Nothing is written for it where it is so already: a start must not need room on the disk.
            try database.execute(sql: "PRAGMA journal_mode = WAL")
            keepLog(of: database)
            try database.execute(sql: "PRAGMA synchronous = FULL")
            // It is read once, at the start; what is written is written and done with. In KB.
            try database.execute(sql: "PRAGMA cache_size = -256")
        }
        queue = try DatabaseQueue(path: path, configuration: configuration)
        if try queue.read({ try $0.tableExists("row") }) { return }
        try queue.write { database in
            try database.execute(
                sql: """
                    CREATE TABLE IF NOT EXISTS row (
                        kind TEXT NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (kind, id)
                    ) WITHOUT ROWID
                    """)
        }
    }

    /// Whether what a call threw says that the file's content is not what it should be, so that trying again is of no use.
    package static func isDamage(_ error: any Error) -> Bool {
        guard let error = error as? DatabaseError else { return false }
        return [.SQLITE_CORRUPT, .SQLITE_NOTADB, .SQLITE_ERROR, .SQLITE_SCHEMA, .SQLITE_MISMATCH].contains(error.resultCode)
    }

    /// The bodies of a kind, in the order of their ids.
    package func bodies(_ kind: String) throws -> [[UInt8]] {
        try queue.read { database in
            try Data.fetchAll(database, sql: "SELECT body FROM row WHERE kind = ? ORDER BY id", arguments: [kind])
                .map { [UInt8]($0) }
        }
    }

    /// All of it, or on an error nothing.
    ///
    /// - Parameter survives: what it must survive as soon as this returns. Whatever comes later survives no more than what came before.
    package func write(_ change: Change, survives: Survival = .host) throws {
        do { try perform(change, survives) } catch let error as DatabaseError {
            // Without the statement, which says nothing to a user.
            throw DatabaseError(resultCode: error.resultCode, message: error.message)
        }
    }

    private func perform(_ change: Change, _ survives: Survival) throws {
        guard survives == .process else { return try queue.write { try Self.perform(change, in: $0) } }
        try queue.writeWithoutTransaction { database in
            // Not to be set within a transaction.
            try database.execute(sql: "PRAGMA synchronous = NORMAL")
            defer { try? database.execute(sql: "PRAGMA synchronous = FULL") }
            try database.inTransaction {
                try Self.perform(change, in: database)
                return .commit
            }
        }
    }

    private static func perform(_ change: Change, in database: Database) throws {
        for kind in change.cleared {
            try database.cachedStatement(sql: "DELETE FROM row WHERE kind = ?").execute(arguments: [kind])
        }
        for row in change.puts {
            try database.cachedStatement(sql: "INSERT OR REPLACE INTO row VALUES (?, ?, ?)").execute(
                arguments: [row.kind, row.id, Data(row.body)])
        }
        for row in change.removals {
            try database.cachedStatement(sql: "DELETE FROM row WHERE kind = ? AND id = ?").execute(
                arguments: [row.kind, row.id])
        }
    }

    /// Closes the file; further calls fail.
    package func close() throws { try emptyAndClose(queue) }
}

/// Leaves the log and its index where they are when the file is closed: to open it again then needs no room on the disk.
func keepLog(of database: Database) {
    guard let connection = database.sqliteConnection else { return }
    var isKept: Int32 = 1
    _ = sqlite3_file_control(connection, nil, SQLITE_FCNTL_PERSIST_WAL, &isKept)
}

/// Closes a file with all of the log in it: a copy of the one file is whole, and an older copy put in its place is not overlaid.
func emptyAndClose(_ queue: DatabaseQueue) throws {
    try? queue.writeWithoutTransaction { _ = try $0.checkpoint(.truncate) }
    try queue.close()
}
