extension GoFormat {
    private struct Verb {
        var minus = false
        var plus = false
        var sharp = false
        var space = false
        var zero = false
        var width: Int?
        var precision: Int?
    }
    /// A width beyond this is taken for a mistake, as in Go.
    private static let widthMax = 1_000_000

    /// `Sprintf`. Mistakes show up in the text, as in Go: `%!d(string=x)`.
    static func printf(_ format: String, _ arguments: [TemplateValue]) -> String {
        let scalars = Array(format.unicodeScalars)
        var output = ""
        var index = 0
        var used = 0

        func number() -> Int? {
            var value: Int?
            while index < scalars.count, let digit = Int(String(scalars[index])), scalars[index].isASCII {
                value = min((value ?? 0) * 10 + digit, widthMax)
                index += 1
            }
            return value
        }
        func size() -> Int? {
            guard index < scalars.count, scalars[index] == "*" else { return number() }
            index += 1
            guard used < arguments.count, let value = arguments[used].int, value.magnitude <= widthMax else {
                used += 1
                output += "%!(BADWIDTH)"
                return nil
            }
            used += 1
            return Int(value)
        }

        while index < scalars.count {
            guard scalars[index] == "%" else {
                output.unicodeScalars.append(scalars[index])
                index += 1
                continue
            }
            index += 1
            var verb = Verb()
            flags: while index < scalars.count {
                switch scalars[index] {
                case "-": verb.minus = true
                case "+": verb.plus = true
                case "#": verb.sharp = true
                case " ": verb.space = true
                case "0": verb.zero = true
                default: break flags
                }
                index += 1
            }
            verb.width = size()
            if let width = verb.width, width < 0 {
                verb.minus = true
                verb.width = -width
            }
            if index < scalars.count, scalars[index] == "." {
                index += 1
                verb.precision = max(size() ?? 0, 0)
            }
            guard index < scalars.count else {
                output += "%!(NOVERB)"
                break
            }
            let letter = scalars[index]
            index += 1
            if letter == "%" {
                output += "%"
            } else if used < arguments.count {
                output += formatted(arguments[used], letter, verb)
                used += 1
            } else {
                output += "%!\(letter)(MISSING)"
            }
        }
        if used < arguments.count {
            let extra = arguments[used...].map { $0.isNull ? "<nil>" : "\($0.typeName)=\(value($0))" }
            output += "%!(EXTRA \(extra.joined(separator: ", ")))"
        }
        return output
    }

    private static func formatted(_ value: TemplateValue, _ letter: Unicode.Scalar, _ verb: Verb) -> String {
        switch (letter, value) {
        case ("T", _): return pad(value.typeName, verb)
        case ("v", .object), ("v", .array), ("v", .null), ("v", .bool): return pad(GoFormat.value(value), verb)
        case ("t", .bool): return pad(GoFormat.value(value), verb)
        case ("s", .string(let text)), ("v", .string(let text)):
            if letter == "v", verb.sharp { return pad(quoted(text), verb) }
            return pad(cut(text, verb), verb)
        case ("q", .string(let text)):
            let text = cut(text, verb)
            return pad(verb.sharp && !text.contains("`") ? "`\(text)`" : quoted(text), verb)
        case ("x", .string(let text)), ("X", .string(let text)):
            let bytes = text.utf8.map { padded(String($0, radix: 16, uppercase: letter == "X"), to: 2, with: "0") }
            return pad(bytes.joined(separator: verb.space ? " " : ""), verb)
        case ("d", .int(let number)), ("v", .int(let number)): return integer(number, 10, "", false, verb)
        case ("x", .int(let number)): return integer(number, 16, "0x", false, verb)
        case ("X", .int(let number)): return integer(number, 16, "0X", true, verb)
        case ("o", .int(let number)): return integer(number, 8, "0", false, verb)
        case ("b", .int(let number)): return integer(number, 2, "0b", false, verb)
        case ("c", .int(let number)):
            return pad(String(UInt32(exactly: number).flatMap(Unicode.Scalar.init) ?? "\u{fffd}"), verb)
        case ("q", .int(let number)):
            return pad("'\(UInt32(exactly: number).flatMap(Unicode.Scalar.init) ?? "\u{fffd}")'", verb)
        case ("U", .int(let number)):
            return pad("U+" + padded(String(number, radix: 16, uppercase: true), to: 4, with: "0"), verb)
        case ("f", .double(let number)), ("F", .double(let number)):
            return signed(fixed(number, decimals: verb.precision ?? 6), verb)
        case ("e", .double(let number)), ("E", .double(let number)):
            return signed(exponential(number, decimals: verb.precision ?? 6, upper: letter == "E"), verb)
        case ("g", .double(let number)), ("G", .double(let number)), ("v", .double(let number)):
            return signed(shortest(number, upper: letter == "G"), verb)
        case ("s", .array(let values)), ("d", .array(let values)), ("q", .array(let values)):
            let plain = Verb(minus: verb.minus, width: verb.width, precision: verb.precision)
            return "[" + values.map { formatted($0, letter, plain) }.joined(separator: " ") + "]"
        default:
            return value.isNull ? "%!\(letter)(<nil>)" : "%!\(letter)(\(value.typeName)=\(GoFormat.value(value)))"
        }
    }

    private static func cut(_ text: String, _ verb: Verb) -> String {
        guard let precision = verb.precision else { return text }
        return String(String.UnicodeScalarView(text.unicodeScalars.prefix(precision)))
    }

    private static func pad(_ text: String, _ verb: Verb) -> String {
        padded(text, to: verb.width ?? 0, with: " ", left: verb.minus)
    }

    private static func integer(_ number: Int64, _ radix: Int, _ prefix: String, _ upper: Bool, _ verb: Verb)
        -> String
    {
        var digits = String(number.magnitude, radix: radix, uppercase: upper)
        if let precision = verb.precision { digits = padded(digits, to: precision, with: "0") }
        let body = (verb.sharp ? prefix : "") + digits
        return signed((number < 0 ? "-" : "") + body, verb)
    }

    /// Adds the sign that flags ask for, and pads: with zeros behind the sign.
    private static func signed(_ text: String, _ verb: Verb) -> String {
        var sign = ""
        var digits = text
        if let first = text.first, first == "-" || first == "+" {
            sign = first == "-" || verb.plus || !text.dropFirst().allSatisfy(\.isNumber) ? String(first) : ""
            digits = String(text.dropFirst())
        } else if verb.plus {
            sign = "+"
        } else if verb.space {
            sign = " "
        }
        if verb.zero, !verb.minus, let width = verb.width {
            return sign + padded(digits, to: width - sign.count, with: "0")
        }
        return pad(sign + digits, verb)
    }
}
