import WeftModel

/// The store's contract in memory: guards are checked, all or nothing.
struct SimStore {
    private(set) var revision: Version = .none
    private(set) var objects: [StoreKey: StoredObject] = [:]

    var snapshot: StoreSnapshot {
        StoreSnapshot(revision: revision, objects: objects.values.sorted { $0.key < $1.key })
    }

    /// False when a guard does not hold.
    mutating func commit(_ transaction: Transaction) -> Bool {
        var keys: Set<StoreKey> = []
        for write in transaction.writes {
            guard keys.insert(write.key).inserted else { return false }
            let found = objects[write.key]?.version ?? .none
            switch write {
            case .put(_, let expected): guard found == expected else { return false }
            case .delete(_, let expected): guard expected.map({ $0 == found }) ?? true else { return false }
            }
        }
        revision = Version(revision.index + 1)
        for write in transaction.writes {
            switch write {
            case .put(var object, _):
                object.version = revision
                objects[object.key] = object
            case .delete(let key, _): objects[key] = nil
            }
        }
        return true
    }
}
