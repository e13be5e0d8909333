import ArgumentParser

/// Finds where the sandbox's own command begins: `weft run --name a1 sh -c 'x'` needs no `--` before `sh`, and
/// nothing behind it is an option of weft's.
enum Passthrough {
    /// Puts `--` before the first word of `run` and `exec` that is no option. The other arguments stay as they are.
    static func marked(_ arguments: [String]) -> [String] {
        // A shell that completes asks in a form of its own.
        guard arguments.first != "---completion", let verb = verb(arguments) else { return arguments }
        let rest = arguments[(verb + 1)...]
        let flags: Set<String>
        let shortFlags: Set<Character>
        switch arguments[verb] {
        case "run":
            (flags, shortFlags) = (["--detach", "--interactive", "--tty", "--rm", "--help"], ["d", "i", "t"])
        case "exec": (flags, shortFlags) = (["--detach", "--interactive", "--tty", "--help"], ["d", "i", "t", "h"])
        default: return arguments
        }
        let start = firstWord(rest, flags: flags, shortFlags: shortFlags)
        let options = arguments[..<(start ?? rest.firstIndex(of: "--") ?? arguments.endIndex)]
        let separated = options.flatMap { separate($0, shortFlags) }
        return separated + (start == nil ? [] : ["--"]) + Array(arguments[options.endIndex...])
    }

    /// `-eA=1` as `-e A=1`: the parser takes it for an option called `eA`.
    private static func separate(_ argument: String, _ shortFlags: Set<Character>) -> [String] {
        guard argument.hasPrefix("-"), !argument.hasPrefix("--"), argument.contains("=") else { return [argument] }
        let letters = argument.dropFirst()
        guard let option = letters.firstIndex(where: { !shortFlags.contains($0) }), letters[option].isLetter else {
            return [argument]
        }
        let value = letters.index(after: option)
        return ["-" + letters[..<value], String(letters[value...])]
    }

    /// Where the subcommand stands, behind the options of `weft` itself.
    static func verb(_ arguments: [String]) -> Int? {
        firstWord(arguments[...], flags: ["--help", "--version"], shortFlags: ["h"])
    }

    /// Where the first word stands that is neither an option nor an option's value; nil when there is none, or
    /// when `--` says so already.
    private static func firstWord(
        _ arguments: ArraySlice<String>, flags: Set<String>, shortFlags: Set<Character>
    ) -> Int? {
        var index = arguments.startIndex
        while index < arguments.endIndex {
            let argument = arguments[index]
            if argument == "--" { return nil }
            guard argument.hasPrefix("-"), argument != "-" else { return index }
            if argument.hasPrefix("--") {
                index += flags.contains(argument) || argument.contains("=") ? 1 : 2
            } else {
                // -it is two flags; -e takes the next word, -eX=1 has its value with it.
                let letters = argument.dropFirst()
                let option = letters.firstIndex { !shortFlags.contains($0) }
                index += option.map { letters.index(after: $0) == letters.endIndex } ?? false ? 2 : 1
            }
        }
        return nil
    }
}

extension Weft {
    /// The command that the arguments ask for, without running it.
    static func command(_ arguments: [String]) throws -> any ParsableCommand {
        try parseAsRoot(Passthrough.marked(arguments))
    }
}
