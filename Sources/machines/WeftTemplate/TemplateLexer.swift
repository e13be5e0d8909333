/// A token of the text between `{{` and `}}`, or the text outside.
struct TemplateToken: Equatable {
    enum Kind: Equatable {
        case text, leftDelimiter, rightDelimiter
        case field, variable, identifier, dot
        case string, character, number, bool, null
        case keyword
        case pipe, leftParenthesis, rightParenthesis, declare, assign, comma, space
        case end
    }

    let kind: Kind
    /// The source; of fields and variables without the `.`, with the `$`; of strings the unquoted value.
    let text: String
    let offset: Int
}

/// Splits a template into tokens, as Go's `text/template/parse` does.
struct TemplateLexer {
    static let keywords: Set<String> = [
        "block", "break", "continue", "define", "else", "end", "if", "range", "template", "with",
    ]
    private let source: [UInt8]
    private var position = 0
    private var tokens: [TemplateToken] = []
    private var parentheses = 0

    init(_ source: String) { self.source = Array(source.utf8) }

    static func tokens(of source: String) throws(TemplateError) -> [TemplateToken] {
        var lexer = TemplateLexer(source)
        try lexer.run()
        return lexer.tokens
    }

    private func failure(_ text: String, at offset: Int? = nil) -> TemplateError {
        .syntax(line: 1 + source[..<(offset ?? position)].count { $0 == UInt8(ascii: "\n") }, text)
    }

    private func text(_ range: Range<Int>) -> String { String(decoding: source[range], as: UTF8.self) }
    private func has(_ prefix: String, at offset: Int) -> Bool { source[offset...].starts(with: prefix.utf8) }
    private func byte(_ offset: Int) -> UInt8? { source.indices.contains(offset) ? source[offset] : nil }
    private static func isSpace(_ byte: UInt8?) -> Bool {
        byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d
    }
    private static func isWord(_ byte: UInt8?) -> Bool {
        guard let byte else { return false }
        return byte >= 0x80 || byte == UInt8(ascii: "_") || (byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7a)
            || isDigit(byte)
    }
    private static func isDigit(_ byte: UInt8?) -> Bool { byte.map { (0x30...0x39).contains($0) } ?? false }

    private mutating func run() throws(TemplateError) {
        var trimmed = false
        while position < source.count {
            let start = position
            while position < source.count, !has("{{", at: position) { position += 1 }
            var from = start
            var to = position
            if trimmed { while from < to, Self.isSpace(source[from]) { from += 1 } }
            let opens = position < source.count
            let trims = opens && has("{{-", at: position) && Self.isSpace(byte(position + 3))
            if trims { while to > from, Self.isSpace(source[to - 1]) { to -= 1 } }
            if from < to { tokens.append(TemplateToken(kind: .text, text: text(from..<to), offset: from)) }
            trimmed = false
            guard opens else { break }
            trimmed = try action(opening: trims ? 3 : 2)
        }
        tokens.append(TemplateToken(kind: .end, text: "", offset: source.count))
    }

    /// Reads from `{{` past `}}`; true when it ends in ` -}}`.
    private mutating func action(opening: Int) throws(TemplateError) -> Bool {
        let start = position
        position += opening
        if opening == 3 { while Self.isSpace(byte(position)) { position += 1 } }
        if has("/*", at: position) { return try comment() }
        tokens.append(TemplateToken(kind: .leftDelimiter, text: "{{", offset: start))
        parentheses = 0
        while true {
            let spaceBefore = Self.isSpace(byte(position - 1))
            if has("}}", at: position) || (spaceBefore && has("-}}", at: position)) {
                guard parentheses == 0 else { throw failure("unclosed left paren") }
                let trims = !has("}}", at: position)
                if tokens.last?.kind == .space { tokens.removeLast() }
                tokens.append(TemplateToken(kind: .rightDelimiter, text: "}}", offset: position))
                position += trims ? 3 : 2
                return trims
            }
            guard position < source.count else { throw failure("unclosed action", at: start) }
            try token()
        }
    }

