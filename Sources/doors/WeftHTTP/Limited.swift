/// Returns what `body` comes to, or throws `late` when that takes longer than `limit`: it is left behind then, cancelled or not,
/// whatever it waits for.
package func limited<Value: Sendable>(
    to limit: Duration, cancels: Bool = true, late: any Error, _ body: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    // The first result counts.
    let (results, result) = AsyncStream<Result<Value, any Error>>.makeStream(bufferingPolicy: .bufferingOldest(1))
    let work = Task {
        do { result.yield(.success(try await body())) } catch { result.yield(.failure(error)) }
    }
    let timer = Task {
        try await Task.sleep(for: limit)
        result.yield(.failure(late))
        if cancels { work.cancel() }
    }
    defer { timer.cancel() }
    return try await withTaskCancellationHandler {
        for await first in results { return try first.get() }
        throw CancellationError()
    } onCancel: {
        if cancels { work.cancel() }
    }
}

extension Task where Failure == Never {
    /// The value of a task that others may wait for too; whoever is cancelled meanwhile cancels it.
    package var valueUnlessCancelled: Success {
        get async {
            await withTaskCancellationHandler {
                await value
            } onCancel: {
                cancel()
            }
        }
    }
}
