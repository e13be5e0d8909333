internal import FoundationEssentials
internal import GRDB
internal import WeftModel

/// Seals secrets that lie in the store in the clear, and removes what is left of them in the file.
struct Sealing {
    let coding: ObjectCoding

    func perform(on queue: DatabaseQueue) throws {
        let isChanged = try queue.write { database in
            var rows: [Row] = []
            for type in coding.kinds.stored where type.hasSecrets {
                rows += try Row.fetchAll(
                    database, sql: "SELECT kind, id, version, body FROM object WHERE kind = ?", arguments: [type.kind.name])
            }
            let clear = try rows.filter { try isClear($0) }
            for row in clear {
                let object = try coding.decode(kind: row[0], id: row[1], version: row[2], body: row[3])
                try database.execute(
                    sql: "UPDATE object SET body = ? WHERE kind = ? AND id = ?",
                    arguments: [try coding.encode(object), row["kind"], row["id"]])
            }
            guard !clear.isEmpty else { return false }
            // History has them as well.
            try database.execute(sql: "DELETE FROM change")
            try database.execute(sql: "UPDATE revisions SET compacted = newest")
            return true
        }
        guard isChanged else { return }
        try queue.vacuum()
        try queue.writeWithoutTransaction { _ = try $0.checkpoint(.truncate) }
    }

    /// Read without the seal, sealed secrets are other texts.
    private func isClear(_ row: Row) throws -> Bool {
        let body: Data = row["body"]
        let raw = try ObjectCoding(seal: nil, kinds: coding.kinds).decode(kind: row[0], id: row[1], version: row[2], body: body)
        let opened = try coding.decode(kind: row[0], id: row[1], version: row[2], body: body)
        return raw == opened
    }
}
