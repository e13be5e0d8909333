import WeftText

/// Typed members of the objects that come on standard input and from weftd. One of another type is an error that
/// names it; an absent or null one is nil.
extension JSON {
    /// Exactly this key, unlike the subscript.
    func member(_ key: String) -> JSON? {
        guard case .object(let members) = self, let value = members.last(where: { $0.key == key })?.value, !value.isNull
        else { return nil }
        return value
    }

    func string(_ key: String) throws(CNIError) -> String? {
        guard let value = member(key) else { return nil }
        guard case .string(let text) = value else { throw Self.wrongType(key, "a text") }
        return text.isEmpty ? nil : text
    }

    func bool(_ key: String) throws(CNIError) -> Bool? {
        guard let value = member(key) else { return nil }
        guard case .bool(let flag) = value else { throw Self.wrongType(key, "true or false") }
        return flag
    }

    func integer(_ key: String) throws(CNIError) -> Int64? {
        guard let value = member(key) else { return nil }
        guard case .integer(let number) = value else { throw Self.wrongType(key, "a whole number") }
        return number
    }

    func array(_ key: String) throws(CNIError) -> [JSON] {
        guard let value = member(key) else { return [] }
        guard case .array(let values) = value else { throw Self.wrongType(key, "a list") }
        return values
    }

    func strings(_ key: String) throws(CNIError) -> [String] {
        var texts: [String] = []
        for value in try array(key) {
            guard case .string(let text) = value else { throw Self.wrongType(key, "a list of texts") }
            texts.append(text)
        }
        return texts
    }

    private static func wrongType(_ key: String, _ what: String) -> CNIError {
        CNIError(.notDecodable, "\"\(key)\" must be \(what)")
    }
}
