/// One change that a commit made.
package enum StoreChange: Hashable, Sendable {
    case put(StoredObject)
    case delete(StoreKey)

    package var key: StoreKey {
        switch self {
        case .put(let object): object.key
        case .delete(let key): key
        }
    }
}

/// What one transaction changed, in its own order.
package struct StoreCommit: Hashable, Sendable {
    package let revision: Version
    package let changes: [StoreChange]

    package init(revision: Version, changes: [StoreChange]) {
        self.revision = revision
        self.changes = changes
    }
}

extension StoreCommit {
    /// What a transaction that went through at a revision changed. Deleting what is not there is listed as well.
    package init(_ transaction: Transaction, at revision: Version) {
        self.init(
            revision: revision,
            changes: transaction.writes.map { write in
                switch write {
                case .put(var object, _):
                    object.version = revision
                    return .put(object)
                case .delete(let key, _): return .delete(key)
                }
            })
    }
}
