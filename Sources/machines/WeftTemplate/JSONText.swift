/// JSON (RFC 8259) to values and back, with the order of keys kept.
package struct JSONError: Error, Hashable, CustomStringConvertible {
    /// In bytes from the start.
    package let offset: Int
    package var description: String { "not JSON at byte \(offset)" }
}

extension TemplateValue {
    /// Reads one JSON value. Objects whose key is in `maps` have keys of the user's own; null there is an empty map.
    package init(json text: some Sequence<UInt8>, maps: Set<String> = []) throws(JSONError) {
        var reader = JSONReader(bytes: Array(text), maps: maps)
        self = try reader.document()
    }

    /// In one line, as Go's encoder writes it without HTML escapes.
    package var json: String {
        var writer = JSONWriter(indent: nil)
        writer.write(self, depth: 0)
        return writer.output
    }

    /// Over several lines; `indent` is what each level adds.
    package func json(indent: String) -> String {
        var writer = JSONWriter(indent: indent)
        writer.write(self, depth: 0)
        return writer.output
    }
}

struct JSONReader {
    /// Deeper nesting is refused rather than left to overflow the stack.
    private static let depthMax = 256
    let bytes: [UInt8]
    let maps: Set<String>
    private var position = 0
    private var depth = 0

    init(bytes: [UInt8], maps: Set<String>) {
        self.bytes = bytes
        self.maps = maps
    }

    private var failure: JSONError { JSONError(offset: position) }
    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    mutating func document() throws(JSONError) -> TemplateValue {
        let value = try value(isMap: false)
        skipSpace()
        guard position == bytes.count else { throw failure }
        return value
    }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { position += 1 }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        skipSpace()
        guard next == byte else { return false }
        position += 1
        return true
    }

    private mutating func literal(_ text: String, _ value: TemplateValue) throws(JSONError) -> TemplateValue {
        guard bytes[position...].starts(with: text.utf8) else { throw failure }
        position += text.utf8.count
        return value
    }

    private mutating func value(isMap: Bool) throws(JSONError) -> TemplateValue {
        skipSpace()
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthMax, let first = next else { throw failure }
        switch first {
        case UInt8(ascii: "{"): return try object(isMap: isMap)
        case UInt8(ascii: "["): return try array()
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try literal("true", true)
        case UInt8(ascii: "f"): return try literal("false", false)
        case UInt8(ascii: "n"):
            var empty = TemplateObject(kind: .map)
            empty.isNil = true
            return try literal("null", isMap ? .object(empty) : .null)
        default: return try number()
        }
    }

    private mutating func object(isMap: Bool) throws(JSONError) -> TemplateValue {
        position += 1
        var entries: [TemplateObject.Entry] = []
        if take(UInt8(ascii: "}")) { return .object(TemplateObject(kind: isMap ? .map : .record)) }
        repeat {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw failure }
            let key = try string()
            guard take(UInt8(ascii: ":")) else { throw failure }
            entries.append(.init(key: key, value: try value(isMap: maps.contains(key))))
        } while take(UInt8(ascii: ","))
        guard take(UInt8(ascii: "}")) else { throw failure }
        return .object(TemplateObject(entries, kind: isMap ? .map : .record))
    }

    private mutating func array() throws(JSONError) -> TemplateValue {
        position += 1
        var values: [TemplateValue] = []
        if take(UInt8(ascii: "]")) { return .array([]) }
        repeat { values.append(try value(isMap: false)) } while take(UInt8(ascii: ","))
        guard take(UInt8(ascii: "]")) else { throw failure }
        return .array(values)
    }

    private mutating func number() throws(JSONError) -> TemplateValue {
        let start = position
        while let byte = next, (0x30...0x39).contains(byte) || "+-.eE".utf8.contains(byte) { position += 1 }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        // A double may be printed as -0, which no integer is.
        if let whole = Int64(text), !text.hasPrefix("+"), whole != 0 || !text.hasPrefix("-") { return .int(whole) }
        guard let first = text.utf8.first, first == UInt8(ascii: "-") || (0x30...0x39).contains(first),
            let real = Double(text), real.isFinite
        else { throw failure }
        return .double(real)
    }

    private mutating func string() throws(JSONError) -> String {
        position += 1
        var output: [UInt8] = []
        while let byte = next {
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: output, as: UTF8.self)
            case UInt8(ascii: "\\"): output += Array(try escape().utf8)
            case 0..<0x20: throw failure
            default: output.append(byte)
            }
        }
        throw failure
    }

    private mutating func escape() throws(JSONError) -> String {
        guard let escape = next else { throw failure }
        position += 1
        switch escape {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return String(UnicodeScalar(escape))
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{c}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"):
            let high = try hex()
            guard (0xd800..<0xdc00).contains(high), bytes[position...].starts(with: "\\u".utf8) else {
                return Unicode.Scalar(high).map { String($0) } ?? "\u{fffd}"
            }
            position += 2
            let low = try hex()
            guard (0xdc00..<0xe000).contains(low),
                let scalar = Unicode.Scalar(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
            else { return "\u{fffd}" }
            return String(scalar)
        default: throw failure
        }
    }

    private mutating func hex() throws(JSONError) -> UInt32 {
        guard position + 4 <= bytes.count,
            let value = UInt32(String(decoding: bytes[position..<position + 4], as: UTF8.self), radix: 16)
        else { throw failure }
        position += 4
        return value
    }
}

struct JSONWriter {
    let indent: String?
    var output = ""

    init(indent: String?) { self.indent = indent }

    mutating func write(_ value: TemplateValue, depth: Int) {
        switch value {
        case .null: output += "null"
        case .bool(let flag): output += flag ? "true" : "false"
        case .int(let number): output += String(number)
        case .double(let number): output += number.isFinite ? GoFormat.shortest(number, plain: -6..<21) : "null"
        case .string(let text): write(text)
        case .array(let values):
            list("[", "]", values, depth: depth) { $0.write($1, depth: depth + 1) }
        case .object(let object) where object.isNil && object.entries.isEmpty: output += "null"
        case .object(let object):
            let entries = object.kind == .map ? object.sortedEntries : object.entries
            list("{", "}", entries, depth: depth) { writer, entry in
                writer.write(entry.key)
                writer.output += writer.indent == nil ? ":" : ": "
                writer.write(entry.value, depth: depth + 1)
            }
        }
    }

    private mutating func list<Element>(
        _ open: String, _ close: String, _ elements: [Element], depth: Int, _ body: (inout Self, Element) -> Void
    ) {
        output += open
        for (position, element) in elements.enumerated() {
            if position > 0 { output += "," }
            newline(depth + 1)
            body(&self, element)
        }
        if !elements.isEmpty { newline(depth) }
        output += close
    }

    private mutating func newline(_ depth: Int) {
        guard let indent else { return }
        output += "\n" + String(repeating: indent, count: depth)
    }

    private mutating func write(_ text: String) {
        output += "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": output += "\\\""
            case "\\": output += "\\\\"
            case "\n": output += "\\n"
            case "\r": output += "\\r"
            case "\t": output += "\\t"
            case _ where scalar.value < 0x20 || scalar.value == 0x2028 || scalar.value == 0x2029:
                let hex = String(scalar.value, radix: 16)
                output += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: output.unicodeScalars.append(scalar)
            }
        }
        output += "\""
    }
}