    private mutating func comment() throws(TemplateError) -> Bool {
        let start = position
        while position < source.count, !has("*/", at: position) { position += 1 }
        guard position < source.count else { throw failure("unclosed comment", at: start) }
        position += 2
        if has("}}", at: position) {
            position += 2
            return false
        }
        let space = position
        while Self.isSpace(byte(position)) { position += 1 }
        guard position > space, has("-}}", at: position) else {
            throw failure("comment ends before closing delimiter", at: start)
        }
        position += 3
        return true
    }

    private mutating func add(_ kind: TemplateToken.Kind, _ length: Int) {
        tokens.append(TemplateToken(kind: kind, text: text(position..<position + length), offset: position))
        position += length
    }

    private mutating func token() throws(TemplateError) {
        let first = source[position]
        switch first {
        case _ where Self.isSpace(first):
            let start = position
            while Self.isSpace(byte(position)) { position += 1 }
            tokens.append(TemplateToken(kind: .space, text: " ", offset: start))
        case UInt8(ascii: "|"): add(.pipe, 1)
        case UInt8(ascii: ","): add(.comma, 1)
        case UInt8(ascii: "="): add(.assign, 1)
        case UInt8(ascii: "("):
            parentheses += 1
            add(.leftParenthesis, 1)
        case UInt8(ascii: ")"):
            guard parentheses > 0 else { throw failure("unexpected right paren") }
            parentheses -= 1
            add(.rightParenthesis, 1)
        case UInt8(ascii: ":"):
            guard has(":=", at: position) else { throw failure("expected :=") }
            add(.declare, 2)
        case UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "`"): try quoted(first)
        case UInt8(ascii: "."):
            if Self.isDigit(byte(position + 1)) { try number() } else { try word(.field, skip: 1) }
        case UInt8(ascii: "$"): try word(.variable, skip: 1)
        case UInt8(ascii: "+"), UInt8(ascii: "-"): try number()
        case _ where Self.isDigit(first): try number()
        case _ where Self.isWord(first): try word(.identifier, skip: 0)
        default:
            let scalar = text(position..<source.count).unicodeScalars.first ?? "?"
            let hex = String(scalar.value, radix: 16, uppercase: true)
            let padded = String(repeating: "0", count: max(0, 4 - hex.count)) + hex
            throw failure("unrecognized character in action: U+\(padded) '\(scalar)'")
        }
    }

    private mutating func word(_ kind: TemplateToken.Kind, skip: Int) throws(TemplateError) {
        let start = position
        position += skip
        while Self.isWord(byte(position)) { position += 1 }
        let terminators: Set<UInt8> = Set(" \t\r\n.,|:)(}=-".utf8)
        if let next = byte(position), !terminators.contains(next) {
            let scalar = text(position..<source.count).unicodeScalars.first ?? "?"
            let hex = String(scalar.value, radix: 16, uppercase: true)
            throw failure("bad character U+\(String(repeating: "0", count: max(0, 4 - hex.count)) + hex) '\(scalar)'")
        }
        let whole = text(start..<position)
        var result = kind
        switch kind {
        case .field: result = position == start + 1 ? .dot : .field
        case .identifier:
            if Self.keywords.contains(whole) {
                result = .keyword
            } else if whole == "true" || whole == "false" {
                result = .bool
            } else if whole == "nil" {
                result = .null
            }
        default: break
        }
        let name = result == .field ? String(whole.dropFirst()) : whole
        tokens.append(TemplateToken(kind: result, text: name, offset: start))
    }

    private mutating func number() throws(TemplateError) {
        let start = position
        while let next = byte(position),
            Self.isWord(next) || next == UInt8(ascii: ".")
                || ((next == UInt8(ascii: "+") || next == UInt8(ascii: "-"))
                    && (position == start || (source[position - 1] | 0x20 == 0x65 && !has("0x", at: start))))
        {
            position += 1
        }
        let text = text(start..<position)
        guard NumberLiteral.value(text) != nil else { throw failure("bad number syntax: \"\(text)\"", at: start) }
        tokens.append(TemplateToken(kind: .number, text: text, offset: start))
    }

    private mutating func quoted(_ quote: UInt8) throws(TemplateError) {
        let start = position
        let raw = quote == UInt8(ascii: "`")
        let what =
            raw
            ? "unterminated raw quoted string"
            : quote == UInt8(ascii: "'") ? "unterminated character constant" : "unterminated quoted string"
        position += 1
        while let next = byte(position), next != quote {
            if !raw, next == UInt8(ascii: "\n") { throw failure(what, at: start) }
            position += !raw && next == UInt8(ascii: "\\") ? 2 : 1
        }
        guard position < source.count else {
            position = source.count
            throw failure(what, at: start)
        }
        let body = source[start + 1..<position]
        position += 1
        let value = raw ? String(decoding: body.filter { $0 != 0x0d }, as: UTF8.self) : Unquoting.unquote(Array(body))
        guard let value else { throw failure("invalid syntax", at: start) }
        if quote == UInt8(ascii: "'"), value.unicodeScalars.count != 1 {
            throw failure("malformed character constant: \(text(start..<position))", at: start)
        }
        tokens.append(
            TemplateToken(kind: quote == UInt8(ascii: "'") ? .character : .string, text: value, offset: start))
    }
}

