package import WeftModel

/// Why a store did not do what it was asked.
package enum StoreError: Error, Hashable, CustomStringConvertible {
    /// The object's version is not the expected one; `.none` on either side: no such object. Read again and retry.
    case conflict(StoreKey, expected: Version, found: Version)
    /// The transaction was worked out at `base`, and the store is at another revision. Catch up and work it out anew.
    case outdated(base: Version, newest: Version)
    /// The transaction writes one object twice.
    case duplicateKey(StoreKey)
    /// Commits up to `oldest` are forgotten.
    case compacted(requested: Version, oldest: Version)
    /// The revision lies ahead of the store, so it comes from another one.
    case unknownRevision(requested: Version, newest: Version)
    /// An object of a kind that this version does not know, so that a newer one wrote it.
    case unknownKind(StoreKey)
    /// What is stored under the key cannot be read.
    case corrupt(StoreKey, reason: String)
    /// The disk takes nothing. Nothing was changed.
    case notWritable(path: String, reason: String)
    /// The file was written by a newer version of Weft.
    case newerFormat(path: String)

    package var description: String {
        switch self {
        case .conflict(let key, let expected, let found) where found == .none:
            "\(key) is gone from the store, version \(expected) was expected; read it again and retry"
        case .conflict(let key, let expected, let found) where expected == .none:
            "\(key) is in the store already, at version \(found)"
        case .conflict(let key, let expected, let found):
            "\(key) is at version \(found), not \(expected); read it again and retry"
        case .outdated(let base, let newest):
            "the change was worked out at revision \(base), and the store is at \(newest); read it again and retry"
        case .duplicateKey(let key):
            "the transaction writes \(key) more than once"
        case .compacted(let requested, let oldest):
            "the changes after revision \(requested) are kept no longer, only those after \(oldest): take a snapshot"
        case .unknownRevision(let requested, let newest):
            "revision \(requested) is ahead of the store's newest, \(newest): take a snapshot"
        case .unknownKind(let key):
            "the store holds \(key), of a kind that this version of Weft does not know: start the version that wrote it"
        case .corrupt(let key, let reason):
            "\(key) in the store cannot be read: \(reason)"
        case .notWritable(let path, let reason):
            "\(path) cannot be written (\(reason)); nothing was changed: make room on its file system and try again"
        case .newerFormat(let path):
            "\(path) was written by a newer version of Weft; start that version, or restore a backup"
        }
    }
}
