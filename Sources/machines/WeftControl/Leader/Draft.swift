import WeftModel

/// What is wanted written, laid over a replica's tables, and the way back.
///
/// Everything that reads it sees the changes of those before it. Objects in it have a version that no commit gave out
/// yet, so that what refers to an earlier one is out of date.
struct Draft: Sendable {
    /// An object before one change.
    private struct Step: Sendable {
        let key: StoreKey
        let before: StoredObject?
    }

    private(set) var tables: IndexedTables
    /// The commit that it is laid over.
    let base: Version
    private var journal: [Step] = []

    init(_ tables: consuming IndexedTables, of base: Version) {
        self.tables = tables
        self.base = base
    }

    /// What objects have for their version until it is committed. The store gives versions as they come: at least this one.
    var newVersion: Version { Version(base.index + 1) }

    mutating func put(_ value: some StoredValue) {
        var value = value
        value.version = newVersion
        journal.append(Step(key: value.key, before: tables.object(value.key)))
        tables.put(value)
    }

    mutating func delete(_ key: StoreKey) {
        guard let before = tables.object(key) else { return }
        journal.append(Step(key: key, before: before))
        tables.delete(key)
    }

    /// How many changes were made.
    var mark: Int { journal.count }

    /// Takes back what was changed since there were so many changes.
    mutating func undo(to mark: Int) {
        while journal.count > mark, let step = journal.popLast() {
            if let before = step.before { tables.put(before.value) } else { tables.delete(step.key) }
        }
    }

    /// What was changed since there were so many changes, as it was before.
    func changes(since mark: Int) -> some Sequence<(key: StoreKey, before: StoredObject?)> {
        journal[mark...].lazy.map { ($0.key, $0.before) }
    }

    func hasChanged(_ kind: StoreKind) -> Bool { journal.contains { $0.key.kind == kind } }

    /// Networks that were there and are not any more.
    var removedNetworks: [Network] {
        journal.compactMap { step in
            step.before?.as(Network.self).flatMap { tables.networks[$0.id] == nil ? $0 : nil }
        }
    }

    /// The guarded transaction that makes the changes durable, nil when there are none.
    func transaction() -> Transaction? {
        var former: [StoreKey: Version] = [:]
        for step in journal where former[step.key] == nil { former[step.key] = step.before?.version ?? Version.none }
        var writes: [StoreWrite] = []
        for (key, before) in former.sorted(by: { $0.key < $1.key }) {
            if let object = tables.object(key) {
                writes.append(.put(object, expecting: before))
            } else if before != .none {
                writes.append(.delete(key, expecting: before))
            }
        }
        return writes.isEmpty ? nil : Transaction(writes, base: base)
    }

    /// Takes everything back, and gives the tables to who lent them.
    mutating func giveBack(to lender: inout IndexedTables) {
        undo(to: 0)
        swap(&tables, &lender)
    }
}
