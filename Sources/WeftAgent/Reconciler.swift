import NIOPosix
import Synchronization
import WeftDNS
import WeftModel
import WeftNode

/// Brings kernel and resolver after the machine, on a thread of its own. Requests that come while it works are
/// merged: only the newest state counts.
final class Reconciler: Sendable {
    private struct Due {
        var request: ReconcileRequest?
        var names: NodeMachine?
    }

    private let kernel: any Reconciling
    private let names: @Sendable (NameTable) -> Void
    private let report: @Sendable (ReconcileOutcome) -> Void
    private let due = Mutex(Due())
    private let wake: AsyncStream<Void>
    private let waker: AsyncStream<Void>.Continuation

    init(
        kernel: any Reconciling, names: @escaping @Sendable (NameTable) -> Void,
        report: @escaping @Sendable (ReconcileOutcome) -> Void
    ) {
        self.kernel = kernel
        self.names = names
        self.report = report
        (wake, waker) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    func request(_ request: ReconcileRequest) {
        due.withLock { due in
            let observe = request.observe || due.request?.observe ?? false
            due.request = ReconcileRequest(
                machine: request.machine, placements: request.placements, generation: request.generation, observe: observe)
        }
        waker.yield()
    }

    func publishNames(of machine: NodeMachine) {
        due.withLock { $0.names = machine }
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
        let (request, machine) = due.withLock { due in
            defer { due = Due() }
            return (due.request, due.names)
        }
        let outcome = request.map { kernel.reconcile($0) }
        if let machine {
            names(
                NameTable(
                    node: machine.id, networks: machine.networks, endpoints: machine.endpoints, peers: machine.peers))
        }
        if let outcome { report(outcome) }
    }
}
