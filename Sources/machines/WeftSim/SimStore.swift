import WeftModel

/// The store's contract in memory: guards are checked, all or nothing. Revisions rise, and not by ones.
struct SimStore {
    enum Answer {
        case committed(StoreCommit)
        case outdated
        /// A guard does not hold, though nothing was committed since the transaction was worked out.
        case conflict(StoreKey)
    }

    private(set) var revision: Version = .none
    private(set) var objects: [StoreKey: StoredObject] = [:]

    var snapshot: StoreSnapshot {
        StoreSnapshot(revision: revision, objects: objects.values.sorted { $0.key < $1.key })
    }

    mutating func commit(_ transaction: Transaction) -> Answer {
        if let base = transaction.base, base != revision { return .outdated }
        var keys: Set<StoreKey> = []
        for write in transaction.writes {
            guard keys.insert(write.key).inserted else { return .conflict(write.key) }
            let found = objects[write.key]?.version ?? .none
            switch write {
            case .put(_, let expected): guard found == expected else { return .conflict(write.key) }
            case .delete(_, let expected): guard expected.map({ $0 == found }) ?? true else { return .conflict(write.key) }
            }
        }
        revision = Version(revision.index + 1 + revision.index % 3)
        let commit = StoreCommit(transaction, at: revision)
        for change in commit.changes {
            switch change {
            case .put(let object): objects[object.key] = object
            case .delete(let key): objects[key] = nil
            }
        }
        return .committed(commit)
    }
}
