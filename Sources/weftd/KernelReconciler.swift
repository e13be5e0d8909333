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
        var reconciler = DatapathReconciler()
        /// Read anew with every observation: it follows the interface.
        var underlayMTU: MTU?
        var port: UInt16 = KernelReconciler.defaultPort
        var held: Set<IPv4Address> = []
        /// What the sandboxes reach by their endpoints, as compiled last.
        var routes: [EndpointID: SandboxRoutes] = [:]
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
                state.port = request.machine.clusterView?.dataPathPort ?? state.port
                let attachments = attachments(request, &outcome)
                let view = NodeView(
                    node: node, host: HostConfiguration(dataPathAddress: dataPathAddress, dataPathPort: state.port),
                    underlayMTU: mtu, attachments: attachments, networks: request.machine.networks,
                    peers: request.machine.peers, endpoints: request.machine.endpoints)
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
                let wanted = Set(attachments.map(\.endpoint.ipv4))
                state.held = state.reconciler.addressesHeld ?? state.held.union(wanted)
                outcome.addressesHeld = state.held
            } catch {
                outcome.failure = "\(error)"
                outcome.addressesHeld = state.held
            }
            return outcome
        }
    }

    private func attachments(_ request: ReconcileRequest, _ outcome: inout ReconcileOutcome) -> [SandboxAttachment] {
        let engine = request.machine.engineEndpoints
        let new = request.machine.newEndpoints
        return request.machine.ownEndpoints.compactMap { endpoint in
            if engine.contains(endpoint.id) {
                return SandboxAttachment(engine: endpoint, isNew: new.contains(endpoint.id))
            }
            guard let placement = request.placements.placement(of: endpoint) else {
                outcome.failures[endpoint.id] = "its sandbox \(endpoint.sandbox) is not on this host any more"
                return nil
            }
            return SandboxAttachment(
                endpoint: endpoint, namespacePath: placement.namespacePath, interfaceNumber: placement.interfaceIndex,
                interfaceName: placement.chosen?.name, takesDefaultRoute: placement.chosen?.takesDefaultRoute ?? true)
        }
    }

    /// What an endpoint's sandbox reaches by it besides its subnet.
    func routes(of endpoint: EndpointID) -> SandboxRoutes? { state.withLock { $0.routes[endpoint] } }

    /// Port and MTU in use.
    var underlay: (port: UInt16, mtu: MTU) { state.withLock { ($0.port, $0.underlayMTU ?? .ethernet) } }
}
