import Logging
import WeftModel
import WeftStore

/// Follows the store's commits from a revision on, whoever makes them, and hands them to the manager's queue.
struct StoreFollower: Sendable {
    let store: any Store
    let queue: ManagerQueue
    let logger: Logger

    /// Until cancelled.
    func run(from start: Version) async {
        var revision = start
        while !Task.isCancelled {
            do {
                for try await commit in store.watch(from: revision) {
                    try await hand(.committed(commit))
                    revision = commit.revision
                }
                logger.warning("the store's watch ended; it is begun anew")
            } catch StoreError.compacted, StoreError.unknownRevision {
                if let newer = await startOver() { revision = newer }
            } catch is CancellationError {
                return
            } catch {
                logger.warning("the store cannot be followed; it is tried again", metadata: ["error": "\(error)"])
            }
            try? await Task.sleep(for: .seconds(1))
        }
    }

    /// The commits in between are not to be had.
    private func startOver() async -> Version? {
        do {
            let snapshot = try await store.snapshot()
            try await hand(.startedOver(snapshot))
            return snapshot.revision
        } catch {
            logger.warning("the store cannot be read; it is tried again", metadata: ["error": "\(error)"])
            return nil
        }
    }

    /// Waits while the queue is full: the store keeps what comes meanwhile.
    private func hand(_ news: ManagerNews) async throws {
        while !queue.push(news) { try await Task.sleep(for: .milliseconds(50)) }
    }
}
