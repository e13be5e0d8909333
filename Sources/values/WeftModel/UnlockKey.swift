/// What opens a locked manager's secrets: `SWMKEY-1-` and 32 bytes in base 64 without padding, as Docker writes it.
package enum UnlockKey {
    static let prefix = "SWMKEY-1-"
    package static let byteCount = 32

    package static func random(using generator: inout some RandomNumberGenerator) -> Secret {
        var bytes: [UInt8] = []
        while bytes.count < byteCount { bytes.append(UInt8.random(in: .min ... .max, using: &generator)) }
        return text(bytes)
    }

    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    private static func text(_ bytes: [UInt8]) -> Secret {
        var digits: [UInt8] = []
        var bits = 0
        var count = 0
        for byte in bytes {
            bits = bits << 8 | Int(byte)
            count += 8
            while count >= 6 {
                count -= 6
                digits.append(alphabet[bits >> count & 63])
            }
            bits &= 1 << count - 1
        }
        if count > 0 { digits.append(alphabet[bits << (6 - count) & 63]) }
        return Secret(prefix + String(decoding: digits, as: UTF8.self))
    }

    /// The bytes of a key's text; nil when it is none.
    package static func bytes(of key: Secret) -> [UInt8]? {
        guard key.exposed.hasPrefix(prefix) else { return nil }
        var bytes: [UInt8] = []
        var bits = 0
        var count = 0
        for digit in key.exposed.utf8.dropFirst(prefix.utf8.count) {
            guard let value = alphabet.firstIndex(of: digit) else { return nil }
            bits = bits << 6 | value
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(bits >> count & 255))
                bits &= 1 << count - 1
            }
        }
        return bytes.count == byteCount && bits == 0 ? bytes : nil
    }
}
