/// The functions a template may call: Go's own and those that the docker CLI adds.
enum TemplateFunction: String {
    case and, or, not, len, index, slice, print, printf, println
    case eq, ne, lt, le, gt, ge
    case json, split, join, title, lower, upper, pad, truncate

    /// How many arguments it takes.
    private var arity: ClosedRange<Int> {
        switch self {
        case .not, .len, .json, .title, .lower, .upper: 1...1
        case .split, .join, .truncate, .ne, .lt, .le, .gt, .ge: 2...2
        case .pad: 3...3
        case .eq: 1...Int.max
        case .index, .and, .or, .printf: 1...Int.max
        case .slice: 1...4
        case .print, .println: 0...Int.max
        }
    }

    func checkArity(_ count: Int) throws(EvaluationFailure) {
        guard !arity.contains(count) else { return }
        let wanted =
            arity.upperBound == arity.lowerBound ? "want \(arity.lowerBound)" : "want at least \(arity.lowerBound)"
        throw EvaluationFailure("wrong number of args for \(rawValue): \(wanted) got \(count)")
    }

    /// `and` and `or` are evaluated lazily, before this.
    func call(_ arguments: [TemplateValue]) throws(EvaluationFailure) -> TemplateValue {
        try checkArity(arguments.count)
        switch self {
        case .and: return arguments.first { !$0.isTrue } ?? arguments[arguments.count - 1]
        case .or: return arguments.first { $0.isTrue } ?? arguments[arguments.count - 1]
        case .not: return .bool(!arguments[0].isTrue)
        case .len: return .int(Int64(try length(arguments[0])))
        case .index: return try index(arguments[0], arguments.dropFirst())
        case .slice: return try slice(arguments)
        case .print: return .string(GoFormat.print(arguments))
        case .println: return .string(GoFormat.println(arguments))
        case .printf: return .string(GoFormat.printf(try text(arguments[0]), Array(arguments.dropFirst())))
        case .eq:
            guard arguments.count > 1 else { throw refusal("missing argument for comparison") }
            for other in arguments.dropFirst() where try equal(arguments[0], other) { return true }
            return false
        case .ne: return .bool(!(try equal(arguments[0], arguments[1])))
        case .lt: return .bool(try less(arguments[0], arguments[1]))
        case .le: return .bool(!(try less(arguments[1], arguments[0])))
        case .gt: return .bool(try less(arguments[1], arguments[0]))
        case .ge: return .bool(!(try less(arguments[0], arguments[1])))
        case .json: return .string(arguments[0].json)
        case .split: return .strings(try split(text(arguments[0]), by: text(arguments[1])))
        case .join:
            let separator = try text(arguments[1])
            guard case .array(let parts) = arguments[0] else { throw wrongType(arguments[0], "[]string") }
            return .string(parts.map { GoFormat.value($0) }.joined(separator: separator))
        case .title: return .string(Self.title(try text(arguments[0])))
        case .lower: return .string(try text(arguments[0]).lowercased())
        case .upper: return .string(try text(arguments[0]).uppercased())
        case .pad:
            let body = try text(arguments[0])
            let (prefix, suffix) = (try count(arguments[1]), try count(arguments[2]))
            guard !body.isEmpty else { return "" }
            return .string(String(repeating: " ", count: prefix) + body + String(repeating: " ", count: suffix))
        case .truncate:
            let length = try count(arguments[1])
            return .string(String(String.UnicodeScalarView(try text(arguments[0]).unicodeScalars.prefix(length))))
        }
    }

    /// What the functions of docker do with a column's heading: they leave it as it is.
    var leavesHeadings: Bool {
        switch self {
        case .json, .split, .join, .title, .lower, .upper, .truncate: true
        default: false
        }
    }

    private func refusal(_ text: String) -> EvaluationFailure {
        EvaluationFailure("error calling \(rawValue): \(text)")
    }
    private func wrongType(_ value: TemplateValue, _ wanted: String) -> EvaluationFailure {
        EvaluationFailure("wrong type for value; expected \(wanted); got \(value.typeName)")
    }
    private func text(_ value: TemplateValue) throws(EvaluationFailure) -> String {
        guard case .string(let text) = value else { throw wrongType(value, "string") }
        return text
    }
    /// A length the user gave: not negative, and no reason to fill the memory.
    private func count(_ value: TemplateValue) throws(EvaluationFailure) -> Int {
        guard case .int(let number) = value else { throw wrongType(value, "int") }
        guard (0...1_000_000).contains(number) else { throw refusal("length out of range: \(number)") }
        return Int(number)
    }

