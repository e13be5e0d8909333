import Glibc
import Logging
import WeftAgent
import WeftFiles
import WeftLinux
import WeftModel

/// One file per attachment, in the run directory.
struct AttachmentFiles: AttachmentStore {
    private let folder: RecordFolder<AttachmentRecord>
    private let logger: Logger

    init(runDirectory: String, logger: Logger) {
        folder = RecordFolder("\(runDirectory)/attachments")
        self.logger = logger
    }

    func load() throws -> [AttachmentRecord] {
        try folder.load { error in
            // An older version wrote it, perhaps.
            logger.warning(
                "the record of an attachment cannot be read: its endpoint goes as one without a record",
                metadata: ["error": "\(error)"])
        }
    }

    func save(_ record: AttachmentRecord) throws { try folder.save(record, as: Self.name(record)) }

    func remove(_ record: AttachmentRecord) throws { try folder.remove(Self.name(record)) }

    func namespace(at path: String) throws -> UInt64? {
        do {
            return try NetworkNamespace(path: path).cookie()
        } catch let error as SystemError where error.isNotFound || error.code == EINVAL {
            // EINVAL: the mount is gone and the file below it is left.
            return nil
        }
    }

    /// Container ids hold no `@`, and neither holds a slash.
    private static func name(_ record: AttachmentRecord) -> String { "\(record.sandbox)@\(record.interface)" }
}
