import ArgumentParser

/// What was meant by a command that there is not.
enum Suggestion {
    /// A sentence for the first word that is no command where one is expected; nil if nothing is like it. Options have the parser's.
    static func text(for arguments: [String]) -> String? {
        var command: any ParsableCommand.Type = Weft.self
        var path = ["weft"]
        var rest = arguments[...]
        while let word = rest.popFirst(), !command.configuration.subcommands.isEmpty {
            if word.hasPrefix("-") {
                // The one option with a value that may stand before a command.
                if word == "-H" || word == "--host" { _ = rest.popFirst() }
                continue
            }
            let known = command.configuration.subcommands
            if let next = known.first(where: { names(of: $0).contains(word) }) {
                command = next
                path.append(word)
                continue
            }
            let near = known.flatMap { names(of: $0) }.map { ($0, distance(word, $0)) }.filter { $0.1 <= max(1, word.count / 3) }
            guard let best = near.min(by: { ($0.1, $0.0) < ($1.1, $1.0) }) else { return nil }
            return "did you mean `\((path + [best.0]).joined(separator: " "))`?"
        }
        return nil
    }

    private static func names(of command: any ParsableCommand.Type) -> [String] {
        (command.configuration.commandName.map { [$0] } ?? []) + command.configuration.aliases
    }

    /// How many letters must be put in, left out, replaced or exchanged with their neighbour to make one word of the other.
    static func distance(_ left: String, _ right: String) -> Int {
        let (left, right) = (Array(left.lowercased()), Array(right.lowercased()))
        var rows = [Array(0...right.count)]
        for row in left.indices.map({ $0 + 1 }) {
            var next = [row]
            for column in right.indices.map({ $0 + 1 }) {
                let isSame = left[row - 1] == right[column - 1]
                var best = min(rows[row - 1][column] + 1, next[column - 1] + 1, rows[row - 1][column - 1] + (isSame ? 0 : 1))
                if row > 1, column > 1, left[row - 1] == right[column - 2], left[row - 2] == right[column - 1] {
                    best = min(best, rows[row - 2][column - 2] + 1)
                }
                next.append(best)
            }
            rows.append(next)
        }
        return rows[left.count][right.count]
    }
}
