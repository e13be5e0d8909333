package import WeftModel
package import WeftSandbox
import WeftThreads

extension SandboxKeeper {
    /// What a sandbox wrote, line by line. Whoever follows it stops by letting go of the stream.
    ///
    /// - Parameters:
    ///   - follow: go on until the sandbox ends.
    ///   - since: leave out what began before.
    ///   - tail: of the lines that there are, only so many of the last; nil is all.
    package func log<Line: Sendable>(
        of id: String, follow: Bool, since: Instant?, tail: Int?, _ shape: @escaping @Sendable (SandboxLogLine) -> Line
    ) async throws -> AsyncThrowingStream<Line, any Error> {
        let directory = try await find(id).directory
        let (lines, line) = AsyncThrowingStream<Line, any Error>.makeStream(bufferingPolicy: .bufferingOldest(1024))
        let since = since.map { UInt64(max(0, $0.nanoseconds)) } ?? 0
        // Reading and waiting for more blocks: it has a thread of its own, as long as somebody listens.
        let reading = Task(executorPreference: BlockingExecutor()) {
            do {
                try SandboxLog.lines(
                    directory: directory, follow: follow, since: since, tail: tail, isCancelled: { Task.isCancelled }
                ) { hand(shape($0), to: line) }
                line.finish()
            } catch {
                line.finish(throwing: error)
            }
        }
        line.onTermination = { _ in reading.cancel() }
        return lines
    }
}

/// Nil while the reader is slow, false when it has gone.
private func hand<Line: Sendable>(_ found: Line, to lines: AsyncThrowingStream<Line, any Error>.Continuation) -> Bool? {
    switch lines.yield(found) {
    case .enqueued: true
    case .dropped: nil
    case .terminated: false
    @unknown default: false
    }
}
