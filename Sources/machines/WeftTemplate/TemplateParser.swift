/// Reads tokens into nodes.
struct TemplateParser {
    /// Deeper nesting is refused rather than left to overflow the stack.
    private static let depthMax = 200

    private let source: [UInt8]
    private let tokens: [TemplateToken]
    private var position = 0
    private var variables: [String] = ["$"]
    private var loops = 0
    private var depth = 0

    static func parse(_ text: String) throws(TemplateError) -> [TemplateNode] {
        var parser = TemplateParser(source: Array(text.utf8), tokens: try TemplateLexer.tokens(of: text))
        let (nodes, stop) = try parser.list()
        switch stop {
        case .end: return nodes
        case .endAction: throw parser.failure("unexpected {{end}}")
        case .elseAction: throw parser.failure("unexpected {{else}}")
        }
    }

    private init(source: [UInt8], tokens: [TemplateToken]) {
        self.source = source
        self.tokens = tokens
    }

    private enum Stop { case end, endAction, elseAction }

    private var current: TemplateToken {
        position < tokens.count ? tokens[position] : TemplateToken(kind: .end, text: "", offset: source.count)
    }

    private func failure(_ text: String) -> TemplateError {
        .syntax(line: 1 + source[..<min(current.offset, source.count)].count { $0 == UInt8(ascii: "\n") }, text)
    }

    private func unexpected(_ context: String) -> TemplateError {
        switch current.kind {
        case .end: failure("unexpected EOF")
        case .rightDelimiter: failure("unexpected \"}}\" in \(context)")
        case .keyword: failure("unexpected <\(current.text)> in \(context)")
        default: failure("unexpected \"\(current.text)\" in \(context)")
        }
    }

    private mutating func skipSpace() {
        while current.kind == .space { position += 1 }
    }

    private mutating func take(_ kind: TemplateToken.Kind) -> TemplateToken? {
        guard current.kind == kind else { return nil }
        defer { position += 1 }
        return current
    }

    private func place(from start: Int, at offset: Int? = nil) -> TemplatePlace {
        var end = min(current.offset, source.count)
        while end > start, source[end - 1] == 0x20 || source[end - 1] == 0x09 || source[end - 1] == 0x0a { end -= 1 }
        return TemplatePlace(
            offset: offset ?? start, source: String(decoding: source[min(start, end)..<end], as: UTF8.self))
    }

    private mutating func nested<Value>(_ body: (inout Self) throws(TemplateError) -> Value) throws(TemplateError)
        -> Value
    {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthMax else { throw failure("nested too deeply") }
        return try body(&self)
    }

    // MARK: Nodes

    private mutating func list() throws(TemplateError) -> ([TemplateNode], Stop) {
        var nodes: [TemplateNode] = []
        while true {
            if let text = take(.text) {
                nodes.append(.text(text.text))
                continue
            }
            guard take(.leftDelimiter) != nil else { return (nodes, .end) }
            skipSpace()
            guard current.kind == .keyword else {
                let pipeline = try pipeline(until: .rightDelimiter, context: "command")
                nodes.append(.action(pipeline))
                continue
            }
            let keyword = current.text
            position += 1
            switch keyword {
            case "end":
                try close("end")
                return (nodes, .endAction)
            case "else": return (nodes, .elseAction)
            case "if":
                nodes.append(.condition(try nested { parser throws(TemplateError) in try parser.branches("if") }))
            case "with":
                nodes.append(.with(try nested { parser throws(TemplateError) in try parser.branches("with") }))
            case "range":
                nodes.append(.range(try nested { parser throws(TemplateError) in try parser.branches("range") }))
            case "break", "continue":
                try close(keyword)
                guard loops > 0 else { throw failure("{{\(keyword)}} outside {{range}}") }
                nodes.append(keyword == "break" ? .breakLoop : .continueLoop)
            default: throw failure("{{\(keyword)}} is not supported here")
            }
        }
    }

    private mutating func close(_ context: String) throws(TemplateError) {
        skipSpace()
        guard take(.rightDelimiter) != nil else { throw unexpected(context) }
    }

    private mutating func branches(_ context: String) throws(TemplateError) -> TemplateNode.Branches {
        let scope = variables.count
        defer { variables.removeLast(variables.count - scope) }
        let pipeline = try pipeline(until: .rightDelimiter, context: context)
        if context == "range" { loops += 1 }
        let bodyScope = variables.count
        let (body, stop) = try list()
        variables.removeLast(variables.count - bodyScope)
        if context == "range" { loops -= 1 }
        switch stop {
        case .end: throw failure("unexpected EOF")
        case .endAction: return TemplateNode.Branches(pipeline: pipeline, body: body, otherwise: [])
        case .elseAction: return .init(pipeline: pipeline, body: body, otherwise: try otherwise(context))
        }
    }

    /// After `{{else`: `}}` and a list, or the `if` (`with`) of `{{else if …}}`, which shares the `{{end}}`.
    private mutating func otherwise(_ context: String) throws(TemplateError) -> [TemplateNode] {
        skipSpace()
        if current.kind == .keyword, current.text == context, context != "range" {
            position += 1
            let inner = try nested { parser throws(TemplateError) in try parser.branches(context) }
            return [context == "if" ? .condition(inner) : .with(inner)]
        }
        try close("else")
        let scope = variables.count
        defer { variables.removeLast(variables.count - scope) }
        let (nodes, stop) = try list()
        switch stop {
        case .end: throw failure("unexpected EOF")
        case .endAction: return nodes
        case .elseAction: throw failure("expected end; found {{else}}")
        }
    }

