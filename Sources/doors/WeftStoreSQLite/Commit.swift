internal import FoundationEssentials
internal import GRDB
internal import WeftModel
internal import WeftStore

/// Carries out one transaction inside a write transaction of SQLite, which an error rolls back.
struct Commit: Sendable {
    let transaction: Transaction
    let revisionsKept: Int64
    let coding: ObjectCoding

    func perform(in database: Database) throws -> Version {
        let revisions = try Revisions.read(database)
        if let base = transaction.base, base != revisions.newest {
            throw StoreError.outdated(base: base, newest: revisions.newest)
        }
        guard !transaction.writes.isEmpty else { return revisions.newest }
        let revision = Version(revisions.newest.index + 1)
        var seen: Set<StoreKey> = []
        var position = 0
        for write in transaction.writes {
            guard seen.insert(write.key).inserted else { throw StoreError.duplicateKey(write.key) }
            guard let body = try apply(write, at: revision, in: database) else { continue }
            try database.cachedStatement(sql: "INSERT INTO change VALUES (?, ?, ?, ?, ?)").execute(
                arguments: [revision.index, position, write.key.kind.name, write.key.id, body.encoded])
            position += 1
        }
        guard position > 0 else { return revisions.newest }
        let compacted = max(revisions.compacted.index, revision.index - revisionsKept)
        if compacted > revisions.compacted.index {
            try database.cachedStatement(sql: "DELETE FROM change WHERE revision <= ?").execute(arguments: [compacted])
        }
        try database.cachedStatement(sql: "UPDATE revisions SET newest = ?, compacted = ?").execute(
            arguments: [revision.index, compacted])
        return revision
    }

    private enum Body {
        case put(Data)
        case deleted

        var encoded: Data? { if case .put(let data) = self { data } else { nil } }
    }

    /// Nil when there was nothing to do.
    private func apply(_ write: StoreWrite, at revision: Version, in database: Database) throws -> Body? {
        let key = write.key
        let found = try Int64.fetchOne(
            database.cachedStatement(sql: "SELECT version FROM object WHERE kind = ? AND id = ?"),
            arguments: [key.kind.name, key.id]
        ).map { Version($0) }
        switch write {
        case .put(var object, let expected):
            guard expected == found ?? .none else {
                throw StoreError.conflict(key, expected: expected, found: found ?? .none)
            }
            object.version = revision
            let body = try coding.encode(object)
            try database.cachedStatement(sql: "INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?)").execute(
                arguments: [key.kind.name, key.id, revision.index, body])
            return .put(body)
        case .delete(_, let expected):
            if let expected, expected != found ?? .none {
                throw StoreError.conflict(key, expected: expected, found: found ?? .none)
            }
            guard found != nil else { return nil }
            try database.cachedStatement(sql: "DELETE FROM object WHERE kind = ? AND id = ?").execute(
                arguments: [key.kind.name, key.id])
            return .deleted
        }
    }
}
