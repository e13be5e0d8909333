import Synchronization
package import WeftAgentCore
package import WeftDatapath
package import WeftModel
package import WeftNet

/// Turns the agent's view into kernel state, and tells what came of it.
package final class KernelReconciler<Kernel: Datapath & Sendable>: Reconciling {
    private let kernel: Kernel
    private let readMTU: @Sendable () throws -> MTU
    private let datapath: Mutex<NodeDatapath>

    /// `readMTU` reads the MTU of the interface that leads to the other nodes.
    package init(
        kernel: Kernel, node: NodeID, dataPathAddress: IPv4Address, readMTU: @escaping @Sendable () throws -> MTU
    ) {
        self.kernel = kernel
        self.readMTU = readMTU
        datapath = Mutex(NodeDatapath(node: node, dataPathAddress: dataPathAddress))
    }

    package func reconcile(_ request: ReconcileRequest) -> ReconcileOutcome {
        datapath.withLock { $0.reconcile(request, with: kernel, readMTU: readMTU) }
    }

    /// What an endpoint's sandbox reaches by it besides its subnet.
    package func routes(of endpoint: EndpointID) -> SandboxRoutes? {
        datapath.withLock { $0.compilation.desired.endpoints[endpoint]?.routes }
    }

    /// Port and MTU in use.
    package var underlay: (port: UInt16, mtu: MTU) {
        datapath.withLock { ($0.compilation.desired.host.dataPathPort, $0.compilation.underlayMTU) }
    }
}
