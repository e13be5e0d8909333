import WeftTemplate

/// `--filter KEY=VALUE`, several of them.
struct Filters {
    private(set) var values: [String: [String]] = [:]

    init(_ arguments: [String]) throws {
        for argument in arguments {
            guard let separator = argument.firstIndex(of: "="), separator > argument.startIndex else {
                throw CommandFailure("invalid filter \"\(argument)\": give it as KEY=VALUE")
            }
            let key = argument[..<separator].trimmed.lowercased()
            values[key, default: []].append(argument[argument.index(after: separator)...].trimmed)
        }
    }

    /// `filters={"driver":{"overlay":true}}`, or nothing.
    var query: [(String, String)] {
        guard !values.isEmpty else { return [] }
        let entries = values.sorted { $0.key < $1.key }.map { key, values in
            TemplateObject.Entry(
                key: key,
                value: .object(TemplateObject(values.map { .init(key: $0, value: true) }, kind: .map)))
        }
        return [("filters", TemplateValue.object(TemplateObject(entries, kind: .map)).json)]
    }

    /// Refuses keys that the command does not know.
    func check(_ known: Set<String>) throws {
        for key in values.keys.sorted() where !known.contains(key) {
            throw CommandFailure(
                "invalid filter \"\(key)\": this command knows \(known.sorted().joined(separator: ", "))")
        }
    }

    /// True when there is no such filter, or one of its values fits.
    func match(_ key: String, _ fits: (String) -> Bool) -> Bool {
        values[key].map { $0.contains(where: fits) } ?? true
    }
}

extension StringProtocol {
    var trimmed: String {
        var slice = self[...]
        while slice.first?.isWhitespace == true { slice = slice.dropFirst() }
        while slice.last?.isWhitespace == true { slice = slice.dropLast() }
        return String(slice)
    }
}

/// `NAME=VALUE` arguments as a dictionary; a name alone has an empty value.
func pairs(_ arguments: [String], option: String) throws -> [String: String] {
    var result: [String: String] = [:]
    for argument in arguments {
        let halves = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard let name = halves.first, !name.isEmpty else {
            throw CommandFailure("invalid value \"\(argument)\" for \(option): give it as NAME or NAME=VALUE")
        }
        result[String(name)] = halves.count > 1 ? String(halves[1]) : ""
    }
    return result
}
