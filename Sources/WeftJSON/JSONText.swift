// JSON that others wrote, read into values: the only place that starts a JSONDecoder, which goes down with deep text.
import FoundationEssentials

package enum JSONText {
    /// How deep arrays and objects may lie in each other; an engine's deepest answers have about ten levels.
    package static let depthMax = 64

    package struct TooDeep: Error, CustomStringConvertible {
        package var description: String { "its JSON is nested more than \(JSONText.depthMax) deep" }
    }

    package static func decode<Value: Decodable>(
        _ type: Value.Type = Value.self, from bytes: some Collection<UInt8>,
        userInfo: [CodingUserInfoKey: any Sendable] = [:]
    ) throws -> Value {
        guard isShallow(bytes) else { throw TooDeep() }
        let decoder = JSONDecoder()
        decoder.userInfo = userInfo
        return try decoder.decode(type, from: bytes as? Data ?? Data(bytes))
    }

    /// Whether the text keeps to `depthMax`. It need not be JSON: what opens outside of strings is counted.
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
                if depth > depthMax { return false }
            case UInt8(ascii: "]"), UInt8(ascii: "}"): depth -= 1
            default: break
            }
        }
        return true
    }
}
