import Synchronization
import WeftAgentCore
package import WeftDatapath
package import WeftModel
package import WeftNet

/// Turns the agent's view into kernel state, and tells what came of it.
package final class KernelReconciler<Kernel: Datapath & Sendable>: Reconciling {
    private let kernel: Kernel
    private let readUnderlayMTU: @Sendable () throws -> MTU
    private let state: Mutex<KernelState>

    /// `underlayMTU` reads the MTU of the interface that leads to the other nodes.
    package init(
        kernel: Kernel, node: NodeID, dataPathAddress: IPv4Address, underlayMTU: @escaping @Sendable () throws -> MTU
    ) {
        self.kernel = kernel
        readUnderlayMTU = underlayMTU
        let host = HostConfiguration(dataPathAddress: dataPathAddress, dataPathPort: Constants.dataPathPort)
        state = Mutex(KernelState(compilation: Compilation(NodeView(node: node, host: host, underlayMTU: .ethernet))))
    }

    package func reconcile(_ request: ReconcileRequest) -> ReconcileOutcome {
        state.withLock { state in
            var outcome = ReconcileOutcome(generation: request.generation)
            state.take(request.change)
            outcome.failures = state.problems
            do {
                if request.observe {
                    state.reconciler.forget()
                    state.underlayMTU = nil
                }
                let mtu = try state.underlayMTU ?? readUnderlayMTU()
                state.underlayMTU = mtu
                state.compilation.setUnderlay(mtu: mtu, port: state.compilation.desired.host.dataPathPort)
                let keys = state.compilation.takeTouched()
                let failures = try state.reconciler.reconcile(
                    state.compilation.desired, changed: state.isNew ? nil : keys, with: kernel)
                state.isNew = false
                for failure in failures {
                    if let endpoint = failure.endpoint {
                        outcome.failures[endpoint] = failure.reason
                    } else {
                        outcome.failure = failure.reason
                    }
                }
                // Where a removal failed, what was held before counts as held still.
                let wanted = state.compilation.desired.endpoints.values.lazy.flatMap(\.entry.addresses)
                state.held = state.reconciler.addressesHeld ?? state.held.union(wanted)
            } catch {
                state.isNew = true
                outcome.failure = "\(error)"
            }
            outcome.addressesHeld = state.held
            return outcome
        }
    }

    /// What an endpoint's sandbox reaches by it besides its subnet.
    package func routes(of endpoint: EndpointID) -> SandboxRoutes? {
        state.withLock { $0.compilation.desired.endpoints[endpoint]?.routes }
    }

    /// Port and MTU in use.
    package var underlay: (port: UInt16, mtu: MTU) {
        state.withLock { ($0.compilation.desired.host.dataPathPort, $0.compilation.underlayMTU) }
    }
}

private struct KernelState {
    /// What the kernel should hold.
    var compilation: Compilation
    /// The compilation is another one since the last round that went through.
    var isNew = true
    var reconciler = DatapathReconciler()
    /// Endpoints that cannot be made, each with a sentence.
    var problems: [EndpointID: String] = [:]
    /// Read anew with every observation: it follows the interface.
    var underlayMTU: MTU?
    var held: Set<IPAddress> = []
}

extension KernelState {
    fileprivate mutating func take(_ change: ViewChange) {
        if let whole = change.whole {
            let former = compilation
            compilation = Compilation(
                NodeView(
                    node: former.node, host: former.desired.host, underlayMTU: former.underlayMTU,
                    networks: whole.networks, peers: whole.peers))
            if let port = whole.dataPathPort { compilation.setUnderlay(mtu: former.underlayMTU, port: port) }
            problems = [:]
            isNew = true
        }
        for (id, part) in change.endpoints {
            compilation.set(id, attachment: part.attachment, endpoint: part.endpoint)
            problems[id] = part.problem
        }
    }
}
