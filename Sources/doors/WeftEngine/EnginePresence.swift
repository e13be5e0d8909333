import Synchronization

/// Whether the container engine of this host is there, and what it says of itself: services' containers go where there is one.
package final class EnginePresence: Sendable {
    /// Until an engine that is away is asked again. Short: what starts with the host waits for it.
    private static let retry = Duration.milliseconds(200)
    /// Until one that is there is.
    private static let round = Duration.seconds(30)

    private struct State {
        var words: EngineWords?
        var next = 0
        var readers: [Int: AsyncStream<Void>.Continuation] = [:]
    }

    private let state = Mutex(State())

    package init() {}

    /// What the engine said last; nil while there is none.
    package var words: EngineWords? { state.withLock { $0.words } }

    /// Asks once, for no longer than `limit`.
    package func look(at engine: Engine, within limit: Duration = .seconds(10)) async {
        do {
            note(try await engine.words(within: limit))
        } catch EngineError.absent {
            note(nil)
        } catch {
            // One that does not answer is still there.
        }
    }

    /// Asks again and again: the engine may come, go and be another. Until cancelled.
    package func follow(_ engine: Engine) async {
        while !Task.isCancelled {
            await look(at: engine)
            try? await Task.sleep(for: words == nil ? Self.retry : Self.round)
        }
    }

    /// Something is otherwise than it was; several changes may be one. Until the reader ends.
    package func changes() -> AsyncStream<Void> {
        let (changes, reader) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let number = state.withLock { state in
            state.next += 1
            state.readers[state.next] = reader
            return state.next
        }
        reader.onTermination = { [weak self] _ in self?.state.withLock { _ = $0.readers.removeValue(forKey: number) } }
        return changes
    }

    private func note(_ words: EngineWords?) {
        state.withLock { state in
            guard state.words != words else { return }
            state.words = words
            for reader in state.readers.values { reader.yield() }
        }
    }
}
