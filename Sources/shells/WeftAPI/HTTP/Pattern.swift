/// A regular expression as Docker's filters have them, which are Go's (RE2): found anywhere in a text unless it is anchored.
///
/// All ways through a pattern are followed at once, so that no pattern takes longer than its size times the text's.
struct Pattern: Sendable {
    private let program: [Instruction]
    /// Instructions; a pattern that needs more is none.
    private static let sizeMax = 10_000

    fileprivate enum Instruction: Sendable {
        case take(CharacterSet)
        case assert(Assertion)
        case jump(Int)
        /// Goes on at both.
        case split(Int, Int)
        case match
    }

    fileprivate enum Assertion: Sendable { case textStart, textEnd, lineStart, lineEnd, wordBoundary, noWordBoundary }

    /// Nil when the text is no pattern.
    init?(_ text: String) {
        var parser = PatternParser(text)
        guard let node = try? parser.parse() else { return nil }
        var program: [Instruction] = []
        guard Self.compile(node, into: &program) else { return nil }
        self.program = program + [.match]
    }

    func matches(_ text: String) -> Bool {
        let scalars = Array(text.unicodeScalars)
        var current = States(count: program.count)
        var next = States(count: program.count)
        for position in 0...scalars.count {
            // A match may begin anywhere.
            if follow(0, at: position, scalars, &current) { return true }
            guard position < scalars.count else { return false }
            next.removeAll()
            for state in current.list {
                guard case .take(let set) = program[state], set.contains(scalars[position]) else { continue }
                if follow(state + 1, at: position + 1, scalars, &next) { return true }
            }
            swap(&current, &next)
        }
        return false
    }

    /// Adds all that can be reached from `start` without taking a character; true when that is the end.
    private func follow(_ start: Int, at position: Int, _ text: [Unicode.Scalar], _ states: inout States) -> Bool {
        var pending = [start]
        while let state = pending.popLast() {
            guard states.insert(state) else { continue }
            switch program[state] {
            case .match: return true
            case .take: continue
            case .jump(let target): pending.append(target)
            case .split(let first, let second): pending += [second, first]
            case .assert(let assertion): if assertion.holds(at: position, in: text) { pending.append(state + 1) }
            }
        }
        return false
    }

    /// A set of instructions that is quick to empty.
    private struct States {
        var list: [Int] = []
        private var isIn: [Bool]
        init(count: Int) { isIn = Array(repeating: false, count: count) }
        mutating func insert(_ state: Int) -> Bool {
            guard !isIn[state] else { return false }
            isIn[state] = true
            list.append(state)
            return true
        }
        mutating func removeAll() {
            for state in list { isIn[state] = false }
            list.removeAll(keepingCapacity: true)
        }
    }

    /// False when the program would be too large.
    private static func compile(_ node: PatternNode, into program: inout [Instruction]) -> Bool {
        guard program.count < sizeMax else { return false }
        switch node {
        case .empty: return true
        case .take(let set): program.append(.take(set))
        case .assert(let assertion): program.append(.assert(assertion))
        case .sequence(let nodes):
            for node in nodes where !compile(node, into: &program) { return false }
        case .either(let nodes):
            var jumps: [Int] = []
            for node in nodes.dropLast() {
                let split = program.count
                program.append(.match)
                guard compile(node, into: &program) else { return false }
                jumps.append(program.count)
                program.append(.match)
                program[split] = .split(split + 1, program.count)
            }
            guard let last = nodes.last, compile(last, into: &program) else { return false }
            for jump in jumps { program[jump] = .jump(program.count) }
        case .repeated(let node, let least, let most):
            for _ in 0..<least {
                let before = program.count
                guard compile(node, into: &program) else { return false }
                // Nothing, however often: without an end at the program's size, repetitions of repetitions would have none.
                if program.count == before { break }
            }
            if let most {
                var splits: [Int] = []
                for _ in least..<most {
                    splits.append(program.count)
                    program.append(.match)
                    guard compile(node, into: &program) else { return false }
                }
                for split in splits { program[split] = .split(split + 1, program.count) }
            } else {
                let split = program.count
                program.append(.match)
                guard compile(node, into: &program) else { return false }
                program.append(.jump(split))
                program[split] = .split(split + 1, program.count)
            }
        }
        return true
    }
}

