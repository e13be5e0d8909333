internal import Dispatch
internal import Synchronization

/// Work that can wait: a piece at a time, on a thread of its own, and only while nothing more urgent has been told of for a while.
package final class IdleWork: Sendable {
    private let queue: DispatchQueue
    private let rest: Duration
    private let piece: @Sendable () -> Bool
    /// Counts what was told; a piece that was meant to follow something older does not begin.
    private let told = Mutex<UInt64>(0)

    /// - Parameters:
    ///   - rest: how long it must have been quiet.
    ///   - piece: does the next piece of work; false when there is none left.
    package init(_ name: String, rest: Duration, piece: @escaping @Sendable () -> Bool) {
        queue = DispatchQueue(label: name, qos: .utility)
        self.rest = rest
        self.piece = piece
    }

    /// Something more urgent happens, and may have brought work that can wait.
    package func postpone() {
        let now = told.withLock { told in
            told += 1
            return told
        }
        schedule(now, in: rest)
    }

    private func schedule(_ number: UInt64, in delay: Duration) {
        let (seconds, attoseconds) = delay.components
        let nanoseconds = Int(seconds) * 1_000_000_000 + Int(attoseconds / 1_000_000_000)
        queue.asyncAfter(deadline: .now() + .nanoseconds(nanoseconds)) { [weak self] in
            guard let self, told.withLock({ $0 == number }), piece() else { return }
            // The next piece gives what waits for the same locks its turn.
            schedule(number, in: .milliseconds(20))
        }
    }
}
