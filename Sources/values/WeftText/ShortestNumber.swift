/// The fewest decimal digits that read back as the same number, as Go writes them.
package enum ShortestNumber {
    /// With an exponent where the power of ten is not in `plain`: -4..<6 in Go's `%v`, -6..<21 in JSON.
    package static func text(_ number: Double, plain: Range<Int>, upper: Bool = false) -> String {
        guard number.isFinite else { return nonFinite(number) }
        let (digits, exponent) = digits(number.magnitude)
        let sign = number.sign == .minus ? "-" : ""
        if !plain.contains(exponent) { return sign + scientific(digits, exponent, upper: upper) }
        if exponent < 0 { return sign + "0." + String(repeating: "0", count: -exponent - 1) + digits }
        if digits.count <= exponent + 1 {
            return sign + digits + String(repeating: "0", count: exponent + 1 - digits.count)
        }
        return sign + digits.prefix(exponent + 1) + "." + digits.dropFirst(exponent + 1)
    }

    package static func nonFinite(_ number: Double) -> String {
        number.isNaN ? "NaN" : number < 0 ? "-Inf" : "+Inf"
    }

    /// `d.ddde±xx`.
    package static func scientific(_ digits: String, _ exponent: Int, upper: Bool) -> String {
        let mantissa = digits.count > 1 ? "\(digits.prefix(1)).\(digits.dropFirst())" : digits
        let power = String(exponent.magnitude)
        return mantissa + (upper ? "E" : "e") + (exponent < 0 ? "-" : "+") + (power.count < 2 ? "0" : "") + power
    }

    /// Digits without leading and trailing zeros, and the power of ten of the first.
    private static func digits(_ number: Double) -> (String, Int) {
        guard number != 0 else { return ("0", 0) }
        let parts = number.description.split(separator: "e")
        var exponent = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
        let halves = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        var digits = String(halves[0]) + (halves.count > 1 ? String(halves[1]) : "")
        exponent += halves[0].count - 1
        let zeros = digits.prefix { $0 == "0" }.count
        digits.removeFirst(zeros)
        exponent -= zeros
        while digits.count > 1, digits.last == "0" { digits.removeLast() }
        return (digits, exponent)
    }
}