extension Pattern.Assertion {
    fileprivate func holds(at position: Int, in text: [Unicode.Scalar]) -> Bool {
        func isWord(_ index: Int) -> Bool { text.indices.contains(index) && CharacterSet.word.contains(text[index]) }
        return switch self {
        case .textStart: position == 0
        case .textEnd: position == text.count
        case .lineStart: position == 0 || text[position - 1] == "\n"
        case .lineEnd: position == text.count || text[position] == "\n"
        case .wordBoundary: isWord(position - 1) != isWord(position)
        case .noWordBoundary: isWord(position - 1) == isWord(position)
        }
    }
}

/// Characters, by ranges.
private struct CharacterSet: Sendable {
    var ranges: [ClosedRange<UInt32>] = []
    var isNegated = false
    /// Either case of a letter is meant.
    var foldsCase = false

    init(_ ranges: [ClosedRange<UInt32>], isNegated: Bool = false) {
        self.ranges = ranges
        self.isNegated = isNegated
    }
    init(_ scalar: Unicode.Scalar) { self.init([scalar.value...scalar.value]) }

    func contains(_ scalar: Unicode.Scalar) -> Bool {
        let forms = foldsCase ? [scalar] + Self.otherCase(scalar) : [scalar]
        return forms.contains { form in ranges.contains { $0.contains(form.value) } } != isNegated
    }

    private static func otherCase(_ scalar: Unicode.Scalar) -> [Unicode.Scalar] {
        [scalar.properties.lowercaseMapping, scalar.properties.uppercaseMapping].compactMap { mapping in
            mapping.unicodeScalars.count == 1 ? mapping.unicodeScalars.first : nil
        }
    }

    static let all = CharacterSet([0...UInt32.max])
    static let allButNewline = CharacterSet([0x0a...0x0a], isNegated: true)
    static let digit = CharacterSet([0x30...0x39])
    static let space = CharacterSet([0x09...0x0a, 0x0c...0x0d, 0x20...0x20])
    static let word = CharacterSet([0x30...0x39, 0x41...0x5a, 0x5f...0x5f, 0x61...0x7a])

    /// `[:NAME:]`.
    static let classes: [String: [ClosedRange<UInt32>]] = [
        "alnum": [0x30...0x39, 0x41...0x5a, 0x61...0x7a], "alpha": [0x41...0x5a, 0x61...0x7a], "ascii": [0...0x7f],
        "blank": [0x09...0x09, 0x20...0x20], "cntrl": [0...0x1f, 0x7f...0x7f], "digit": [0x30...0x39], "graph": [0x21...0x7e],
        "lower": [0x61...0x7a], "print": [0x20...0x7e], "punct": [0x21...0x2f, 0x3a...0x40, 0x5b...0x60, 0x7b...0x7e],
        "space": [0x09...0x0d, 0x20...0x20], "upper": [0x41...0x5a], "word": word.ranges,
        "xdigit": [0x30...0x39, 0x41...0x46, 0x61...0x66],
    ]

    /// All that is not in the ranges.
    static func complement(of ranges: [ClosedRange<UInt32>]) -> [ClosedRange<UInt32>] {
        var result: [ClosedRange<UInt32>] = []
        var next: UInt32 = 0
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if range.lowerBound > next { result.append(next...range.lowerBound - 1) }
            next = max(next, range.upperBound + 1)
        }
        return result + [next...UInt32.max]
    }
}

private indirect enum PatternNode {
    case empty
    case take(CharacterSet)
    case assert(Pattern.Assertion)
    case sequence([PatternNode])
    case either([PatternNode])
    case repeated(PatternNode, Int, Int?)
}

/// Reads a pattern (https://golang.org/s/re2syntax); classes of Unicode (`\p`) are left out, as names here are ASCII.
private struct PatternParser {
    struct Invalid: Error {}

    private struct Flags {
        var foldsCase = false
        var isMultiline = false
        var dotTakesNewline = false
    }

