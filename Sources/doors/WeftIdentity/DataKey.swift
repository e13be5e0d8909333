internal import Crypto
internal import FoundationEssentials
package import WeftModel

/// What a manager's secrets are sealed with wherever they lie (AES-256-GCM).
package struct DataKey: Sendable {
    private static let prefix = "sealed:1:"
    private let key: SymmetricKey

    /// Makes a new key.
    package init() { key = SymmetricKey(size: .bits256) }

    init(bytes: [UInt8]) throws {
        guard bytes.count == 32 else { throw IdentityError.unreadable(what: "data key", reason: "its length is wrong") }
        key = SymmetricKey(data: bytes)
    }

    var bytes: [UInt8] { key.withUnsafeBytes(Array.init) }

    /// `purpose` keeps what was sealed for one place from being put into another.
    func seal(_ bytes: [UInt8], purpose: String) throws -> [UInt8] {
        let box = try AES.GCM.seal(bytes, using: key, authenticating: Array(purpose.utf8))
        guard let combined = box.combined else { throw IdentityError.unreadable(what: "nonce", reason: "odd length") }
        return Array(combined)
    }

    func open(_ bytes: [UInt8], purpose: String) throws -> [UInt8] {
        do {
            return Array(
                try AES.GCM.open(AES.GCM.SealedBox(combined: bytes), using: key, authenticating: Array(purpose.utf8)))
        } catch {
            throw IdentityError.unreadable(what: "sealed \(purpose)", reason: "it was sealed with another key")
        }
    }

    /// Seals the secrets of the store.
    package var secretSeal: SecretSeal {
        let purpose = "secret"
        return SecretSeal(
            seal: { text in
                Self.prefix + Data(try seal(Array(text.utf8), purpose: purpose)).base64EncodedString()
            },
            open: { text in
                guard text.hasPrefix(Self.prefix) else { return text }
                guard let data = Data(base64Encoded: String(text.dropFirst(Self.prefix.count))) else {
                    throw IdentityError.unreadable(what: "sealed \(purpose)", reason: "it is not base 64")
                }
                return String(decoding: try open(Array(data), purpose: purpose), as: UTF8.self)
            })
    }
}
