/// Executes nodes against a value.
struct TemplateEvaluator {
    /// The row of a table's headings: docker's own functions leave it alone, and unknown fields are empty.
    let headings: Bool
    private var variables: [(name: String, value: TemplateValue)]
    private(set) var output = ""
    private let source: [UInt8]

    private enum Flow { case next, breakLoop, continueLoop }

    init(source: String, root: TemplateValue, headings: Bool) {
        self.source = Array(source.utf8)
        self.headings = headings
        variables = [("$", root)]
    }

    mutating func run(_ nodes: [TemplateNode], dot: TemplateValue) throws(TemplateError) {
        _ = try walk(nodes, dot)
    }

    private func failure(_ place: TemplatePlace, _ text: String) -> TemplateError {
        let before = source[..<min(place.offset, source.count)]
        let line = 1 + before.count { $0 == UInt8(ascii: "\n") }
        let start = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
        return .execution(line: line, column: before.count - start, node: place.source, text)
    }

    private mutating func walk(_ nodes: [TemplateNode], _ dot: TemplateValue) throws(TemplateError) -> Flow {
        let scope = variables.count
        defer { variables.removeLast(variables.count - scope) }
        for node in nodes {
            switch node {
            case .text(let text): output += text
            case .action(let pipeline):
                let value = try evaluate(pipeline, dot)
                guard pipeline.variables.isEmpty else { continue }
                output += value.isNull ? "<no value>" : GoFormat.value(value)
            case .condition(let branches):
                let flow = try branch(branches, dot, isWith: false)
                if flow != .next { return flow }
            case .with(let branches):
                let flow = try branch(branches, dot, isWith: true)
                if flow != .next { return flow }
            case .range(let branches):
                let flow = try loop(branches, dot)
                if flow != .next { return flow }
            case .breakLoop: return .breakLoop
            case .continueLoop: return .continueLoop
            }
        }
        return .next
    }

    private mutating func branch(
        _ branches: TemplateNode.Branches, _ dot: TemplateValue, isWith: Bool
    ) throws(TemplateError) -> Flow {
        let scope = variables.count
        defer { variables.removeLast(variables.count - scope) }
        let value = try evaluate(branches.pipeline, dot)
        if value.isTrue { return try walk(branches.body, isWith ? value : dot) }
        return try walk(branches.otherwise, dot)
    }

    private mutating func loop(_ branches: TemplateNode.Branches, _ dot: TemplateValue) throws(TemplateError) -> Flow {
        let scope = variables.count
        defer { variables.removeLast(variables.count - scope) }
        var pipeline = branches.pipeline
        let names = pipeline.variables
        pipeline.variables = []
        let value = try evaluate(pipeline, dot)
        let elements: [(TemplateValue, TemplateValue)]
        switch value {
        case .null: elements = []
        case .array(let values): elements = values.enumerated().map { (.int(Int64($0.offset)), $0.element) }
        case .object(let object): elements = object.sortedEntries.map { (.string($0.key), $0.value) }
        case .int(let count):
            guard count <= 1_000_000 else { throw failure(pipeline.place, "range can't iterate over \(count)") }
            elements = (0..<max(count, 0)).map { (.int($0), .int($0)) }
        case .bool, .double, .string:
            throw failure(pipeline.place, "range can't iterate over \(GoFormat.value(value))")
        }
        guard !elements.isEmpty else { return try walk(branches.otherwise, dot) }
        let outer = variables.count
        iteration: for (key, element) in elements {
            defer { variables.removeLast(variables.count - outer) }
            switch (names.count, branches.pipeline.assigns) {
            case (1, false): variables.append((names[0], element))
            case (2, false): variables += [(names[0], key), (names[1], element)]
            case (1, true): set(names[0], element)
            case (2, true):
                set(names[0], key)
                set(names[1], element)
            default: break
            }
            switch try walk(branches.body, element) {
            case .breakLoop: break iteration
            case .continueLoop, .next: continue
            }
        }
        return .next
    }

    private mutating func set(_ name: String, _ value: TemplateValue) {
        if let position = variables.lastIndex(where: { $0.name == name }) { variables[position].value = value }
    }

    private mutating func evaluate(_ pipeline: TemplatePipeline, _ dot: TemplateValue) throws(TemplateError)
        -> TemplateValue
    {
        var final: TemplateValue?
        for command in pipeline.commands { final = try evaluate(command, dot, final) }
        let value = final ?? .null
        for name in pipeline.variables {
            if pipeline.assigns { set(name, value) } else { variables.append((name, value)) }
        }
        return value
    }

