// Forms of text that others define and every layer meets: JSON, base 64, percent-encoding, the shortest decimal form of a
// number. Free of Foundation, so that the small programs (weft-shim, weft-cni) have the same reader as weftd. What it reads
// is foreign: nothing here traps, and depth is bounded.

/// A JSON value (RFC 8259). Objects keep the order of their members, so that a body reads as it was written, and are
/// looked up as Go does it: the exact key first, then any spelling of it; of two equal keys the last counts.
package enum JSON: Sendable {
    /// How deep arrays and objects may lie in each other; an engine's deepest answers have about ten levels.
    package static let depthMax = 64

    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    case array([JSON])
    case object([(key: String, value: JSON)])

    /// The member of an object; nil when it is absent or null, or when this is no object.
    package subscript(key: String) -> JSON? {
        guard case .object(let members) = self else { return nil }
        let wanted = key.lowercased()
        let found =
            members.last { $0.key == key }
            ?? members.last { $0.key.utf8.count == wanted.utf8.count && $0.key.lowercased() == wanted }
        guard let value = found?.value, !value.isNull else { return nil }
        return value
    }

    package var isNull: Bool { if case .null = self { true } else { false } }

    package var isArray: Bool { if case .array = self { true } else { false } }

    /// An unsigned counter; beyond 2^63−1 it stays there.
    package static func counter(_ value: UInt64) -> JSON { .integer(Int64(clamping: value)) }

    /// The text, or null for nil.
    package static func optional(_ text: String?) -> JSON { text.map(JSON.string) ?? .null }

    package static func strings(_ texts: [String]) -> JSON { .array(texts.map(JSON.string)) }

    /// An object with sorted keys.
    package static func map(_ texts: [String: String]) -> JSON {
        .object(texts.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })
    }

    package static func counters(_ values: [String: UInt64]) -> JSON {
        .object(values.sorted { $0.key < $1.key }.map { ($0.key, .counter($0.value)) })
    }

    /// Replaces a member of an object, in any spelling of its key, or adds it at the end.
    package mutating func set(_ key: String, _ value: JSON) {
        guard case .object(var members) = self else { return }
        self = .null
        members.removeAll { $0.key.lowercased() == key.lowercased() }
        members.append((key, value))
        self = .object(members)
    }

    /// Adds a member at the end of an object.
    package mutating func append(_ key: String, _ value: JSON) {
        guard case .object(var members) = self else { return }
        self = .null
        members.append((key, value))
        self = .object(members)
    }
}

extension JSON: Equatable {
    package static func == (left: JSON, right: JSON) -> Bool {
        switch (left, right) {
        case (.null, .null): true
        case (.bool(let a), .bool(let b)): a == b
        case (.integer(let a), .integer(let b)): a == b
        case (.number(let a), .number(let b)): a == b
        case (.string(let a), .string(let b)): a == b
        case (.array(let a), .array(let b)): a == b
        case (.object(let a), .object(let b)):
            a.count == b.count && zip(a, b).allSatisfy { $0.key == $1.key && $0.value == $1.value }
        case (.null, _), (.bool, _), (.integer, _), (.number, _), (.string, _), (.array, _), (.object, _): false
        }
    }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral {
    package init(stringLiteral value: String) { self = .string(value) }
    package init(integerLiteral value: Int64) { self = .integer(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
}

extension JSON: ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral {
    package init(arrayLiteral elements: JSON...) { self = .array(elements) }
    package init(dictionaryLiteral elements: (String, JSON)...) { self = .object(elements.map { ($0.0, $0.1) }) }
}
