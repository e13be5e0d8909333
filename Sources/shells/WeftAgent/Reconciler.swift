import NIOPosix
import Synchronization
import WeftAgentCore
import WeftNode

/// Brings kernel and resolver after the machine, on a thread of its own. Requests that come while it works are merged.
final class Reconciler: Sendable {
    private let kernel: any Reconciling
    private let names: @Sendable (ViewChange) -> Void
    private let report: @Sendable (ReconcileOutcome) -> Void
    private let due = Mutex(DueChanges())
    private let wake: AsyncStream<Void>
    private let waker: AsyncStream<Void>.Continuation

    init(
        kernel: any Reconciling, names: @escaping @Sendable (ViewChange) -> Void,
        report: @escaping @Sendable (ReconcileOutcome) -> Void
    ) {
        self.kernel = kernel
        self.names = names
        self.report = report
        (wake, waker) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    func request(_ change: ViewChange, generation: Generation?, observe: Bool) {
        due.withLock { $0.add(change, generation: generation, observe: observe) }
        waker.yield()
    }

    func finish() { waker.finish() }

    /// Works until `finish`. The kernel goes first: what a name leads to must be there when the name resolves.
    func run() async {
        let thread = NIOThreadPool(numberOfThreads: 1)
        thread.start()
        for await _ in wake {
            _ = try? await thread.runIfActive { self.work() }
        }
        try? await thread.shutdownGracefully()
    }

    private func work() {
        let (change, request) = due.withLock { $0.take() }
        let outcome = request.map { kernel.reconcile($0) }
        if !change.isEmpty { names(change) }
        if let outcome { report(outcome) }
    }
}
