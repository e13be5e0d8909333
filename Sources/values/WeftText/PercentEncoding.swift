extension StringProtocol {
    /// All but RFC 3986's unreserved characters percent-encoded, for a part of a path or of a query.
    package var percentEncoded: String {
        var output = ""
        for byte in utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e:
                output.unicodeScalars.append(UnicodeScalar(byte))
            default:
                let hex = String(byte, radix: 16, uppercase: true)
                output += "%" + (hex.utf8.count < 2 ? "0" : "") + hex
            }
        }
        return output
    }
}
