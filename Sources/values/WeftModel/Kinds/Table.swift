/// The objects of one kind, by their ids.
package struct Table<Value: KindedValue>: Sendable {
    private var byID: [Value.ID: Value] = [:]

    package init() {}

    package subscript(id: Value.ID) -> Value? {
        get { byID[id] }
        set { byID[id] = newValue }
    }

    package var keys: some Collection<Value.ID> { byID.keys }
    package var values: some Collection<Value> { byID.values }
    package var count: Int { byID.count }
    package var isEmpty: Bool { byID.isEmpty }
    /// By their ids. What is moved about while it sorts is numbers: objects are large, and their type is not known here.
    package var sorted: [Value] {
        let values = Array(byID.values)
        let texts = values.map(\.id.text)
        return values.indices.sorted { texts[$0] < texts[$1] }.map { values[$0] }
    }
}

/// A table whose kind one need not know.
package protocol ErasedTable: Sendable {
    associatedtype Value: KindedValue
    var typed: Table<Value> { get }
    var count: Int { get }
    mutating func remove(_ id: String)
}

extension Table: ErasedTable {
    package var typed: Self { self }
    package mutating func remove(_ id: String) { byID[Value.ID(id)] = nil }
}

/// A table for each kind. Objects lie in them as what they are: only the tables are looked up by kind.
package struct Tables: Sendable {
    private var byKind: [StoreKind: any ErasedTable] = [:]

    package init() {}

    package subscript<Value: KindedValue>(_ type: Value.Type) -> Table<Value> {
        get { byKind[Value.kind] as? Table<Value> ?? Table() }
        _modify {
            // Out of the dictionary while it is changed, so that it is changed in place.
            var table = byKind.removeValue(forKey: Value.kind) as? Table<Value> ?? Table()
            defer { byKind[Value.kind] = table }
            yield &table
        }
    }

    package mutating func put<Value: KindedValue>(_ value: Value) { self[Value.self][value.id] = value }

    package mutating func remove(_ key: StoreKey) { byKind[key.kind]?.remove(key.id) }

    /// The kind's table; nil while there was never an object of it.
    package subscript(kind: StoreKind) -> (any ErasedTable)? { byKind[kind] }

    /// In the order of their kinds.
    package var all: [any ErasedTable] { byKind.sorted { $0.key < $1.key }.map(\.value) }

    package var count: Int { byKind.values.reduce(0) { $0 + $1.count } }
}

extension Tables {
    /// An object of the store under its key.
    package func object(_ key: StoreKey) -> StoredObject? {
        func find(in table: some ErasedTable) -> StoredObject? {
            func object<Value: KindedValue>(_ table: Table<Value>) -> StoredObject? {
                table[Value.ID(key.id)].flatMap { $0 as? any StoredValue }.map { StoredObject($0) }
            }
            return object(table.typed)
        }
        return byKind[key.kind].flatMap { find(in: $0) }
    }
}
