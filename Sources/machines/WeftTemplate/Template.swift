// Go's `text/template` as far as `--format` needs it, with the docker CLI's functions and words. Pure: text and values in, text out.
// Knows nothing of networks, HTTP or terminals. `%f` expands the exact decimal digits of a number, because sizes are printed with it and
// Go rounds so.

/// A template of Go's `text/template`: what `--format` takes.
package struct Template: Sendable {
    private let source: String
    private let nodes: [TemplateNode]

    /// Reads a template; throws what the docker CLI would print.
    package init(_ source: String) throws(TemplateError) {
        self.source = source
        nodes = try TemplateParser.parse(source)
    }

    /// Executes it.
    package func render(_ value: TemplateValue) throws(TemplateError) -> String {
        try render(value, headings: false)
    }

    func render(_ value: TemplateValue, headings: Bool) throws(TemplateError) -> String {
        var evaluator = TemplateEvaluator(source: source, root: value, headings: headings)
        try evaluator.run(nodes, dot: value)
        return evaluator.output
    }
}
