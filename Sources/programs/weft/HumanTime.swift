/// Times as people read them, and RFC 3339 as weftd writes them.
enum HumanTime {
    /// Seconds since 1970 of `2026-11-21T09:47:23.122615443Z`; nil for anything else, and for the zero time of Go.
    static func seconds(_ text: String) -> Int64? {
        let bytes = Array(text.utf8)
        func number(_ range: Range<Int>) -> Int64? {
            guard range.upperBound <= bytes.count, bytes[range].allSatisfy({ (48...57).contains($0) }) else {
                return nil
            }
            return Int64(String(decoding: bytes[range], as: UTF8.self))
        }
        guard bytes.count >= 20, let year = number(0..<4), let month = number(5..<7), let day = number(8..<10),
            let hour = number(11..<13), let minute = number(14..<16), let second = number(17..<19),
            (1...12).contains(month), (1...31).contains(day), year > 1
        else { return nil }
        var offset: Int64 = 0
        if bytes.last != UInt8(ascii: "Z") {
            let start = bytes.count - 6
            guard let hours = number(start + 1..<start + 3), let minutes = number(start + 4..<start + 6) else {
                return nil
            }
            offset = (hours * 60 + minutes) * (bytes[start] == UInt8(ascii: "-") ? -60 : 60)
        }
        // Days from the civil calendar, with years that begin in March.
        let shifted = month <= 2 ? year - 1 : year
        let era = shifted / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let days = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
        return days * 86_400 + hour * 3600 + minute * 60 + second - offset
    }

    /// As docker says it: "About a minute", "3 days".
    static func duration(_ seconds: Int64) -> String {
        let minutes = seconds / 60
        let hours = (seconds + 1800) / 3600
        switch true {
        case seconds < 1: return "Less than a second"
        case seconds == 1: return "1 second"
        case seconds < 60: return "\(seconds) seconds"
        case minutes == 1: return "About a minute"
        case minutes < 60: return "\(minutes) minutes"
        case hours == 1: return "About an hour"
        case hours < 48: return "\(hours) hours"
        case hours < 24 * 7 * 2: return "\(hours / 24) days"
        case hours < 24 * 30 * 2: return "\(hours / 24 / 7) weeks"
        case hours < 24 * 365 * 2: return "\(hours / 24 / 30) months"
        default: return "\(hours / 24 / 365) years"
        }
    }

    /// `2026-11-21 09:47:23.122615443 +0000 UTC`, as Go prints a time; anything else stays as it is.
    static func spelled(_ text: String, zone: String = "UTC") -> String {
        guard seconds(text) != nil, text.hasSuffix("Z") else { return text }
        return text.dropLast().map { $0 == "T" ? " " : String($0) }.joined() + " +0000 " + zone
    }
}
