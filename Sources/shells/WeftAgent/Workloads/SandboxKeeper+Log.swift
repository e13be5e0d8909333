import WeftModel
import WeftSandbox
import WeftThreads

extension SandboxKeeper {
    /// What waits between the thread that reads and who takes, each at most what the supervisor wrote at once.
    private static let batchesMax = 16

    /// Hands over what a sandbox wrote, as it comes; returns at its end.
    func readLog(
        of id: String, _ options: LogOptions, _ take: ([LogLine]) async throws -> Void
    ) async throws {
        let directory = try await find(id).directory
        let (batches, batch) = AsyncThrowingStream<[LogLine], any Error>.makeStream(
            bufferingPolicy: .bufferingOldest(Self.batchesMax))
        let since = options.since.map { UInt64(max(0, $0.nanoseconds)) } ?? 0
        // Reading and waiting for more blocks: it has a thread of its own, as long as somebody listens.
        let reading = Task(executorPreference: BlockingExecutor()) {
            do {
                try SandboxLog.lines(
                    directory: directory, follow: options.follows, since: since, tail: options.tail,
                    isCancelled: { Task.isCancelled }
                ) { hand($0.map(LogLine.init), to: batch) }
                batch.finish()
            } catch {
                batch.finish(throwing: error)
            }
        }
        batch.onTermination = { _ in reading.cancel() }
        for try await lines in batches { try await take(lines) }
        try Task.checkCancellation()
    }
}

extension LogLine {
    fileprivate init(_ line: SandboxLogLine) {
        self.init(time: Instant(nanoseconds: Int64(clamping: line.time)), isError: line.isError, bytes: line.bytes)
    }
}

/// Nil while the reader is slow, false when it has gone.
private func hand(
    _ lines: [LogLine], to batches: AsyncThrowingStream<[LogLine], any Error>.Continuation
) -> Bool? {
    switch batches.yield(lines) {
    case .enqueued: true
    case .dropped: nil
    case .terminated: false
    @unknown default: false
    }
}
