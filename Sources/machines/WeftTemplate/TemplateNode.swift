/// A place in a template, for error texts.
struct TemplatePlace: Equatable, Sendable {
    let offset: Int
    let source: String
}

/// A value, or what is asked for one.
indirect enum TemplateOperand: Equatable, Sendable {
    case dot
    case null
    case literal(TemplateValue)
    case field([String])
    case variable(String, [String])
    case function(String)
    case pipeline(TemplatePipeline)
    /// Fields of something in parentheses, or of a function without arguments.
    case chain(TemplateOperand, [String])
}

/// A command: an operand, and arguments when it is a function or a field that takes some.
struct TemplateCommand: Equatable, Sendable {
    struct Word: Equatable, Sendable {
        let operand: TemplateOperand
        let place: TemplatePlace
    }
    let words: [Word]
    let place: TemplatePlace
}

/// Commands, each of which is given the value of the one before it as its last argument.
struct TemplatePipeline: Equatable, Sendable {
    /// `$x := …`; a range may declare two.
    var variables: [String] = []
    /// `$x = …` of a variable that exists.
    var assigns = false
    var commands: [TemplateCommand] = []
    let place: TemplatePlace
}

enum TemplateNode: Equatable, Sendable {
    struct Branches: Equatable, Sendable {
        let pipeline: TemplatePipeline
        let body: [TemplateNode]
        let otherwise: [TemplateNode]
    }
    case text(String)
    case action(TemplatePipeline)
    case condition(Branches)
    case with(Branches)
    case range(Branches)
    case breakLoop
    case continueLoop
}
