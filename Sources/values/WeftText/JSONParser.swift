/// Where a text stops being JSON, and why.
package struct JSONError: Error, Hashable, CustomStringConvertible {
    /// In bytes from the start.
    package let offset: Int
    package let reason: String

    package init(offset: Int, reason: String) {
        self.offset = offset
        self.reason = reason
    }

    package var description: String { "not JSON: \(reason) (at byte \(offset))" }
}

extension JSON {
    /// Reads one JSON value that fills the whole text.
    package init(parsing bytes: some Sequence<UInt8>) throws(JSONError) {
        self = try JSONParser.parse(Array(bytes))
    }
}

/// Reads JSON text (RFC 8259). Bounded in depth, so that no input exhausts the stack.
private struct JSONParser {
    private let bytes: [UInt8]
    private var position = 0

    /// Parses one value that fills the whole text.
    static func parse(_ bytes: [UInt8]) throws(JSONError) -> JSON {
        var parser = JSONParser(bytes: bytes)
        let value = try parser.value(depth: 0)
        parser.skipSpace()
        if parser.position < bytes.count { throw parser.failure("there is more text after the value") }
        return value
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private func failure(_ reason: String) -> JSONError { JSONError(offset: position, reason: reason) }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { position += 1 }
    }

    /// Skips white space, and then `byte` if it is next.
    private mutating func take(_ byte: Character) -> Bool {
        skipSpace()
        guard let found = next, found == byte.asciiValue else { return false }
        position += 1
        return true
    }

    private mutating func value(depth: Int) throws(JSONError) -> JSON {
        skipSpace()
        switch next {
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            guard depth < JSON.depthMax else { throw failure("it is nested more than \(JSON.depthMax) deep") }
            return next == UInt8(ascii: "{") ? try object(depth: depth) : try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case nil: throw failure("the text ends where a value is expected")
        default: return try number()
        }
    }

    private mutating func word(_ word: String, _ value: JSON) throws(JSONError) -> JSON {
        guard bytes[position...].starts(with: word.utf8) else { throw failure("a value is expected") }
        position += word.utf8.count
        return value
    }

    private mutating func object(depth: Int) throws(JSONError) -> JSON {
        position += 1
        var members: [(key: String, value: JSON)] = []
        if take("}") { return .object(members) }
        repeat {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw failure("a key in quotes is expected") }
            let key = try string()
            guard take(":") else { throw failure("a colon is expected after a key") }
            members.append((key, try value(depth: depth + 1)))
        } while take(",")
        guard take("}") else { throw failure("a comma or } is expected") }
        return .object(members)
    }

    private mutating func array(depth: Int) throws(JSONError) -> JSON {
        position += 1
        var elements: [JSON] = []
        if take("]") { return .array(elements) }
        repeat { elements.append(try value(depth: depth + 1)) } while take(",")
        guard take("]") else { throw failure("a comma or ] is expected") }
        return .array(elements)
    }

    private mutating func number() throws(JSONError) -> JSON {
        let start = position
        guard skipNumber() else {
            position = start
            throw failure("a value is expected")
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        // -0 is a number that no integer is.
        if let integer = Int64(text), text != "-0" { return .integer(integer) }
        guard let number = Double(text), number.isFinite else {
            position = start
            throw failure("a number is too large")
        }
        return .number(number)
    }

    /// Skips `-`, digits without leading zeros, a fraction, an exponent; false if it is no number.
    private mutating func skipNumber() -> Bool {
        _ = skip("-")
        let isZero = next == UInt8(ascii: "0")
        let digits = skipDigits()
        guard digits == 1 || digits > 1 && !isZero else { return false }
        if skip("."), skipDigits() == 0 { return false }
        if skip("e") || skip("E") {
            _ = skip("+") || skip("-")
            if skipDigits() == 0 { return false }
        }
        return true
    }

    private mutating func skip(_ character: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    /// How many digits there were.
    private mutating func skipDigits() -> Int {
        let start = position
        while let byte = next, (0x30...0x39).contains(byte) { position += 1 }
        return position - start
    }

    private mutating func string() throws(JSONError) -> String {
        position += 1
        var text: [UInt8] = []
        while let byte = next {
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let result = String(validating: text, as: UTF8.self) else { throw failure("a text is not UTF-8") }
                return result
            case UInt8(ascii: "\\"): try escape(into: &text)
            case 0..<0x20: throw failure("a text holds a bare control character")
            default: text.append(byte)
            }
        }
        throw failure("a text has no end")
    }

    private mutating func escape(into text: inout [UInt8]) throws(JSONError) {
        guard let byte = next else { throw failure("a text has no end") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0c)
        case UInt8(ascii: "n"): text.append(0x0a)
        case UInt8(ascii: "r"): text.append(0x0d)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"): text += String(Character(try unicodeEscape())).utf8
        default: throw failure("a text holds an unknown escape")
        }
    }

    /// Reads four hex digits, and a second escape after a high surrogate. A lone surrogate becomes U+FFFD, as in Go.
    private mutating func unicodeEscape() throws(JSONError) -> Unicode.Scalar {
        let high = try hexUnit()
        if let scalar = Unicode.Scalar(high) { return scalar }
        let rest = position
        if (0xd800..<0xdc00).contains(high), bytes[position...].starts(with: "\\u".utf8) {
            position += 2
            let low = try hexUnit()
            if (0xdc00..<0xe000).contains(low) {
                let code = 0x10000 + (UInt32(high) - 0xd800) << 10 + (UInt32(low) - 0xdc00)
                if let scalar = Unicode.Scalar(code) { return scalar }
            }
            position = rest
        }
        return "\u{fffd}"
    }

    private mutating func hexUnit() throws(JSONError) -> UInt16 {
        guard position + 4 <= bytes.count,
            bytes[position..<position + 4].allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
            let unit = UInt16(String(decoding: bytes[position..<position + 4], as: UTF8.self), radix: 16)
        else { throw failure("\\u needs four hexadecimal digits") }
        position += 4
        return unit
    }
}
