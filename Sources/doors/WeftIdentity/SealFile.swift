internal import Crypto
internal import FoundationEssentials
internal import WeftFiles
package import WeftModel

/// Where a manager keeps its data key: as it is, or locked with the swarm's unlock key. Locking, unlocking and a new
/// unlock key replace this one small file and nothing else, so that a crash leaves the one state or the other.
package struct SealFile: Sendable {
    package enum Content: Sendable {
        case open(DataKey)
        case locked(LockedDataKey)
    }

    private struct Form: Codable {
        var version = 1
        var dataKey: Data?
        var salt: Data?
        var lockedDataKey: Data?
    }

    private let file: RecordFile<Form>

    package init(directory: String) { file = RecordFile(directory + "/seal.json") }

    /// Nil when there is none.
    package func load() throws -> Content? {
        guard let form = try file.load() else { return nil }
        if let key = form.dataKey { return .open(try DataKey(bytes: Array(key))) }
        guard let salt = form.salt, let sealed = form.lockedDataKey else {
            throw UnreadableRecord(path: file.path, reason: "there is no key in it")
        }
        return .locked(LockedDataKey(salt: Array(salt), sealed: Array(sealed)))
    }

    /// Writes the key durably, locked if there is an unlock key.
    package func save(_ key: DataKey, lockedBy unlockKey: Secret?) throws {
        var form = Form()
        if let unlockKey {
            let locked = try LockedDataKey(key, by: unlockKey)
            form.salt = Data(locked.salt)
            form.lockedDataKey = Data(locked.sealed)
        } else {
            form.dataKey = Data(key.bytes)
        }
        try file.save(form)
    }
}

/// A data key that only the unlock key opens.
package struct LockedDataKey: Sendable {
    let salt: [UInt8]
    let sealed: [UInt8]
    private static let purpose = "data key"

    fileprivate init(salt: [UInt8], sealed: [UInt8]) {
        self.salt = salt
        self.sealed = sealed
    }

    fileprivate init(_ key: DataKey, by unlockKey: Secret) throws {
        salt = SymmetricKey(size: .bits256).withUnsafeBytes(Array.init)
        sealed = try Self.wrapping(unlockKey, salt: salt).seal(key.bytes, purpose: Self.purpose)
    }

    /// Throws `UnlockError` when it is not the key.
    package func open(with unlockKey: Secret) throws -> DataKey {
        let wrapping = try Self.wrapping(unlockKey, salt: salt)
        guard let bytes = try? wrapping.open(sealed, purpose: Self.purpose) else { throw UnlockError.wrongKey }
        return try DataKey(bytes: bytes)
    }

    /// HKDF (RFC 5869): the unlock key is random already, so it is stretched no further.
    private static func wrapping(_ unlockKey: Secret, salt: [UInt8]) throws -> DataKey {
        guard let bytes = UnlockKey.bytes(of: unlockKey) else { throw UnlockError.noKey }
        let key = HKDF<SHA256>.deriveKey(
            inputKeyMaterial: SymmetricKey(data: bytes), salt: salt, info: Array("weft unlock key".utf8),
            outputByteCount: 32)
        return try DataKey(bytes: key.withUnsafeBytes(Array.init))
    }
}

package enum UnlockError: Error, Hashable {
    /// The text is no unlock key.
    case noKey
    case wrongKey
}
