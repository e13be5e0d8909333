import Synchronization
package import WeftModel

/// The swarm's newest events, and those to come. It outlives the manager that fills it.
package final class ClusterEventLog: Sendable {
    /// As many as dockerd remembers of all kinds.
    private static let kept = 256
    /// Events that may wait for one reader; past it the oldest are lost to it.
    private static let waitingMax = 1024

    private struct State {
        var past: [ClusterEvent] = []
        var next = 0
        var readers: [Int: AsyncStream<ClusterEvent>.Continuation] = [:]
    }

    private let state = Mutex(State())

    package init() {}

    func append(_ events: [ClusterEvent]) {
        guard !events.isEmpty else { return }
        state.withLock { state in
            state.past = (state.past + events).suffix(Self.kept)
            for reader in state.readers.values { for event in events { reader.yield(event) } }
        }
    }

    /// What is remembered, oldest first, and from there on what comes, until the reader ends.
    package func follow() -> (past: [ClusterEvent], live: AsyncStream<ClusterEvent>) {
        let (live, reader) = AsyncStream<ClusterEvent>.makeStream(
            bufferingPolicy: .bufferingNewest(Self.waitingMax))
        let (past, number) = state.withLock { state in
            state.next += 1
            state.readers[state.next] = reader
            return (state.past, state.next)
        }
        reader.onTermination = { [weak self] _ in
            self?.state.withLock { _ = $0.readers.removeValue(forKey: number) }
        }
        return (past, live)
    }
}
