import WeftText

extension APIError {
    /// What Docker's manager says of a spec that contradicts itself.
    static func invalidArgument(_ text: String) -> APIError {
        .badRequest("rpc error: code = InvalidArgument desc = \(text)")
    }
}

extension Fields {
    /// An object that may be absent: then it has no members.
    func object(_ key: String) throws(APIError) -> Fields {
        if let found = try fields(key) { return found }
        return try Fields(.object([]), path: name(key))
    }

    /// Nil when absent, which is not the same as false.
    func optionalBool(_ key: String) throws(APIError) -> Bool? { has(key) ? try bool(key) : nil }

    func number(_ key: String) throws(APIError) -> Double? {
        switch json[key] {
        case nil: return nil
        case .integer(let number)?: return Double(number)
        case .number(let number)?: return number
        default: throw .badRequest("\(name(key)) must be a number")
        }
    }

    /// Nanoseconds that are not negative.
    func span(_ key: String, negative: String) throws(APIError) -> Int64? {
        guard let span = try integer(key) else { return nil }
        guard span >= 0 else { throw .invalidArgument(negative) }
        return span
    }

    /// A number of bits, as of chmod(2).
    func mode(_ key: String) throws(APIError) -> UInt32? {
        guard let bits = try count(key) else { return nil }
        guard let mode = UInt32(exactly: bits) else { throw .badRequest("\(name(key)) is \(bits), which is no file mode") }
        return mode
    }

    /// Refuses members that would change something. Zeros, empty texts and empty lists, which clients send for what was not said,
    /// would not.
    func refuse(_ keys: String..., because: String) throws(APIError) {
        for key in keys where json[key]?.saysSomething == true {
            throw .unavailable("\(name(key)) is not available in this version of Weft: \(because)")
        }
    }
}

extension JSON {
    /// Something else than Go's zero value, in it or in what it consists of.
    var saysSomething: Bool {
        switch self {
        case .null: false
        case .bool(let flag): flag
        case .integer(let number): number != 0
        case .number(let number): number != 0
        case .string(let text): !text.isEmpty
        case .array(let elements): !elements.isEmpty
        case .object(let members): members.contains { $0.value.saysSomething }
        }
    }
}
