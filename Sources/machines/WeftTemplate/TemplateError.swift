/// Why a template could not be read or executed, worded as the docker CLI words it.
package enum TemplateError: Error, Hashable, CustomStringConvertible {
    /// `line` counts from 1.
    case syntax(line: Int, String)
    /// `column` counts bytes from 0; `node` is the source of what failed.
    case execution(line: Int, column: Int, node: String, String)

    package var description: String {
        switch self {
        case .syntax(let line, let text):
            return "template parsing error: template: :\(line): \(text)"
        case .execution(let line, let column, let node, let text):
            let shown =
                node.unicodeScalars.count > 20
                ? String(String.UnicodeScalarView(node.unicodeScalars.prefix(20))) + "..." : node
            return "template parsing error: template: :\(line):\(column): executing \"\" at <\(shown)>: \(text)"
        }
    }
}

/// What a function or an operator refuses; the evaluator adds where.
struct EvaluationFailure: Error {
    let text: String
    init(_ text: String) { self.text = text }
}
