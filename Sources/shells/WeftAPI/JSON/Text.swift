import WeftModel
package import WeftText

extension Instant {
    /// The time as Go writes it (RFC 3339 with as many decimals as needed, UTC): `2026-11-21T09:47:23.122615443Z`.
    package var rfc3339: String {
        let (days, secondOfDay) = Self.floorDivide(Self.floorDivide(nanoseconds, 1_000_000_000).quotient, 86400)
        let fraction = Self.floorDivide(nanoseconds, 1_000_000_000).remainder
        let (year, month, day) = Self.civil(days: days)
        var text = "\(Self.padded(year, 4))-\(Self.padded(month, 2))-\(Self.padded(day, 2))T"
        text += "\(Self.padded(secondOfDay / 3600, 2)):\(Self.padded(secondOfDay / 60 % 60, 2)):"
        text += Self.padded(secondOfDay % 60, 2)
        if fraction > 0 {
            var digits = Self.padded(fraction, 9)
            while digits.hasSuffix("0") { digits.removeLast() }
            text += ".\(digits)"
        }
        return text + "Z"
    }

    /// With all nine decimals, so that times of one width stand below each other.
    package var fixedRFC3339: String {
        let text = rfc3339.dropLast()
        let decimals = text.split(separator: ".", maxSplits: 1).dropFirst().first?.count ?? 0
        return text + (decimals == 0 ? "." : "") + String(repeating: "0", count: 9 - decimals) + "Z"
    }

    private static func floorDivide(_ value: Int64, _ divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }

    /// Days since 1970-01-01 as a date of the proleptic Gregorian calendar, counted in 400-year eras from 0000-03-01.
    private static func civil(days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let (era, dayOfEra) = floorDivide(days + 719_468, 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }

    private static func padded(_ value: Int64, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}

/// Go's zero time, which Docker shows for what has not happened.
let zeroTime = "0001-01-01T00:00:00Z"

extension JSON {
    /// Reads one JSON value that fills the whole text; throws an `APIError` that says where it is none.
    package static func parse(_ bytes: [UInt8]) throws(APIError) -> JSON {
        do { return try JSON(parsing: bytes) } catch { throw .badRequest(error.description) }
    }
}