    private let text: [Unicode.Scalar]
    private var position = 0
    private var depth = 0
    private static let depthMax = 200
    private static let repetitionsMax = 1000

    init(_ text: String) { self.text = Array(text.unicodeScalars) }

    private var next: Unicode.Scalar? { position < text.count ? text[position] : nil }

    private mutating func take(_ wanted: String) -> Bool {
        let scalars = Array(wanted.unicodeScalars)
        guard text.count - position >= scalars.count, text[position..<position + scalars.count].elementsEqual(scalars) else {
            return false
        }
        position += scalars.count
        return true
    }

    private mutating func any() throws(Invalid) -> Unicode.Scalar {
        guard let scalar = next else { throw Invalid() }
        position += 1
        return scalar
    }

    mutating func parse() throws(Invalid) -> PatternNode {
        var flags = Flags()
        let node = try alternatives(&flags)
        guard position == text.count else { throw Invalid() }
        return node
    }

    /// Up to the end or a closing parenthesis.
    private mutating func alternatives(_ flags: inout Flags) throws(Invalid) -> PatternNode {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthMax else { throw Invalid() }
        var nodes = [try sequence(&flags)]
        while take("|") { nodes.append(try sequence(&flags)) }
        return nodes.count == 1 ? nodes[0] : .either(nodes)
    }

    private mutating func sequence(_ flags: inout Flags) throws(Invalid) -> PatternNode {
        var nodes: [PatternNode] = []
        while let scalar = next, scalar != "|", scalar != ")" {
            guard let atom = try atom(&flags) else { continue }
            nodes.append(try repetition(of: atom))
        }
        return nodes.count == 1 ? nodes[0] : nodes.isEmpty ? .empty : .sequence(nodes)
    }

    private mutating func repetition(of atom: PatternNode) throws(Invalid) -> PatternNode {
        guard let (least, most) = try bounds() else { return atom }
        // Whether few or many are taken first makes no difference to whether there is a match.
        _ = take("?")
        if let next, "*+?".unicodeScalars.contains(next) { throw Invalid() }
        let before = position
        if try bounds() != nil { throw Invalid() }
        position = before
        return .repeated(atom, least, most)
    }

    /// What follows an atom; braces that are no bounds are characters.
    private mutating func bounds() throws(Invalid) -> (Int, Int?)? {
        if take("*") { return (0, nil) }
        if take("+") { return (1, nil) }
        if take("?") { return (0, 1) }
        let start = position
        guard take("{"), let least = number() else {
            position = start
            return nil
        }
        var most: Int? = least
        if take(",") { most = number() }
        guard take("}") else {
            position = start
            return nil
        }
        guard least <= Self.repetitionsMax, (most ?? least) <= Self.repetitionsMax, least <= most ?? least else { throw Invalid() }
        return (least, most)
    }

    private mutating func number() -> Int? {
        var digits = ""
        while let scalar = next, CharacterSet.digit.contains(scalar), digits.count < 6 {
            digits.unicodeScalars.append(scalar)
            position += 1
        }
        return Int(digits)
    }

    /// Nil for what only changes flags.
    private mutating func atom(_ flags: inout Flags) throws(Invalid) -> PatternNode? {
        let scalar = try any()
        switch scalar {
        case "(": return try group(&flags)
        case "[": return .take(folded(try set(), flags))
        case ".": return .take(flags.dotTakesNewline ? .all : .allButNewline)
        case "^": return .assert(flags.isMultiline ? .lineStart : .textStart)
        case "$": return .assert(flags.isMultiline ? .lineEnd : .textEnd)
        case "*", "+", "?": throw Invalid()
        case "\\": return try escape(flags)
        default: return .take(folded(CharacterSet(scalar), flags))
        }
    }

    private func folded(_ set: CharacterSet, _ flags: Flags) -> CharacterSet {
        var set = set
        set.foldsCase = flags.foldsCase
        return set
    }