    private func length(_ value: TemplateValue) throws(EvaluationFailure) -> Int {
        switch value {
        case .string(let text): return text.utf8.count
        case .array(let values): return values.count
        case .object(let object): return object.entries.count
        case .null: throw refusal("len of nil pointer")
        case .bool, .int, .double: throw refusal("len of type \(value.typeName)")
        }
    }

    private func index(_ value: TemplateValue, _ keys: ArraySlice<TemplateValue>) throws(EvaluationFailure)
        -> TemplateValue
    {
        var value = value
        for key in keys {
            switch value {
            case .object(let object):
                guard case .string(let name) = key else {
                    throw refusal("value has type \(key.typeName); should be string")
                }
                value = object.field(name) ?? .null
            case .array(let values):
                guard case .int(let position) = key else {
                    throw refusal("cannot index slice/array with type \(key.typeName)")
                }
                guard values.indices.contains(Int(clamping: position)) else {
                    throw refusal("index out of range: \(position)")
                }
                value = values[Int(clamping: position)]
            case .string(let text):
                guard case .int(let position) = key else {
                    throw refusal("cannot index slice/array with type \(key.typeName)")
                }
                let bytes = Array(text.utf8)
                guard bytes.indices.contains(Int(clamping: position)) else {
                    throw refusal("index out of range: \(position)")
                }
                value = .int(Int64(bytes[Int(clamping: position)]))
            case .null: throw refusal("index of untyped nil")
            case .bool, .int, .double: throw refusal("can't index item of type \(value.typeName)")
            }
        }
        return value
    }

    private func slice(_ arguments: [TemplateValue]) throws(EvaluationFailure) -> TemplateValue {
        let whole = try length(arguments[0])
        var bounds = [0, whole]
        for (position, argument) in arguments.dropFirst().prefix(2).enumerated() {
            guard case .int(let bound) = argument else {
                throw refusal("cannot index slice/array with type \(argument.typeName)")
            }
            guard (0...whole).contains(Int(clamping: bound)) else { throw refusal("index out of range: \(bound)") }
            bounds[position] = Int(clamping: bound)
        }
        guard bounds[0] <= bounds[1] else { throw refusal("invalid slice index: \(bounds[0]) > \(bounds[1])") }
        switch arguments[0] {
        case .string(let text):
            return .string(String(decoding: Array(text.utf8)[bounds[0]..<bounds[1]], as: UTF8.self))
        case .array(let values) where arguments.count < 4: return .array(Array(values[bounds[0]..<bounds[1]]))
        default: throw refusal("can't slice item of type \(arguments[0].typeName)")
        }
    }

    private func equal(_ left: TemplateValue, _ right: TemplateValue) throws(EvaluationFailure) -> Bool {
        switch (left, right) {
        case (.null, _), (_, .null): return left == right
        case (.bool, .bool), (.string, .string), (.int, .int), (.double, .double): return left == right
        case (.array, _), (_, .array), (.object, _), (_, .object):
            throw refusal("non-comparable type \(left.typeName): \(GoFormat.value(left))")
        default: throw refusal("incompatible types for comparison")
        }
    }

    private func less(_ left: TemplateValue, _ right: TemplateValue) throws(EvaluationFailure) -> Bool {
        switch (left, right) {
        case (.int(let left), .int(let right)): return left < right
        case (.double(let left), .double(let right)): return left < right
        case (.string(let left), .string(let right)): return left < right
        case (.int, _), (.double, _), (.string, _): throw refusal("incompatible types for comparison")
        default: throw refusal("invalid type for comparison")
        }
    }

    private func split(_ text: String, by separator: String) -> [String] {
        guard !separator.isEmpty else { return text.unicodeScalars.map { String($0) } }
        let bytes = Array(text.utf8)
        let wanted = Array(separator.utf8)
        var parts: [String] = []
        var start = 0
        var position = 0
        while position + wanted.count <= bytes.count {
            if bytes[position..<position + wanted.count].elementsEqual(wanted) {
                parts.append(String(decoding: bytes[start..<position], as: UTF8.self))
                position += wanted.count
                start = position
            } else {
                position += 1
            }
        }
        return parts + [String(decoding: bytes[start...], as: UTF8.self)]
    }

    /// Every word's first letter in upper case; words are split where no letter, digit, `_` or `'` stands.
    private static func title(_ text: String) -> String {
        var result = ""
        var inWord = false
        for character in text {
            result += inWord ? String(character) : character.uppercased()
            inWord = character.isLetter || character.isNumber || character == "_" || character == "'"
        }
        return result
    }
}
