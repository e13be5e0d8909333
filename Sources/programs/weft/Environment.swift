/// `-e` and `--env-file`: `NAME=VALUE`, or a name alone for its value here.
enum Environment {
    static func entries(files: [String], arguments: [String]) throws -> [String] {
        var entries: [String] = []
        for file in files {
            guard let text = Terminal.contents(of: file) else {
                throw CommandFailure("cannot read the environment file \(file)", exitCode: 125)
            }
            for line in text.split(whereSeparator: \.isNewline) {
                // What follows the first `=` belongs to the value, blanks and all.
                let line = line.drop { $0.isWhitespace }
                if line.isEmpty || line.hasPrefix("#") { continue }
                entries += try entry(String(line))
            }
        }
        for argument in arguments { entries += try entry(argument) }
        return entries
    }

    private static func entry(_ text: String) throws -> [String] {
        let name = text.prefix { $0 != "=" }
        guard !name.isEmpty, !name.contains(where: \.isWhitespace) else {
            throw CommandFailure("invalid environment variable: \(text)", exitCode: 125)
        }
        if text.contains("=") { return [text] }
        return Terminal.environment(text).map { ["\(text)=\($0)"] } ?? []
    }
}
