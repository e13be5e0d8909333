package import WeftLinux

/// Records in a folder that comes with the first of them, each in a file that its owner names.
package struct RecordFolder<Record: Codable>: Sendable {
    package let path: String
    private let survives: Survival

    package init(_ path: String, survives: Survival = .host) {
        self.path = path
        self.survives = survives
    }

    /// All records, by their files' names; `unreadable` is told of files that hold none, which stay.
    package func load(unreadable: (UnreadableRecord) -> Void) throws -> [Record] {
        guard FileSystem.exists(path) else { return [] }
        return try FileSystem.list(path).filter { !FileSystem.isUnfinished($0) }.compactMap { name in
            do { return try file(name).load() } catch let error as UnreadableRecord {
                unreadable(error)
                return nil
            }
        }
    }

    package func save(_ record: Record, as name: String) throws {
        try FileSystem.makeDirectory(path, mode: 0o700)
        try file(name).save(record)
    }

    /// Nothing there is fine.
    package func remove(_ name: String) throws { try FileSystem.removeTree("\(path)/\(name)") }

    /// The folder goes with them.
    package func removeAll() throws { try FileSystem.removeTree(path) }

    private func file(_ name: String) -> RecordFile<Record> { RecordFile("\(path)/\(name)", survives: survives) }
}
