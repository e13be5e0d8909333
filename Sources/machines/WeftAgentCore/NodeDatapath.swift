package import WeftDatapath
package import WeftModel
package import WeftNet

/// This node's data path: what the kernel should hold by all changes so far, and the rounds that bring it there.
package struct NodeDatapath: Sendable {
    /// What the kernel should hold.
    package private(set) var compilation: Compilation
    /// The compilation is another one since the last round that went through.
    private var isNew = true
    private var reconciler = DatapathReconciler()
    /// Endpoints that cannot be made, each with a sentence.
    private var problems: [EndpointID: String] = [:]
    /// Read anew with every observation: it follows the interface.
    private var underlayMTU: MTU?
    /// Nil before the first look at the kernel.
    private var held: Set<IPAddress>?

    /// On the usual port until a manager has told another.
    package init(node: NodeID, dataPathAddress: IPv4Address) {
        let host = HostConfiguration(dataPathAddress: dataPathAddress, dataPathPort: Constants.dataPathPort)
        compilation = Compilation(NodeView(node: node, host: host, underlayMTU: .ethernet))
    }

    /// Takes a change in and brings the kernel there. `readMTU` reads the MTU of the interface that leads to the other nodes.
    package mutating func reconcile(
        _ request: ReconcileRequest, with kernel: some Datapath, readMTU: () throws -> MTU
    ) -> ReconcileOutcome {
        var outcome = ReconcileOutcome(generation: request.generation)
        take(request.change)
        outcome.failures = problems
        if request.observe {
            reconciler.forget()
            underlayMTU = nil
        }
        do {
            let failures = try round(with: kernel, readMTU: readMTU)
            outcome.isRefused = !failures.isEmpty
            for failure in failures {
                if let endpoint = failure.endpoint {
                    outcome.failures[endpoint] = failure.reason
                } else {
                    outcome.failure = failure.reason
                }
            }
        } catch {
            isNew = true
            outcome.isRefused = true
            outcome.failure = "\(error)"
        }
        outcome.addressesHeld = held
        return outcome
    }

    private mutating func round(with kernel: some Datapath, readMTU: () throws -> MTU) throws -> [DatapathFailure] {
        let mtu = try underlayMTU ?? readMTU()
        underlayMTU = mtu
        compilation.setUnderlay(mtu: mtu, port: compilation.desired.host.dataPathPort)
        let keys = compilation.takeTouched()
        let failures = try reconciler.reconcile(compilation.desired, changed: isNew ? nil : keys, with: kernel)
        isNew = false
        // Where a removal failed, what was held before counts as held still.
        let wanted = compilation.desired.endpoints.values.lazy.flatMap(\.entry.addresses)
        held = reconciler.addressesHeld ?? held?.union(wanted)
        return failures
    }

    private mutating func take(_ change: ViewChange) {
        if change.isWhole {
            let former = compilation
            compilation = Compilation(
                NodeView(
                    node: former.node, host: former.desired.host, underlayMTU: former.underlayMTU,
                    networks: change.networks.values.compactMap(\.self), peers: change.peers.values.compactMap(\.self),
                    services: change.services.values.compactMap(\.self)))
            problems = [:]
            isNew = true
        } else {
            for (id, network) in change.networks { compilation.set(id, network: network) }
            for (id, peer) in change.peers { compilation.set(id, peer: peer) }
            for (id, service) in change.services { compilation.set(id, service: service) }
        }
        if let port = change.dataPathPort { compilation.setUnderlay(mtu: compilation.underlayMTU, port: port) }
        for (id, part) in change.endpoints {
            compilation.set(id, attachment: part.attachment, endpoint: part.endpoint)
            problems[id] = part.problem
        }
    }
}
