import Synchronization
import WeftAgent
import WeftDatapath
import WeftKernel
import WeftModel
import WeftNet
import WeftNode

/// Turns the agent's view into kernel state, and tells what came of it.
final class KernelReconciler: Reconciling {
    /// The port until the manager has told it.
    private static let defaultPort: UInt16 = 4789

    private let kernel: KernelDatapath
    private let node: NodeID
    private let dataPathAddress: IPv4Address
    private let state = Mutex(State())

    private struct State {
        var whole: ViewChange.Whole?
        var parts: [EndpointID: ViewChange.Part] = [:]
        var reconciler = DatapathReconciler()
        /// Read anew with every observation: it follows the interface.
        var underlayMTU: MTU?
        var port: UInt16 = KernelReconciler.defaultPort
        var held: Set<IPAddress> = []
        /// What the sandboxes reach by their endpoints, as compiled last.
        var routes: [EndpointID: SandboxRoutes] = [:]

        mutating func take(_ change: ViewChange) {
            if let whole = change.whole {
                self.whole = whole
                parts = change.endpoints
                return
            }
            for (id, part) in change.endpoints {
                parts[id] = part.endpoint == nil && part.attachment == nil && part.problem == nil ? nil : part
            }
        }
    }

    init(kernel: KernelDatapath, node: NodeID, dataPathAddress: IPv4Address) {
        self.kernel = kernel
        self.node = node
        self.dataPathAddress = dataPathAddress
    }

    func reconcile(_ request: ReconcileRequest) -> ReconcileOutcome {
        state.withLock { state in
            var outcome = ReconcileOutcome(generation: request.generation)
            if request.observe {
                state.reconciler.forget()
                state.underlayMTU = nil
            }
            do {
                let mtu = try state.underlayMTU ?? KernelDatapath.underlayMTU(for: dataPathAddress)
                state.underlayMTU = mtu
                state.take(request.change)
                state.port = state.whole?.dataPathPort ?? state.port
                let attachments = state.parts.values.compactMap(\.attachment)
                outcome.failures = state.parts.compactMapValues(\.problem)
                let view = NodeView(
                    node: node, host: HostConfiguration(dataPathAddress: dataPathAddress, dataPathPort: state.port),
                    underlayMTU: mtu, attachments: attachments, networks: state.whole?.networks ?? [],
                    peers: state.whole?.peers ?? [], endpoints: state.parts.values.compactMap(\.endpoint))
                let desired = compile(view)
                state.routes = desired.endpoints.mapValues(\.routes)
                let failures = try state.reconciler.reconcile(desired, with: kernel)
                for failure in failures {
                    if let endpoint = failure.endpoint {
                        outcome.failures[endpoint] = failure.reason
                    } else {
                        outcome.failure = failure.reason
                    }
                }
                // Where a removal failed, what was held before counts as held still.
                let wanted = Set(attachments.flatMap(\.endpoint.addresses))
                state.held = state.reconciler.addressesHeld ?? state.held.union(wanted)
                outcome.addressesHeld = state.held
            } catch {
                outcome.failure = "\(error)"
                outcome.addressesHeld = state.held
            }
            return outcome
        }
    }

    /// What an endpoint's sandbox reaches by it besides its subnet.
    func routes(of endpoint: EndpointID) -> SandboxRoutes? { state.withLock { $0.routes[endpoint] } }

    /// Port and MTU in use.
    var underlay: (port: UInt16, mtu: MTU) { state.withLock { ($0.port, $0.underlayMTU ?? .ethernet) } }
}
