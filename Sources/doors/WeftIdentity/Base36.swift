/// Numbers in base 36 as Docker's join tokens have them.
enum Base36 {
    private static let alphabet = Array("0123456789abcdefghijklmnopqrstuvwxyz".utf8)

    /// The big-endian number in `bytes`, padded with zeros to `count` digits; longer if it does not fit.
    static func encode(_ bytes: some Sequence<UInt8>, count: Int) -> String {
        var number = Array(bytes)
        var digits: [UInt8] = []
        while number.contains(where: { $0 != 0 }) {
            var remainder = 0
            for index in number.indices {
                let value = remainder << 8 | Int(number[index])
                number[index] = UInt8(value / 36)
                remainder = value % 36
            }
            digits.append(alphabet[remainder])
        }
        while digits.count < count { digits.append(alphabet[0]) }
        return String(decoding: digits.reversed(), as: UTF8.self)
    }

    static func isDigits(_ text: Substring) -> Bool { text.utf8.allSatisfy(alphabet.contains) }
}
