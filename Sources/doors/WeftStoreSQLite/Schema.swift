internal import GRDB
internal import WeftModel

/// The tables, and how they came about.
enum Schema {
    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1 objects and changes") { database in
            try database.execute(
                sql: """
                    CREATE TABLE object (
                        kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, body BLOB NOT NULL,
                        PRIMARY KEY (kind, id)
                    ) WITHOUT ROWID;
                    -- A change without a body is a deletion.
                    CREATE TABLE change (
                        revision INTEGER NOT NULL, position INTEGER NOT NULL,
                        kind TEXT NOT NULL, id TEXT NOT NULL, body BLOB,
                        PRIMARY KEY (revision, position)
                    ) WITHOUT ROWID;
                    -- Changes up to `compacted` are forgotten.
                    CREATE TABLE revisions (
                        one INTEGER PRIMARY KEY CHECK (one = 1), newest INTEGER NOT NULL, compacted INTEGER NOT NULL
                    );
                    INSERT INTO revisions VALUES (1, 0, 0);
                    """)
        }
        return migrator
    }
}

/// Where the store's history begins and ends.
struct Revisions: Sendable {
    let newest: Version
    let compacted: Version

    static func read(_ database: Database) throws -> Revisions {
        let row = try Row.fetchOne(database, sql: "SELECT newest, compacted FROM revisions")
        guard let row else { throw DatabaseError(message: "the table of revisions is empty") }
        return Revisions(newest: Version(row[0]), compacted: Version(row[1]))
    }
}
