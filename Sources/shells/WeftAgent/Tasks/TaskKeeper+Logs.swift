package import WeftModel
import WeftNode

/// The one reader of what this node's tasks write: the API asks it for its own node, a manager's stream for others.
extension TaskKeeper {
    /// Hands over what a task of this node wrote, as it comes, and returns at its end. Throws `LogUnavailable`, and what `take`
    /// throws.
    ///
    /// - Parameter container: which run of the task is meant. Only one that this node knows as the task's own is read.
    package func readLog(
        of task: TaskID, container: String, _ options: LogOptions, _ take: ([LogLine]) async throws -> Void
    ) async throws {
        let (own, spec) = try await read { ($0.container(of: task), $0.task(task)?.spec) }
        guard let spec, let driver = drivers[spec.runtime] else { throw LogUnavailable("its node does not have the task") }
        guard own == container else { throw LogUnavailable("its container is not there any more") }
        do {
            try await driver.readLog(of: container, hasTerminal: spec.container.hasTerminal, options) { lines in
                let lines = lines.filter(options.takes)
                guard !lines.isEmpty else { return }
                // What goes wrong with who takes them is not the log's affair.
                do { try await take(lines) } catch { throw NotTaken(reason: error) }
            }
        } catch let error as NotTaken {
            throw error.reason
        } catch let error as CancellationError {
            throw error
        } catch {
            throw LogUnavailable("\(error)")
        }
    }
}

private struct NotTaken: Error { let reason: any Error }
