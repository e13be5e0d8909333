import Synchronization
package import WeftModel
import WeftNode

extension TaskKeeper {
    /// Reads of this node's tasks what a manager orders, over one stream, until that ends or the task is cancelled.
    package func serveLogs(
        _ orders: some AsyncSequence<LogOrder, any Error>, _ send: @escaping @Sendable (NodeLog) async throws -> Void
    ) async throws {
        let stream = TaskLogStream(keeper: self)
        defer { stream.end() }
        let sending = Task { try await stream.send(by: send) }
        defer { sending.cancel() }
        for try await order in orders { stream.take(order) }
    }
}

/// The readings of one stream to a manager: each has a task that reads and waits for room, and one task sends for all.
private final class TaskLogStream: Sendable {
    private struct State {
        var outflow = LogOutflow()
        var readings: [RequestNumber: (task: Task<Void, Never>, room: AsyncStream<Void>.Continuation)] = [:]
    }

    private let keeper: TaskKeeper
    private let state = Mutex(State())
    private let changes: AsyncStream<Void>
    private let change: AsyncStream<Void>.Continuation

    init(keeper: TaskKeeper) {
        self.keeper = keeper
        (changes, change) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    func end() {
        let readings = state.withLock { state in
            defer { state = State() }
            return state.readings.values.map(\.task)
        }
        for reading in readings { reading.cancel() }
        change.finish()
    }

    func take(_ order: LogOrder) {
        switch order {
        case .read(let number, let task, let container, let options): begin(number, task, container, options)
        case .credit(let number, let bytes): state.withLock { $0.outflow.credit(number, bytes: bytes) }
        case .cancel(let number):
            let reading = state.withLock { state in
                state.outflow.cancel(number)
                return state.readings.removeValue(forKey: number)
            }
            reading?.task.cancel()
        }
        change.yield()
    }

    private func begin(_ number: RequestNumber, _ task: TaskID, _ container: String, _ options: LogOptions) {
        state.withLock { state in
            // The manager keeps to the bound; one that does not waits for an end.
            guard state.outflow.begin(number) else { return }
            let (room, roomIn) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
            let reading = Task { await self.read(number, task, container, options, room) }
            state.readings[number] = (reading, roomIn)
        }
    }

    private func read(
        _ number: RequestNumber, _ task: TaskID, _ container: String, _ options: LogOptions, _ room: AsyncStream<Void>
    ) async {
        var reason: String?
        do {
            try await keeper.readLog(of: task, container: container, options) { lines in
                for line in lines {
                    while !self.add(line, to: number) {
                        for await _ in room { break }
                        try Task.checkCancellation()
                    }
                }
            }
        } catch is CancellationError {
            return
        } catch {
            reason = "\(error)"
        }
        state.withLock { state in
            state.outflow.end(number, reason: reason)
            state.readings[number] = nil
        }
        change.yield()
    }

    /// False: there is no room.
    private func add(_ line: LogLine, to number: RequestNumber) -> Bool {
        let isAdded = state.withLock { state in
            guard state.outflow.hasRoom(for: line.sizeBytes, number) else { return false }
            state.outflow.add([line], to: number)
            return true
        }
        if isAdded { change.yield() }
        return isAdded
    }

    func send(by send: @Sendable (NodeLog) async throws -> Void) async throws {
        var changes = changes.makeAsyncIterator()
        while !Task.isCancelled {
            switch state.withLock({ $0.outflow.next(now: keeper.now()) }) {
            case .send(let log):
                try await send(log)
                _ = state.withLock { $0.readings[log.number]?.room.yield() }
            case .wait(let until): try await Task.sleep(for: until - keeper.now())
            case .rest: if await changes.next() == nil { return }
            }
        }
    }
}
