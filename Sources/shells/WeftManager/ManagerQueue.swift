import Synchronization
import WeftControl
import WeftModel
import WeftNet

/// What an operator, a node or the clock wants of the manager.
enum ManagerInput: Sendable {
    case command(ControlCommand, CheckedContinuation<ControlReply, any Error>)
    case connected(NodeID, SessionID, address: IPv4Address?, SessionOutlet)
    case received(NodeID, SessionID, NodeMessage)
    case disconnected(NodeID, SessionID)
    case addressShown(NodeID, IPv4Address)
    case tick
}

/// What the manager hears of its store, and who wants to look: taken in at once, whatever else waits.
enum ManagerNews: Sendable {
    case outcome(Result<Version, any Error>)
    case committed(StoreCommit)
    case startedOver(StoreSnapshot)
    case read(@Sendable (Replica) -> Void)
}

/// What waits for the manager's task, in two lanes with a bound each. Whoever pushes learns at once whether there is room.
final class ManagerQueue: Sendable {
    struct Batch: Sendable {
        var news: [ManagerNews] = []
        var inputs: ArraySlice<ManagerInput> = []
    }

    private struct State {
        var news: [ManagerNews] = []
        var inputs: ArraySlice<ManagerInput> = []
        var isFinished = false
    }

    private let limit: Int
    private let state = Mutex(State())
    private let wakeUps: AsyncStream<Void>
    private let waker: AsyncStream<Void>.Continuation

    /// `limit` is of either lane.
    init(limit: Int) {
        self.limit = limit
        (wakeUps, waker) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// False: there is no room, or the queue is finished.
    func push(_ input: ManagerInput) -> Bool {
        add { state in
            guard state.inputs.count < limit else { return false }
            state.inputs.append(input)
            return true
        }
    }

    /// False: there is no room, or the queue is finished.
    func push(_ news: ManagerNews) -> Bool {
        add { state in
            guard state.news.count < limit else { return false }
            state.news.append(news)
            return true
        }
    }

    /// There is one at a time, and a place for it, also when the queue is finished.
    func pushOutcome(_ outcome: Result<Version, any Error>) {
        state.withLock { $0.news.append(.outcome(outcome)) }
        waker.yield()
    }

    private func add(_ change: (inout State) -> Bool) -> Bool {
        let isAdded = state.withLock { state in
            guard !state.isFinished else { return false }
            return change(&state)
        }
        if isAdded { waker.yield() }
        return isAdded
    }

    /// All the news, and so many inputs at most, as soon as there are any, or unless they are awaited as it is; nil once the queue is
    /// finished, or the task is cancelled.
    func next(inputsMax: Int, isAwaited: Bool = true) async -> Batch? {
        var iterator = wakeUps.makeAsyncIterator()
        while true {
            if Task.isCancelled { return nil }
            if let batch = take(inputsMax: inputsMax) { return batch }
            if !isAwaited, !isFinished { return Batch() }
            if await iterator.next() == nil { return nil }
        }
    }

    private func take(inputsMax: Int) -> Batch? {
        state.withLock { state in
            guard !state.isFinished else { return nil }
            let batch = Batch(news: state.news, inputs: state.inputs.prefix(max(0, inputsMax)))
            state.news = []
            state.inputs = state.inputs.dropFirst(batch.inputs.count)
            // What was taken is not kept alive by what waits behind it.
            if state.inputs.isEmpty { state.inputs = [] }
            return batch.news.isEmpty && batch.inputs.isEmpty ? nil : batch
        }
    }

    private var isFinished: Bool { state.withLock { $0.isFinished } }

    var inputCount: Int { state.withLock { $0.inputs.count } }

    /// Nothing is taken from now on.
    func finish() {
        state.withLock { $0.isFinished = true }
        waker.finish()
    }

    /// What is left of a finished queue.
    func drain() -> Batch {
        state.withLock { state in
            defer { (state.news, state.inputs) = ([], []) }
            return Batch(news: state.news, inputs: state.inputs)
        }
    }
}
