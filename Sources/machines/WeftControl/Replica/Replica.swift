package import WeftModel

/// The store's objects as this manager knows them: it knows all commits up to `revision`, and nothing of any other.
///
/// It changes by commits only, own and foreign ones through the same entry. Revisions rise; how they are numbered is the
/// store's business.
package struct Replica: Sendable {
    /// An object that a commit changed, before and after. Nil: there was, or is, no such object.
    package struct Change: Sendable {
        package let key: StoreKey
        package let old: StoredObject?
        package let new: StoredObject?
    }

    /// The objects of one commit, for those who are told what changed since.
    struct LogEntry: Sendable {
        let revision: Version
        let changes: [LoggedChange]
    }

    /// An object that changed, and whom it concerns: before and since.
    struct LoggedChange: Hashable, Sendable {
        let key: StoreKey
        let audiences: [Audience]

        func concerns(_ node: NodeID) -> Bool { audiences.contains { $0.includes(node) } }
    }

    /// How many commits can be told as changes to a node that comes back.
    static let logMax = 1024

    /// The newest commit that is in it.
    package private(set) var revision: Version
    private(set) var tables = IndexedTables()
    /// Commits after `logBase`, oldest first.
    private(set) var log: [LogEntry] = []
    private(set) var logBase: Version

    package init(_ snapshot: StoreSnapshot) {
        revision = snapshot.revision
        logBase = snapshot.revision
        // Networks before what refers to them: leases need their layouts.
        for object in snapshot.objects.sorted(by: { $0.key < $1.key }) { tables.put(object.value) }
    }

    /// Takes a commit in, and returns what it changed, by key. One that is in it already changes nothing.
    package mutating func apply(_ commit: StoreCommit) -> [Change] {
        guard commit.revision > revision else { return [] }
        revision = commit.revision
        let changes = commit.changes.sorted { $0.key < $1.key }
        let old = changes.map { tables.object($0.key) }
        // All of them go before any comes: what one gives up, another may take.
        for change in changes { tables.delete(change.key) }
        var applied: [Change] = []
        for (change, old) in zip(changes, old) {
            switch change {
            case .put(let object):
                tables.put(object.value)
                applied.append(Change(key: change.key, old: old, new: object))
            case .delete:
                if old != nil { applied.append(Change(key: change.key, old: old, new: nil)) }
            }
        }
        remember(applied)
        return applied
    }

    private mutating func remember(_ changes: [Change]) {
        log.append(LogEntry(revision: revision, changes: changes.map(LoggedChange.init)))
        if log.count > Self.logMax { logBase = log.removeFirst().revision }
    }

    /// Revisions after which the log has everything.
    var remembered: ClosedRange<Version> { logBase...revision }

    /// The commits after a revision that the log has.
    func commits(after start: Version) -> ArraySlice<LogEntry> {
        var (low, high) = (log.startIndex, log.endIndex)
        while low < high {
            let middle = (low + high) / 2
            if log[middle].revision > start { high = middle } else { low = middle + 1 }
        }
        return log[low...]
    }

    // MARK: Drafts

    /// Lends the tables out to be written over; `takeBack` gets them as they were. A copy would be one of every object.
    mutating func lend() -> Draft {
        var lent = IndexedTables()
        swap(&lent, &tables)
        return Draft(lent, of: revision)
    }

    mutating func takeBack(_ draft: inout Draft) { draft.giveBack(to: &tables) }
}

extension Replica.LoggedChange {
    fileprivate init(_ change: Replica.Change) {
        let (old, new) = (change.old?.value.audience, change.new?.value.audience)
        if let before = change.old?.value, let now = change.new?.value, old == new, !Self.isNews(now, since: before) {
            self.init(key: change.key, audiences: [])
            return
        }
        self.init(key: change.key, audiences: old == new ? [old].compactMap(\.self) : [old, new].compactMap(\.self))
    }

    private static func isNews<Value: StoredValue>(_ new: Value, since old: any StoredValue) -> Bool {
        (old as? Value).map { new.isNews(since: $0) } ?? true
    }
}
