/// A value a template works on: what JSON can say, with the order of an object's keys kept.
///
/// The target is a small Go `text/template`, as far as `--format` needs it, and the JSON around it. It is pure:
/// text and values in, text out. It knows nothing of networks, HTTP or terminals.
package enum TemplateValue: Hashable, Sendable {
    case null
    case bool(Bool)
    case int(Int64)
    case double(Double)
    case string(String)
    case array([TemplateValue])
    case object(TemplateObject)
}

/// An object of ordered keys. A record has fixed fields, and an unknown one is an error;
/// a map has the user's own keys, and a missing one has no value.
package struct TemplateObject: Hashable, Sendable {
    package enum Kind: Hashable, Sendable { case record, map }

    package struct Entry: Hashable, Sendable {
        package let key: String
        package var value: TemplateValue
        package init(key: String, value: TemplateValue) {
            self.key = key
            self.value = value
        }
    }

    package var kind: Kind
    /// An empty map that JSON has as `null`.
    package var isNil = false
    package private(set) var entries: [Entry]
    /// Fields that take the name of an entry: `{{.Label "tier"}}`.
    package var lookups: [String: [String: String]] = [:]

    /// Of entries with the same key the last one counts, as in Go's JSON.
    package init(_ entries: [Entry] = [], kind: Kind = .record) {
        self.kind = kind
        self.entries = []
        var positions: [String: Int] = [:]
        for entry in entries {
            if let position = positions[entry.key] {
                self.entries[position].value = entry.value
            } else {
                positions[entry.key] = self.entries.count
                self.entries.append(entry)
            }
        }
    }

    package var keys: [String] { entries.map(\.key) }
    package var sortedEntries: [Entry] { entries.sorted { $0.key < $1.key } }

    package subscript(key: String) -> TemplateValue? {
        get { entries.first { $0.key == key }?.value }
        set {
            let position = entries.firstIndex { $0.key == key }
            switch (position, newValue) {
            case (let position?, let value?): entries[position].value = value
            case (let position?, nil): entries.remove(at: position)
            case (nil, let value?): entries.append(Entry(key: key, value: value))
            case (nil, nil): break
            }
        }
    }

    /// The field of that name. Docker's types say `ID` where its JSON says `Id`: both spellings find it.
    func field(_ name: String) -> TemplateValue? {
        if let value = self[name] { return value }
        switch name {
        case "ID": return self["Id"]
        case "Id": return self["ID"]
        default: return nil
        }
    }
}

extension TemplateValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByStringInterpolation
{
    package init(stringLiteral value: String) { self = .string(value) }
    package init(integerLiteral value: Int64) { self = .int(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(arrayLiteral elements: TemplateValue...) { self = .array(elements) }
    package init(dictionaryLiteral elements: (String, TemplateValue)...) {
        self = .object(TemplateObject(elements.map { TemplateObject.Entry(key: $0.0, value: $0.1) }))
    }
}

extension TemplateValue {
    /// A map of strings, in the order of its keys.
    package static func map(_ values: [String: String]) -> TemplateValue {
        .object(
            TemplateObject(
                values.sorted { $0.key < $1.key }.map { TemplateObject.Entry(key: $0.key, value: .string($0.value)) },
                kind: .map))
    }

    /// An array of strings.
    package static func strings(_ values: [String]) -> TemplateValue { .array(values.map { .string($0) }) }

    /// The field of an object; null where there is none.
    package subscript(key: String) -> TemplateValue {
        get {
            guard case .object(let object) = self else { return .null }
            return object.field(key) ?? .null
        }
        set {
            guard case .object(var object) = self else { return }
            object[key] = newValue
            self = .object(object)
        }
    }

    package var isNull: Bool { self == .null }
    package var string: String? { if case .string(let text) = self { text } else { nil } }
    package var bool: Bool? { if case .bool(let flag) = self { flag } else { nil } }
    package var array: [TemplateValue] { if case .array(let values) = self { values } else { [] } }
    package var object: TemplateObject? { if case .object(let object) = self { object } else { nil } }
    package var int: Int64? {
        switch self {
        case .int(let number): number
        case .double(let number): Int64(exactly: number)
        default: nil
        }
    }

    /// What `if`, `with`, `and` and `or` ask: not empty, not zero.
    package var isTrue: Bool {
        switch self {
        case .null: false
        case .bool(let flag): flag
        case .int(let number): number != 0
        case .double(let number): number != 0
        case .string(let text): !text.isEmpty
        case .array(let values): !values.isEmpty
        case .object(let object): object.kind == .record || !object.entries.isEmpty
        }
    }

    /// The kind's name as error texts and `%T` have it.
    package var typeName: String {
        switch self {
        case .null: "<nil>"
        case .bool: "bool"
        case .int: "int"
        case .double: "float64"
        case .string: "string"
        case .array: "[]interface {}"
        case .object: "map[string]interface {}"
        }
    }
}