/// Numbers as Go's source has them.
enum NumberLiteral {
    static func value(_ literal: String) -> TemplateValue? {
        var digits = literal.replacing("_")
        var negative = false
        if let sign = digits.first, sign == "-" || sign == "+" {
            negative = sign == "-"
            digits.removeFirst()
        }
        let prefix = digits.prefix(2).lowercased()
        let radix = ["0x": 16, "0o": 8, "0b": 2][prefix]
        let body = radix == nil ? digits : String(digits.dropFirst(2))
        guard let first = body.first, first.isHexDigit || first == "." else { return nil }
        if let whole = Int64((negative ? "-" : "") + body, radix: radix ?? 10) { return .int(whole) }
        guard radix == nil, body.allSatisfy({ $0.isNumber || ".eE+-".contains($0) }),
            let real = Double((negative ? "-" : "") + (first == "." ? "0" + body : body)), real.isFinite
        else { return nil }
        // 1e3 is a whole number to Go's templates as well.
        return Int64(exactly: real).map { .int($0) } ?? .double(real)
    }
}

extension String {
    fileprivate func replacing(_ character: Character) -> String { String(filter { $0 != character }) }
}

/// Escapes of Go's interpreted string literals.
enum Unquoting {
    static func unquote(_ bytes: [UInt8]) -> String? {
        var output: [UInt8] = []
        var index = 0
        while index < bytes.count {
            guard bytes[index] == UInt8(ascii: "\\") else {
                output.append(bytes[index])
                index += 1
                continue
            }
            guard index + 1 < bytes.count else { return nil }
            let escape = bytes[index + 1]
            index += 2
            let simple: [UInt8: UInt8] = [
                0x61: 7, 0x62: 8, 0x66: 12, 0x6e: 10, 0x72: 13, 0x74: 9, 0x76: 11, 0x5c: 0x5c, 0x22: 0x22, 0x27: 0x27,
            ]
            if let byte = simple[escape] {
                output.append(byte)
                continue
            }
            let lengths: [UInt8: Int] = [0x78: 2, 0x75: 4, 0x55: 8]
            guard let length = lengths[escape], index + length <= bytes.count,
                let value = UInt32(String(decoding: bytes[index..<index + length], as: UTF8.self), radix: 16)
            else { return nil }
            index += length
            if escape == 0x78 {
                output.append(UInt8(value))
            } else {
                guard let scalar = Unicode.Scalar(value) else { return nil }
                output += Array(String(scalar).utf8)
            }
        }
        return String(validating: output, as: UTF8.self)
    }
}
