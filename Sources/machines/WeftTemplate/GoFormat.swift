import WeftText

/// Values as text, as Go's `fmt` prints them.
enum GoFormat {
    /// `%v`.
    static func value(_ value: TemplateValue) -> String {
        switch value {
        case .null: "<nil>"
        case .bool(let flag): flag ? "true" : "false"
        case .int(let number): String(number)
        case .double(let number): shortest(number)
        case .string(let text): text
        case .array(let values): "[" + values.map { Self.value($0) }.joined(separator: " ") + "]"
        case .object(let object):
            switch object.kind {
            case .record: "{" + object.entries.map { Self.value($0.value) }.joined(separator: " ") + "}"
            case .map:
                "map[" + object.sortedEntries.map { "\($0.key):\(Self.value($0.value))" }.joined(separator: " ") + "]"
            }
        }
    }

    /// A space only between values of which neither is a string.
    static func print(_ values: [TemplateValue]) -> String {
        var result = ""
        for (position, value) in values.enumerated() {
            if position > 0, values[position - 1].string == nil, value.string == nil { result += " " }
            result += Self.value(value)
        }
        return result
    }

    static func println(_ values: [TemplateValue]) -> String {
        values.map { value($0) }.joined(separator: " ") + "\n"
    }

    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case "\u{7}": result += "\\a"
            case "\u{8}": result += "\\b"
            case "\u{b}": result += "\\v"
            case "\u{c}": result += "\\f"
            case _ where scalar.value < 0x20 || scalar.value == 0x7f:
                result += "\\x" + padded(String(scalar.value, radix: 16), to: 2, with: "0")
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    static func padded(_ text: String, to width: Int, with fill: Character, left: Bool = false) -> String {
        let missing = width - text.unicodeScalars.count
        guard missing > 0 else { return text }
        let filling = String(repeating: fill, count: missing)
        return left ? text + filling : filling + text
    }

    // MARK: Floating point

    /// `%g` and `%v`.
    static func shortest(_ number: Double, upper: Bool = false) -> String {
        ShortestNumber.text(number, plain: -4..<6, upper: upper)
    }

    /// `%f` with that many decimals, rounded from the exact binary value, ties to even.
    static func fixed(_ number: Double, decimals: Int) -> String {
        guard number.isFinite else { return ShortestNumber.nonFinite(number) }
        let (digits, point) = exactDigits(number.magnitude)
        let kept = rounded(digits, count: point + decimals)
        let shifted = kept.overflow ? point + 1 : point
        var text = kept.digits.map { String($0) }.joined()
        text = padded(text, to: max(decimals + 1, shifted + decimals), with: "0")
        let whole = text.prefix(text.count - decimals)
        let sign = number.sign == .minus ? "-" : ""
        return sign + whole + (decimals > 0 ? "." + text.suffix(decimals) : "")
    }

    /// `%e` with that many decimals.
    static func exponential(_ number: Double, decimals: Int, upper: Bool) -> String {
        guard number.isFinite else { return ShortestNumber.nonFinite(number) }
        var (digits, point) = exactDigits(number.magnitude)
        let zeros = digits.prefix { $0 == 0 }.count
        guard zeros < digits.count else {
            return "0" + (decimals > 0 ? "." + String(repeating: "0", count: decimals) : "") + "e+00"
        }
        digits.removeFirst(zeros)
        point -= zeros
        let kept = rounded(digits, count: decimals + 1)
        if kept.overflow { point += 1 }
        let text = kept.digits.prefix(decimals + 1).map { String($0) }.joined()
        return (number.sign == .minus ? "-" : "") + ShortestNumber.scientific(text, point - 1, upper: upper)
    }

    /// All decimal digits of a double (each double has finitely many), and how many of them stand before the point.
    private static func exactDigits(_ number: Double) -> (digits: [UInt8], point: Int) {
        guard number != 0 else { return ([0], 1) }
        let bits = Int(number.significandBitPattern) | (number.isNormal ? 1 << 52 : 0)
        var power = (number.isNormal ? Int(number.exponentBitPattern) - 1023 : -1022) - 52
        var digits = String(bits).utf8.reversed().map { $0 - 48 }
        func multiply(by factor: Int) {
            var carry = 0
            for index in digits.indices {
                let product = Int(digits[index]) * factor + carry
                digits[index] = UInt8(product % 10)
                carry = product / 10
            }
            while carry > 0 {
                digits.append(UInt8(carry % 10))
                carry /= 10
            }
        }
        var decimals = 0
        while power > 0 {
            multiply(by: 2)
            power -= 1
        }
        while power < 0 {
            // x / 2 = x · 5 / 10
            multiply(by: 5)
            decimals += 1
            power += 1
        }
        let result = Array(digits.reversed())
        return (result, result.count - decimals)
    }

    private static func rounded(_ digits: [UInt8], count: Int) -> (digits: [UInt8], overflow: Bool) {
        guard count >= 0 else { return ([], false) }
        guard count < digits.count else {
            return (digits + Array(repeating: 0, count: count - digits.count), false)
        }
        var kept = Array(digits.prefix(count))
        let rest = digits[count...]
        let tie = rest.first == 5 && rest.dropFirst().allSatisfy { $0 == 0 }
        let up = tie ? (kept.last ?? 0) % 2 == 1 : (rest.first ?? 0) >= 5
        guard up else { return (kept, false) }
        var index = kept.count - 1
        while index >= 0 {
            if kept[index] < 9 {
                kept[index] += 1
                return (kept, false)
            }
            kept[index] = 0
            index -= 1
        }
        return ([1] + kept, true)
    }
}