    private mutating func evaluate(
        _ command: TemplateCommand, _ dot: TemplateValue, _ final: TemplateValue?
    ) throws(TemplateError) -> TemplateValue {
        guard let first = command.words.first else { return .null }
        let arguments = command.words.dropFirst()
        switch first.operand {
        case .function(let name):
            guard let function = TemplateFunction(rawValue: name) else {
                throw failure(command.place, "function \"\(name)\" not defined")
            }
            return try call(function, arguments, dot, final, command.place)
        case .field(let names): return try fields(names, of: dot, arguments, dot, final, first.place)
        case .variable(let name, let names):
            return try fields(names, of: variable(name), arguments, dot, final, first.place)
        case .chain(let inner, let names):
            return try fields(names, of: try value(inner, dot, first.place), arguments, dot, final, first.place)
        case .pipeline, .dot, .null, .literal:
            guard arguments.isEmpty, final == nil else {
                throw failure(first.place, "can't give argument to non-function \(first.place.source)")
            }
            return try value(first.operand, dot, first.place)
        }
    }

    private func variable(_ name: String) -> TemplateValue { variables.last { $0.name == name }?.value ?? .null }

    /// The value of an operand that stands as an argument.
    private mutating func value(
        _ operand: TemplateOperand, _ dot: TemplateValue, _ place: TemplatePlace
    ) throws(TemplateError) -> TemplateValue {
        switch operand {
        case .dot: return dot
        case .null: return .null
        case .literal(let value): return value
        case .field(let names): return try fields(names, of: dot, [], dot, nil, place)
        case .variable(let name, let names): return try fields(names, of: variable(name), [], dot, nil, place)
        case .pipeline(let pipeline): return try evaluate(pipeline, dot)
        case .chain(let inner, let names):
            return try fields(names, of: try value(inner, dot, place), [], dot, nil, place)
        case .function(let name):
            guard let function = TemplateFunction(rawValue: name) else {
                throw failure(place, "function \"\(name)\" not defined")
            }
            return try call(function, [], dot, nil, place)
        }
    }

    private mutating func call(
        _ function: TemplateFunction, _ words: ArraySlice<TemplateCommand.Word>, _ dot: TemplateValue,
        _ final: TemplateValue?, _ place: TemplatePlace
    ) throws(TemplateError) -> TemplateValue {
        do throws(EvaluationFailure) {
            try function.checkArity(words.count + (final == nil ? 0 : 1))
        } catch {
            throw failure(place, error.text)
        }
        var arguments: [TemplateValue] = []
        for word in words {
            let value = try value(word.operand, dot, word.place)
            // The rest is not even looked at: `and .A .A.B`.
            if function == .and, !value.isTrue { return value }
            if function == .or, value.isTrue { return value }
            arguments.append(value)
        }
        if let final { arguments.append(final) }
        if headings, function.leavesHeadings { return arguments.first { $0.string?.isEmpty == false } ?? "" }
        do throws(EvaluationFailure) {
            return try function.call(arguments)
        } catch {
            throw failure(place, error.text)
        }
    }

    private mutating func fields(
        _ names: [String], of receiver: TemplateValue, _ words: ArraySlice<TemplateCommand.Word>,
        _ dot: TemplateValue,
        _ final: TemplateValue?, _ place: TemplatePlace
    ) throws(TemplateError) -> TemplateValue {
        var arguments: [TemplateValue] = []
        for word in words { arguments.append(try value(word.operand, dot, word.place)) }
        if let final { arguments.append(final) }
        var receiver = receiver
        for (position, name) in names.enumerated() {
            let given = position == names.count - 1 ? arguments : []
            receiver = try field(name, of: receiver, given, place)
        }
        guard !names.isEmpty || arguments.isEmpty else {
            throw failure(place, "can't give argument to non-function \(place.source)")
        }
        return receiver
    }

    private func field(
        _ name: String, of receiver: TemplateValue, _ arguments: [TemplateValue], _ place: TemplatePlace
    ) throws(TemplateError) -> TemplateValue {
        guard case .object(let object) = receiver else {
            if headings { return "" }
            if receiver.isNull { throw failure(place, "nil data; no entry for key \"\(name)\"") }
            throw failure(place, "can't evaluate field \(name) in type \(receiver.typeName)")
        }
        if let lookup = object.lookups[name] {
            guard arguments.count == 1, case .string(let key) = arguments[0] else {
                throw failure(place, "wrong number of args for \(name): want 1 got \(arguments.count)")
            }
            return .string(lookup[key] ?? "")
        }
        if let value = object.field(name) {
            guard arguments.isEmpty else { throw failure(place, "\(name) is not a method but has arguments") }
            return value
        }
        if headings, case .string(let key)? = arguments.first {
            // Docker heads the column of a label with the last part of the label's name.
            let part = key.split(separator: ".", omittingEmptySubsequences: false).last ?? ""
            return .string(String(part.map { $0 == "-" || $0 == "_" ? " " : $0 }))
        }
        switch object.kind {
        case .map: return .null
        case .record: throw failure(place, "map has no entry for key \"\(name)\"")
        }
    }
}
