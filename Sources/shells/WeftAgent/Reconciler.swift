import NIOPosix
import Synchronization
import WeftAgentCore
import WeftNode

/// Brings kernel and resolver after the machine, on a thread of its own. Requests that come while it works are
/// merged: only what came last of each endpoint counts.
final class Reconciler: Sendable {
    private struct Due {
        /// For kernel and names.
        var change = ViewChange()
        /// Nil: the kernel can wait.
        var generation: Generation?
        var observe = false
        /// What the kernel was not asked for yet.
        var unreconciled = ViewChange()
    }

    private let kernel: any Reconciling
    private let names: @Sendable (ViewChange) -> Void
    private let report: @Sendable (ReconcileOutcome) -> Void
    private let due = Mutex(Due())
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

    /// `generation`: what the kernel reaches with this change and those before; nil when only names matter for now.
    func request(_ change: ViewChange, generation: Generation?, observe: Bool) {
        due.withLock { due in
            due.change.merge(change)
            due.generation = generation ?? due.generation
            due.observe = due.observe || observe
        }
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
        let (change, request) = due.withLock { due in
            let change = due.change
            due.unreconciled.merge(change)
            due.change = ViewChange()
            guard let generation = due.generation else { return (change, ReconcileRequest?.none) }
            let request = ReconcileRequest(change: due.unreconciled, generation: generation, observe: due.observe)
            due = Due()
            return (change, request)
        }
        let outcome = request.map { kernel.reconcile($0) }
        if !change.isEmpty { names(change) }
        if let outcome { report(outcome) }
    }
}
