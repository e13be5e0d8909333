extension JSON {
    /// The value as UTF-8 text without white space, as Go's encoder writes it without HTML escapes.
    package var utf8: [UInt8] {
        var writer = JSONWriter(indent: nil)
        writer.write(self, depth: 0)
        return writer.bytes
    }

    /// The same as a String.
    package var text: String { String(decoding: utf8, as: UTF8.self) }

    /// Over several lines; `indent` is what each level adds.
    package func text(indent: String) -> String {
        var writer = JSONWriter(indent: indent)
        writer.write(self, depth: 0)
        return String(decoding: writer.bytes, as: UTF8.self)
    }
}

private struct JSONWriter {
    /// Nil: all in one line.
    let indent: String?
    private(set) var bytes: [UInt8] = []
    private static let hex = Array("0123456789abcdef".utf8)

    init(indent: String?) { self.indent = indent }

    mutating func write(_ value: JSON, depth: Int) {
        switch value {
        case .null: bytes += "null".utf8
        case .bool(let flag): bytes += (flag ? "true" : "false").utf8
        case .integer(let number): bytes += String(number).utf8
        case .number(let number):
            bytes += (number.isFinite ? ShortestNumber.text(number, plain: -6..<21) : "null").utf8
        case .string(let text): write(text)
        case .array(let elements):
            list("[", "]", elements, depth: depth) { writer, element in writer.write(element, depth: depth + 1) }
        case .object(let members):
            list("{", "}", members, depth: depth) { writer, member in
                writer.write(member.key)
                writer.bytes += (writer.indent == nil ? ":" : ": ").utf8
                writer.write(member.value, depth: depth + 1)
            }
        }
    }

    private mutating func list<Element>(
        _ open: Unicode.Scalar, _ close: Unicode.Scalar, _ elements: [Element], depth: Int,
        _ body: (inout Self, Element) -> Void
    ) {
        bytes.append(UInt8(ascii: open))
        for (position, element) in elements.enumerated() {
            if position > 0 { bytes.append(UInt8(ascii: ",")) }
            newline(depth + 1)
            body(&self, element)
        }
        if !elements.isEmpty { newline(depth) }
        bytes.append(UInt8(ascii: close))
    }

    private mutating func newline(_ depth: Int) {
        guard let indent else { return }
        bytes.append(0x0a)
        for _ in 0..<depth { bytes += indent.utf8 }
    }

    private mutating func write(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
            case 0x0a: bytes += "\\n".utf8
            case 0x0d: bytes += "\\r".utf8
            case 0x09: bytes += "\\t".utf8
            case 0..<0x20: bytes += "\\u00".utf8 + [Self.hex[Int(byte >> 4)], Self.hex[Int(byte & 15)]]
            // U+2028 and U+2029 end a line in JavaScript, so Go escapes them: e2 80 a8, e2 80 a9.
            case 0xa8, 0xa9:
                if bytes.suffix(2) == [0xe2, 0x80] {
                    bytes.removeLast(2)
                    bytes += "\\u202".utf8 + [byte == 0xa8 ? UInt8(ascii: "8") : UInt8(ascii: "9")]
                } else {
                    bytes.append(byte)
                }
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