    // MARK: Pipelines

    private mutating func pipeline(until end: TemplateToken.Kind, context: String) throws(TemplateError)
        -> TemplatePipeline
    {
        skipSpace()
        let start = current.offset
        let (variables, assigns) = try declarations(context)
        var commands: [TemplateCommand] = []
        while true {
            skipSpace()
            if current.kind == end {
                guard !commands.isEmpty else { throw failure("missing value for \(context)") }
                let place = place(from: start)
                position += 1
                self.variables += assigns ? [] : variables
                return TemplatePipeline(variables: variables, assigns: assigns, commands: commands, place: place)
            }
            if !commands.isEmpty {
                guard take(.pipe) != nil else { throw unexpected(context) }
                skipSpace()
                if current.kind == end { throw failure("missing value for command") }
            }
            let command = try command(context)
            if !commands.isEmpty, let first = command.words.first {
                try mayReceive(first.operand, number: commands.count + 1)
            }
            commands.append(command)
        }
    }

    /// Only a function or a field may stand after `|`.
    private func mayReceive(_ operand: TemplateOperand, number: Int) throws(TemplateError) {
        switch operand {
        case .literal, .null, .dot: throw failure("non executable command in pipeline stage \(number)")
        case .field, .variable, .function, .pipeline, .chain: break
        }
    }

    private mutating func declarations(_ context: String) throws(TemplateError) -> ([String], Bool) {
        let start = position
        guard let first = take(.variable) else { return ([], false) }
        var names = [first.text]
        skipSpace()
        if context == "range", take(.comma) != nil {
            skipSpace()
            guard let second = take(.variable) else { throw failure("range can only initialize variables") }
            names.append(second.text)
            skipSpace()
        }
        if take(.declare) != nil { return (names, false) }
        if take(.assign) != nil {
            for name in names where !variables.contains(name) { throw failure("undefined variable \"\(name)\"") }
            return (names, true)
        }
        guard names.count == 1 else { throw unexpected("range") }
        position = start
        return ([], false)
    }

    private mutating func command(_ context: String) throws(TemplateError) -> TemplateCommand {
        let start = current.offset
        var words: [TemplateCommand.Word] = []
        while let word = try word() {
            words.append(word)
            guard current.kind == .space else { break }
            skipSpace()
        }
        guard !words.isEmpty else {
            if current.kind == .rightDelimiter || current.kind == .pipe {
                throw failure("missing value for \(context)")
            }
            throw unexpected(context)
        }
        switch current.kind {
        case .pipe, .rightDelimiter, .rightParenthesis: break
        default: throw unexpected("operand")
        }
        if words.count > 1, let first = words.first {
            switch first.operand {
            case .literal, .null, .dot: throw failure("can't give argument to non-function \(first.place.source)")
            case .field, .variable, .function, .pipeline, .chain: break
            }
        }
        return TemplateCommand(words: words, place: place(from: start))
    }

    private mutating func word() throws(TemplateError) -> TemplateCommand.Word? {
        let token = current
        guard var operand = try term() else { return nil }
        var fields: [String] = []
        // Go reports a chain of fields at its second one.
        let second = current.offset
        while let field = take(.field) { fields.append(field.text) }
        if !fields.isEmpty {
            switch operand {
            case .field(let names): operand = .field(names + fields)
            case .variable(let name, let names): operand = .variable(name, names + fields)
            case .dot: operand = .field(fields)
            case .literal, .null: throw failure("unexpected . after term \"\(token.text)\"")
            case .function, .pipeline, .chain: operand = .chain(operand, fields)
            }
        }
        return TemplateCommand.Word(
            operand: operand, place: place(from: token.offset, at: fields.isEmpty ? token.offset : second))
    }

    private mutating func term() throws(TemplateError) -> TemplateOperand? {
        let token = current
        switch token.kind {
        case .identifier:
            guard TemplateFunction(rawValue: token.text) != nil else {
                throw failure("function \"\(token.text)\" not defined")
            }
            position += 1
            return .function(token.text)
        case .dot:
            position += 1
            return .dot
        case .null:
            position += 1
            return .null
        case .field:
            position += 1
            return .field([token.text])
        case .variable:
            guard variables.contains(token.text) else { throw failure("undefined variable \"\(token.text)\"") }
            position += 1
            return .variable(token.text, [])
        case .bool:
            position += 1
            return .literal(.bool(token.text == "true"))
        case .string:
            position += 1
            return .literal(.string(token.text))
        case .character:
            position += 1
            return .literal(.int(Int64(token.text.unicodeScalars.first?.value ?? 0)))
        case .number:
            position += 1
            return NumberLiteral.value(token.text).map { .literal($0) }
        case .leftParenthesis:
            position += 1
            let inner = try nested { parser throws(TemplateError) in
                try parser.pipeline(until: .rightParenthesis, context: "parenthesized pipeline")
            }
            return .pipeline(inner)
        case .text, .leftDelimiter, .rightDelimiter, .keyword, .pipe, .rightParenthesis, .declare, .assign, .comma,
            .space, .end:
            return nil
        }
    }
}
