import WeftModel
import WeftNet
import WeftText

/// Reads typed members of an object that a client sent. A member that is absent or null is nil; one of another type is a
/// 400 that names it by its path.
struct Fields {
    let json: JSON
    /// Dotted names from the body's root, empty at the root.
    let path: String

    init(_ json: JSON, path: String = "") throws(APIError) {
        guard case .object = json else {
            throw .badRequest(
                path.isEmpty ? "the request's body must be a JSON object" : "\(path) must be a JSON object")
        }
        self.json = json
        self.path = path
    }

    func name(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    func has(_ key: String) -> Bool { json[key] != nil }

    func string(_ key: String) throws(APIError) -> String? {
        guard let value = json[key] else { return nil }
        guard case .string(let text) = value else { throw .badRequest("\(name(key)) must be a text") }
        return text
    }

    /// A text that says something: nil when it is absent or empty.
    func text(_ key: String) throws(APIError) -> String? {
        guard let text = try string(key), !text.isEmpty else { return nil }
        return text
    }

    func bool(_ key: String) throws(APIError) -> Bool {
        guard let value = json[key] else { return false }
        guard case .bool(let flag) = value else { throw .badRequest("\(name(key)) must be true or false") }
        return flag
    }

    func integer(_ key: String) throws(APIError) -> Int64? {
        guard let value = json[key] else { return nil }
        switch value {
        case .integer(let number): return number
        case .number(let number):
            guard let exact = Int64(exactly: number) else { throw .badRequest("\(name(key)) must be a whole number") }
            return exact
        default: throw .badRequest("\(name(key)) must be a number")
        }
    }

    /// A whole number that is not negative.
    func count(_ key: String) throws(APIError) -> UInt64? {
        guard let number = try integer(key) else { return nil }
        guard number >= 0 else { throw .badRequest("\(name(key)) must not be negative") }
        return UInt64(number)
    }

    func array(_ key: String) throws(APIError) -> [JSON] {
        guard let value = json[key] else { return [] }
        guard case .array(let elements) = value else { throw .badRequest("\(name(key)) must be a list") }
        return elements
    }

    func strings(_ key: String) throws(APIError) -> [String] {
        var texts: [String] = []
        for element in try array(key) {
            guard case .string(let text) = element else { throw .badRequest("\(name(key)) must be a list of texts") }
            texts.append(text)
        }
        return texts
    }

    func map(_ key: String) throws(APIError) -> [String: String] {
        guard let value = json[key] else { return [:] }
        guard case .object(let members) = value else { throw .badRequest("\(name(key)) must be a JSON object") }
        var map: [String: String] = [:]
        for member in members {
            guard case .string(let text) = member.value else {
                throw .badRequest("\(name(key)).\(member.key) must be a text")
            }
            map[member.key] = text
        }
        return map
    }

    func fields(_ key: String) throws(APIError) -> Fields? {
        guard let value = json[key] else { return nil }
        return try Fields(value, path: name(key))
    }

    func objects(_ key: String) throws(APIError) -> [Fields] {
        var list: [Fields] = []
        for (index, element) in try array(key).enumerated() {
            list.append(try Fields(element, path: "\(name(key))[\(index)]"))
        }
        return list
    }

    /// An IPv4 address; nil when absent or empty. An IPv6 address gets an answer of its own.
    func ipv4Address(_ key: String) throws(APIError) -> IPv4Address? {
        guard let text = try text(key) else { return nil }
        return try WeftAPI.ipv4Address(text, named: name(key))
    }

    /// Nil when absent or empty.
    func ipv6Address(_ key: String) throws(APIError) -> IPv6Address? {
        guard let text = try text(key) else { return nil }
        guard let address = IPv6Address(text) else {
            throw .badRequest("\(name(key)) is \"\(text)\", which is not an IPv6 address")
        }
        return address
    }
}

/// Reads an IPv4 address out of `name`.
func ipv4Address(_ text: String, named name: String) throws(APIError) -> IPv4Address {
    if let address = IPv4Address(text) { return address }
    if text.contains(":") {
        throw .badRequest("\(name) is \(text), an address of IPv6; give an IPv4 address")
    }
    throw .badRequest("\(name) is \"\(text)\", which is not an IPv4 address")
}
