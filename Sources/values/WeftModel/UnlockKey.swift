import WeftText

/// What opens a locked manager's secrets: `SWMKEY-1-` and 32 bytes in base 64 without padding, as Docker writes it.
package enum UnlockKey {
    static let prefix = "SWMKEY-1-"
    package static let byteCount = 32

    package static func random(using generator: inout some RandomNumberGenerator) -> Secret {
        var bytes: [UInt8] = []
        while bytes.count < byteCount { bytes.append(UInt8.random(in: .min ... .max, using: &generator)) }
        return Secret(prefix + Base64.encoded(bytes, padded: false))
    }

    /// The bytes of a key's text; nil when it is none.
    package static func bytes(of key: Secret) -> [UInt8]? {
        guard key.exposed.hasPrefix(prefix) else { return nil }
        let bytes = Base64.decoded(unpadded: key.exposed.dropFirst(prefix.count))
        return bytes?.count == byteCount ? bytes : nil
    }
}
