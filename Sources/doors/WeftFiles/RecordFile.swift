// Records of this daemon's own on disk, as JSON: one in a file, or a folder of them. A record is replaced as a whole, so
// that a reader has the former one or the new, and the disk after a crash as well where records are to survive that. What
// cannot be read is told from what is not there, and can be set aside. What the records mean is their owners' affair; how bytes get to the disk is WeftLinux's.
import FoundationEssentials
import WeftJSON
package import WeftLinux

/// One record in a file of its own, for the owner only.
package struct RecordFile<Record: Codable>: Sendable {
    package let path: String
    private let survives: Survival

    package init(_ path: String, survives: Survival = .host) {
        self.path = path
        self.survives = survives
    }

    /// Nil when there is no file; throws `UnreadableRecord` when it holds no such record.
    package func load() throws -> Record? {
        guard let bytes = try FileSystem.contents(path) else { return nil }
        do { return try JSONText.decode(Record.self, from: bytes) } catch {
            throw UnreadableRecord(path: path, reason: "\(error)")
        }
    }

    /// Survives what it is to survive when it returns; when it throws, the former record is there.
    package func save(_ record: Record) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        try FileSystem.writeAtomically([UInt8](try encoder.encode(record)), to: path, survives: survives)
    }

    /// Moves a file that is of no use out of the way.
    package func setAside() throws { try FileSystem.setAside(path) }
}

package struct UnreadableRecord: Error, Hashable, CustomStringConvertible {
    package let path: String
    package let reason: String

    package init(path: String, reason: String) {
        self.path = path
        self.reason = reason
    }

    package var description: String { "\(path) cannot be read (\(reason))" }
}
