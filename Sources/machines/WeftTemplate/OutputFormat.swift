/// `--format` of commands that list or inspect, as the docker CLI understands it.
package enum OutputFormat: Sendable {
    /// `table …`: aligned columns under headings.
    case table(Template)
    /// A template executed for each row.
    case rows(Template)
    /// `json`: an object per line.
    case json

    /// Reads what `--format` was given. In lists `\t` and `\n` stand for tab and newline.
    package init(list format: String) throws(TemplateError) {
        let isTable = format.hasPrefix("table")
        if format == "json" {
            self = .json
            return
        }
        let body = Self.trimmed(isTable ? String(format.dropFirst(5)) : format)
        let template = try Template(Self.unescaped(body))
        self = isTable ? .table(template) : .rows(template)
    }

    /// The rows as text, each line ended. `headings` has a heading for each field that `table` may show.
    package func render(_ rows: [TemplateValue], headings: TemplateValue) throws(TemplateError) -> String {
        switch self {
        case .json: return rows.map { $0.json + "\n" }.joined()
        case .rows(let template): return try Self.lines(rows, template)
        case .table(let template):
            let head = try template.render(headings, headings: true)
            return TabWriter().format(head + "\n" + (try Self.lines(rows, template)))
        }
    }

    private static func lines(_ rows: [TemplateValue], _ template: Template) throws(TemplateError) -> String {
        var output = ""
        for row in rows { output += try template.render(row) + "\n" }
        return output
    }

    private static func trimmed(_ text: String) -> String {
        String(text.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }

    private static func unescaped(_ text: String) -> String {
        var output = ""
        var rest = text[...]
        while let character = rest.popFirst() {
            switch (character, rest.first) {
            case ("\\", "t"): output += "\t"
            case ("\\", "n"): output += "\n"
            default:
                output.append(character)
                continue
            }
            rest.removeFirst()
        }
        return output
    }
}