    private mutating func group(_ flags: inout Flags) throws(Invalid) -> PatternNode? {
        var inner = flags
        if take("?P<") || take("?<") {
            var count = 0
            while let scalar = next, CharacterSet.word.contains(scalar) {
                position += 1
                count += 1
            }
            guard count > 0, take(">") else { throw Invalid() }
        } else if take("?") {
            var isOn = true
            while !take(":") {
                if take(")") {
                    flags = inner
                    return nil
                }
                switch try any() {
                case "i": inner.foldsCase = isOn
                case "m": inner.isMultiline = isOn
                case "s": inner.dotTakesNewline = isOn
                case "U": break
                case "-" where isOn: isOn = false
                default: throw Invalid()
                }
            }
        }
        let node = try alternatives(&inner)
        guard take(")") else { throw Invalid() }
        return node
    }

    private mutating func escape(_ flags: Flags) throws(Invalid) -> PatternNode {
        let scalar = try any()
        switch scalar {
        case "A": return .assert(.textStart)
        case "z": return .assert(.textEnd)
        case "b": return .assert(.wordBoundary)
        case "B": return .assert(.noWordBoundary)
        case "Q":
            var nodes: [PatternNode] = []
            while position < text.count, !take("\\E") { nodes.append(.take(folded(CharacterSet(try any()), flags))) }
            return .sequence(nodes)
        default:
            if let ranges = Self.shorthand(scalar) { return .take(CharacterSet(ranges)) }
            return .take(folded(CharacterSet(try character(scalar)), flags))
        }
    }

    /// `\d` and its like.
    private static func shorthand(_ scalar: Unicode.Scalar) -> [ClosedRange<UInt32>]? {
        switch scalar {
        case "d": CharacterSet.digit.ranges
        case "s": CharacterSet.space.ranges
        case "w": CharacterSet.word.ranges
        case "D": CharacterSet.complement(of: CharacterSet.digit.ranges)
        case "S": CharacterSet.complement(of: CharacterSet.space.ranges)
        case "W": CharacterSet.complement(of: CharacterSet.word.ranges)
        default: nil
        }
    }

    /// A single character behind a backslash: what `scalar` begins.
    private mutating func character(_ scalar: Unicode.Scalar) throws(Invalid) -> Unicode.Scalar {
        switch scalar {
        case "a": return "\u{7}"
        case "f": return "\u{c}"
        case "n": return "\n"
        case "r": return "\r"
        case "t": return "\t"
        case "v": return "\u{b}"
        case "x":
            var digits = ""
            if take("{") {
                while !take("}") { digits.unicodeScalars.append(try any()) }
            } else {
                for _ in 0..<2 { digits.unicodeScalars.append(try any()) }
            }
            guard digits.first != "+", digits.first != "-", let value = UInt32(digits, radix: 16), let found = Unicode.Scalar(value)
            else { throw Invalid() }
            return found
        default:
            // Punctuation stands for itself; a letter or digit that means nothing is a mistake.
            guard scalar.isASCII, !CharacterSet.word.contains(scalar) || scalar == "_" else { throw Invalid() }
            return scalar
        }
    }

    /// What is in brackets, of which the first is taken.
    private mutating func set() throws(Invalid) -> CharacterSet {
        let isNegated = take("^")
        var ranges: [ClosedRange<UInt32>] = []
        var isFirst = true
        while isFirst || next != "]" {
            isFirst = false
            if take("[:") {
                let isOther = take("^")
                var name = ""
                while !take(":]") { name.unicodeScalars.append(try any()) }
                guard let found = CharacterSet.classes[name] else { throw Invalid() }
                ranges += isOther ? CharacterSet.complement(of: found) : found
                continue
            }
            var low = try any()
            if low == "\\" {
                let escaped = try any()
                if let found = Self.shorthand(escaped) {
                    ranges += found
                    continue
                }
                low = try character(escaped)
            }
            var high = low
            if position + 1 < text.count, next == "-", text[position + 1] != "]" {
                position += 1
                high = try any()
                if high == "\\" { high = try character(try any()) }
            }
            guard low <= high else { throw Invalid() }
            ranges.append(low.value...high.value)
        }
        guard take("]") else { throw Invalid() }
        return CharacterSet(ranges, isNegated: isNegated)
    }
}
