import Synchronization
import WeftModel
import WeftStore

/// A store that keeps nothing over its own life. It fails when told to, is slow when told to, and has other writers.
final class MemoryStore: Store {
    struct Full: Error {}

    private struct State {
        var revision: Version
        var objects: [StoreKey: StoredObject] = [:]
        var log: [StoreCommit] = []
        /// Commits before this are forgotten.
        var compacted = Version(0)
        var watchers: [Int: AsyncStream<Void>.Continuation] = [:]
        var watcherCount = 0
        /// Transactions that were committed through `commit`.
        var transactions: [Transaction] = []
        /// Whether a transaction is not taken.
        var refuses: @Sendable (Transaction) -> Bool = { _ in false }
        var gate: Gate?
    }

    private let state: Mutex<State>

    init() { state = Mutex(State(revision: .none)) }

    init(_ transaction: Transaction) {
        var first = State(revision: Version(0))
        Self.apply(StoreCommit(transaction, at: Version(1)), to: &first)
        state = Mutex(first)
    }

    var transactions: [Transaction] { state.withLock { $0.transactions } }
    var revision: Version { state.withLock { $0.revision } }

    /// Which transactions are not taken from now on.
    func refuse(_ isRefused: @escaping @Sendable (Transaction) -> Bool) { state.withLock { $0.refuses = isRefused } }

    /// Whether no transaction is taken from now on.
    func setFull(_ isFull: Bool) { refuse { _ in isFull } }

    /// Commits wait from now on, until the gate is opened.
    func hold() -> Gate {
        let gate = Gate()
        state.withLock { $0.gate = gate }
        return gate
    }

    /// Another manager commits.
    func commitByAnother(_ writes: [StoreWrite]) {
        state.withLock { state in
            Self.apply(StoreCommit(Transaction(writes), at: Version(state.revision.index + 5)), to: &state)
        }
    }

    /// Forgets its log.
    func compact() {
        state.withLock { state in
            state.compacted = state.revision
            state.log = []
        }
    }

    func snapshot() async throws -> StoreSnapshot {
        state.withLock { state in
            StoreSnapshot(revision: state.revision, objects: state.objects.values.sorted { $0.key < $1.key })
        }
    }

    func commit(_ transaction: Transaction) async throws -> Version {
        if let gate = state.withLock({ $0.gate }) { await gate.pass() }
        return try state.withLock { state in
            if state.refuses(transaction) { throw Full() }
            if let base = transaction.base, base != state.revision {
                throw StoreError.outdated(base: base, newest: state.revision)
            }
            for write in transaction.writes { try Self.check(write, in: state) }
            Self.apply(StoreCommit(transaction, at: Version(state.revision.index + 1)), to: &state)
            state.transactions.append(transaction)
            return state.revision
        }
    }

    private static func check(_ write: StoreWrite, in state: State) throws {
        let found = state.objects[write.key]?.version ?? .none
        let expected: Version? =
            switch write {
            case .put(_, let version): version
            case .delete(_, let version): version
            }
        if let expected, expected != found { throw StoreError.conflict(write.key, expected: expected, found: found) }
    }

    private static func apply(_ commit: StoreCommit, to state: inout State) {
        state.revision = commit.revision
        for change in commit.changes {
            switch change {
            case .put(let object): state.objects[object.key] = object
            case .delete(let key): state.objects[key] = nil
            }
        }
        state.log.append(commit)
        for watcher in state.watchers.values { watcher.yield() }
    }

    func watch(from revision: Version) -> any AsyncSequence<StoreCommit, any Error> & Sendable {
        Watch(store: self, start: revision)
    }

    private struct Watch: AsyncSequence, Sendable {
        typealias Element = StoreCommit
        typealias Failure = any Error

        let store: MemoryStore
        let start: Version

        struct Iterator: AsyncIteratorProtocol {
            let store: MemoryStore
            var cursor: Version
            var wakeUps: AsyncStream<Void>.Iterator

            mutating func next() async throws -> StoreCommit? {
                while true {
                    try Task.checkCancellation()
                    if let commit = try store.commit(after: cursor) {
                        cursor = commit.revision
                        return commit
                    }
                    if await wakeUps.next(isolation: #isolation) == nil { return nil }
                }
            }
        }

        func makeAsyncIterator() -> Iterator {
            Iterator(store: store, cursor: start, wakeUps: store.wakeUps().makeAsyncIterator())
        }
    }

    private func commit(after cursor: Version) throws -> StoreCommit? {
        try state.withLock { state in
            guard cursor >= state.compacted else { throw StoreError.compacted(requested: cursor, oldest: state.compacted) }
            return state.log.first { $0.revision > cursor }
        }
    }

    private func wakeUps() -> AsyncStream<Void> {
        let (stream, watcher) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let number = state.withLock { state in
            state.watcherCount += 1
            state.watchers[state.watcherCount] = watcher
            return state.watcherCount
        }
        watcher.onTermination = { [weak self] _ in self?.state.withLock { _ = $0.watchers.removeValue(forKey: number) } }
        return stream
    }
}

/// Lets nobody pass until it is opened.
final class Gate: Sendable {
    private struct State {
        var isOpen = false
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    /// How many wait.
    var count: Int { state.withLock { $0.waiting.count } }

    func pass() async {
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                if !state.isOpen { state.waiting.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
    }

    func open() {
        let waiting = state.withLock { state in
            state.isOpen = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for one in waiting { one.resume() }
    }
}
