import FoundationEssentials
import Glibc
import WeftAgent
import WeftJSON
import WeftLinux
import WeftModel

/// One file per attachment, in the run directory.
struct AttachmentFiles: AttachmentStore {
    let directory: String

    init(runDirectory: String) { directory = "\(runDirectory)/attachments" }

    func load() throws -> [AttachmentRecord] {
        guard FileSystem.exists(directory) else { return [] }
        return try FileSystem.list(directory).compactMap { name in
            // A file that a crash left half named, or an older version wrote: its endpoint goes as one without a record.
            guard let bytes = try? FileSystem.read("\(directory)/\(name)") else { return nil }
            return try? JSONText.decode(AttachmentRecord.self, from: bytes)
        }
    }

    func save(_ record: AttachmentRecord) throws {
        try FileSystem.makeDirectory(directory, mode: 0o700)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        try FileSystem.writeAtomically([UInt8](try encoder.encode(record)), to: path(record))
    }

    func remove(_ record: AttachmentRecord) throws { try FileSystem.removeTree(path(record)) }

    func namespace(at path: String) throws -> UInt64? {
        do {
            return try NetworkNamespace(path: path).cookie()
        } catch let error as SystemError where error.isNotFound || error.code == EINVAL {
            // EINVAL: the mount is gone and the file below it is left.
            return nil
        }
    }

    /// Container ids hold no `@`, and neither holds a slash.
    private func path(_ record: AttachmentRecord) -> String { "\(directory)/\(record.sandbox)@\(record.interface)" }
}
