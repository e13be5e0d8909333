// JSON that others wrote, read into Decodable values: the only place that starts a JSONDecoder, which goes down with deep text.
// Where no Decodable type is at hand, or Foundation is not wanted, `WeftText.JSON` is the reader.
import FoundationEssentials
import WeftText

package enum JSONText {
    package struct TooDeep: Error, CustomStringConvertible {
        package var description: String { "its JSON is nested more than \(JSON.depthMax) deep" }
    }

    package struct NotUTF8: Error, CustomStringConvertible {
        package var description: String { "it is not JSON in UTF-8" }
    }

    package static func decode<Value: Decodable>(
        _ type: Value.Type = Value.self, from bytes: some Collection<UInt8>,
        userInfo: [CodingUserInfoKey: any Sendable] = [:]
    ) throws -> Value {
        guard isUTF8(bytes) else { throw NotUTF8() }
        guard isShallow(bytes) else { throw TooDeep() }
        let decoder = JSONDecoder()
        decoder.userInfo = userInfo
        return try decoder.decode(type, from: bytes as? Data ?? Data(bytes))
    }

    /// JSONDecoder reads UTF-16 and UTF-32 too, which it tells by their mark or their zeros, and in which other bytes than these
    /// open and close. No JSON in UTF-8 has a zero (RFC 8259, 7 and 8.1).
    private static func isUTF8(_ bytes: some Collection<UInt8>) -> Bool {
        let start = Array(bytes.prefix(2))
        return start != [0xfe, 0xff] && start != [0xff, 0xfe] && !bytes.contains(0)
    }

    /// Whether the text keeps to `JSON.depthMax`. It need not be JSON: what opens outside of strings is counted.
    package static func isShallow(_ bytes: some Collection<UInt8>) -> Bool {
        var depth = 0
        var isInString = false
        var isEscaped = false
        for byte in bytes {
            if isEscaped {
                isEscaped = false
                continue
            }
            switch byte {
            case UInt8(ascii: "\\") where isInString: isEscaped = true
            case UInt8(ascii: "\""): isInString.toggle()
            case _ where isInString: break
            case UInt8(ascii: "["), UInt8(ascii: "{"):
                depth += 1
                if depth > JSON.depthMax { return false }
            case UInt8(ascii: "]"), UInt8(ascii: "}"): depth -= 1
            default: break
            }
        }
        return true
    }
}
