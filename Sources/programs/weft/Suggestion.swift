import ArgumentParser

/// What was meant by a command that there is not.
enum Suggestion {
    /// The docker command's words for a swarm that Weft has nothing for yet, with what there is in their place.
    private static let missing: [(path: [String], instead: String)] = [
        (["stack"], "`docker stack` works through weftd's socket as far as services do"),
        (["node", "promote"], "a swarm has one manager"), (["node", "demote"], "a swarm has one manager"),
        (["network", "prune"], "`weft network rm` removes a network"),
        (["container"], "`weft ps`, `weft run` and others are for sandboxes"),
    ]

    /// That there is no such command, instead of the parser's word for it; nil if the mistake is another one.
    static func refusal(for arguments: [String]) -> String? {
        guard let (path, _) = unknownCommand(arguments) else { return nil }
        let command = (["weft"] + path).joined(separator: " ")
        guard let known = missing.first(where: { $0.path == path }) else { return "there is no command `\(command)`" }
        return "Weft does not have `\(command)` yet: \(known.instead)"
    }

    /// A sentence for the first word that is no command where one is expected; nil if nothing is like it. Options have the parser's.
    static func text(for arguments: [String]) -> String? {
        guard let (path, known) = unknownCommand(arguments), let word = path.last, !missing.contains(where: { $0.path == path })
        else { return nil }
        let near = known.flatMap { names(of: $0) }.map { ($0, distance(word, $0)) }.filter { $0.1 <= max(1, word.count / 3) }
        guard let best = near.min(by: { ($0.1, $0.0) < ($1.1, $1.0) }) else { return nil }
        return "did you mean `\((["weft"] + path.dropLast() + [best.0]).joined(separator: " "))`?"
    }

    /// The words up to the first that is no command where one is expected, and the commands there are; nil if each is one.
    private static func unknownCommand(
        _ arguments: [String]
    ) -> (path: [String], known: [any ParsableCommand.Type])? {
        var known = Weft.configuration.subcommands
        var path: [String] = []
        var rest = arguments[...]
        while !known.isEmpty, let word = rest.popFirst() {
            if word.hasPrefix("-") {
                // The one option with a value that may stand before a command.
                if word == "-H" || word == "--host" { _ = rest.popFirst() }
                continue
            }
            path.append(word)
            guard let next = known.first(where: { names(of: $0).contains(word) }) else { return (path, known) }
            known = next.configuration.subcommands
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
