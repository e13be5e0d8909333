import Synchronization
import WeftModel
import WeftStore

/// A store that keeps nothing over its own life, and fails when told to.
final class MemoryStore: Store {
    struct Full: Error {}

    private struct State {
        var revision: Version
        var objects: [StoreKey: StoredObject] = [:]
        var isFull = false
    }

    private let state: Mutex<State>

    init() { state = Mutex(State(revision: .none)) }

    init(_ transaction: Transaction) {
        var first = State(revision: Version(1))
        for case .put(var object, _) in transaction.writes {
            object.version = Version(1)
            first.objects[object.key] = object
        }
        state = Mutex(first)
    }

    /// Whether commits fail from now on.
    func setFull(_ isFull: Bool) { state.withLock { $0.isFull = isFull } }

    func snapshot() async throws -> StoreSnapshot {
        state.withLock { state in
            StoreSnapshot(revision: state.revision, objects: state.objects.values.sorted { $0.key < $1.key })
        }
    }

    func commit(_ transaction: Transaction) async throws -> Version {
        try state.withLock { state in
            guard !state.isFull else { throw Full() }
            state.revision = Version(state.revision.index + 1)
            for write in transaction.writes {
                switch write {
                case .put(var object, _):
                    object.version = state.revision
                    state.objects[object.key] = object
                case .delete(let key, _): state.objects[key] = nil
                }
            }
            return state.revision
        }
    }

    func watch(from revision: Version) -> any AsyncSequence<StoreCommit, any Error> & Sendable {
        AsyncThrowingStream<StoreCommit, any Error> { $0.finish() }
    }
}
