import FoundationEssentials
import Glibc
import Logging
import WeftAgent
import WeftJSON
import WeftLinux
import WeftModel

/// One file per attachment, in the run directory.
struct AttachmentFiles: AttachmentStore {
    let directory: String
    private let logger: Logger

    init(runDirectory: String, logger: Logger) {
        directory = "\(runDirectory)/attachments"
        self.logger = logger
    }

    func load() throws -> [AttachmentRecord] {
        guard FileSystem.exists(directory) else { return [] }
        return try FileSystem.list(directory).compactMap { name in
            let path = "\(directory)/\(name)"
            do { return try JSONText.decode(AttachmentRecord.self, from: FileSystem.read(path)) } catch {
                // A file that a crash left half named, or an older version wrote.
                logger.warning(
                    "the record of an attachment cannot be read: its endpoint goes as one without a record",
                    metadata: ["file": "\(path)", "error": "\(error)"])
                return nil
            }
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
