/// A value that is large, and that many objects have alike: it lies in one place for all that were copied from one another, and is
/// compared by its place first. In files it is the value.
package struct Shared<Value: Hashable & Sendable & Codable>: Sendable {
    private final class Place: Sendable {
        let value: Value
        init(_ value: Value) { self.value = value }
    }

    private var place: Place

    package init(_ value: Value) { place = Place(value) }

    package var value: Value {
        _read { yield place.value }
        set { place = Place(newValue) }
    }

    /// Whether both are one, not only alike.
    package func isOne(with other: Shared) -> Bool { place === other.place }
}

extension Shared: Hashable {
    package static func == (left: Shared, right: Shared) -> Bool { left.isOne(with: right) || left.value == right.value }
    package func hash(into hasher: inout Hasher) { hasher.combine(value) }
}

extension Shared: Codable {
    package init(from decoder: any Decoder) throws { self.init(try Value(from: decoder)) }
    package func encode(to encoder: any Encoder) throws { try value.encode(to: encoder) }
}
