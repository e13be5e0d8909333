package import WeftText

extension TemplateValue {
    /// Reads one JSON value. Objects whose key is in `maps` have keys of the user's own; null there is an empty map.
    package init(json text: some Sequence<UInt8>, maps: Set<String> = []) throws(JSONError) {
        self.init(try JSON(parsing: text), maps: maps, isMap: false)
    }

    private init(_ json: JSON, maps: Set<String>, isMap: Bool) {
        switch json {
        case .null where isMap:
            var empty = TemplateObject(kind: .map)
            empty.isNil = true
            self = .object(empty)
        case .null: self = .null
        case .bool(let flag): self = .bool(flag)
        case .integer(let number): self = .int(number)
        case .number(let number): self = .double(number)
        case .string(let text): self = .string(text)
        case .array(let values): self = .array(values.map { TemplateValue($0, maps: maps, isMap: false) })
        case .object(let members):
            let entries = members.map { key, value in
                TemplateObject.Entry(key: key, value: TemplateValue(value, maps: maps, isMap: maps.contains(key)))
            }
            self = .object(TemplateObject(entries, kind: isMap ? .map : .record))
        }
    }

    private var tree: JSON {
        switch self {
        case .null: .null
        case .bool(let flag): .bool(flag)
        case .int(let number): .integer(number)
        case .double(let number): .number(number)
        case .string(let text): .string(text)
        case .array(let values): .array(values.map(\.tree))
        case .object(let object) where object.isNil && object.entries.isEmpty: .null
        case .object(let object):
            .object((object.kind == .map ? object.sortedEntries : object.entries).map { ($0.key, $0.value.tree) })
        }
    }

    /// In one line.
    package var json: String { tree.text }

    /// Over several lines; `indent` is what each level adds.
    package func json(indent: String) -> String { tree.text(indent: indent) }
}
