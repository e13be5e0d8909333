import WeftModel
import WeftNet

/// What nodes are told.
extension ControlMachine {
    /// The assignments that open sessions must get now, by node.
    mutating func assignmentsDue() -> [ControlAction] {
        var actions: [ControlAction] = []
        for (node, old) in sessions.sorted(by: { $0.key < $1.key }) where old.isOpen {
            var session = old
            let assignments: Assignments
            if let told = session.told, session.examined >= logBase, session.examined <= state.revision {
                if session.examined == state.revision && !session.owesAnswer { continue }
                assignments = delta(for: node, base: told, after: session.examined)
            } else {
                assignments = everything(for: node)
            }
            session.examined = state.revision
            if session.owesAnswer || !assignments.isEmpty {
                session.told = state.revision
                session.owesAnswer = false
                actions.append(.send(node, session.id, .assignments(assignments)))
            }
            sessions[node] = session
        }
        return actions
    }

    private func everything(for node: NodeID) -> Assignments {
        var all = Assignments(isFull: true, baseRevision: .none, revision: state.revision)
        all.cluster = clusterView(for: node)
        all.networks = networks
        all.peers = peers
        all.endpoints = endpoints
        all.leases = leases.filter { $0.node == node }
        return all
    }

    private func clusterView(for node: NodeID) -> ClusterView? {
        guard let cluster = state.cluster else { return nil }
        return ClusterView(
            id: cluster.id, dataPathPort: cluster.spec.dataPathPort,
            heartbeatSeconds: ClusterView.heartbeat(of: cluster.spec),
            rootCertificatesPEM: cluster.trustRoots(for: state.nodes[node]?.spec.role ?? .worker))
    }

    /// Objects changed after `start`, as they are now.
    private func delta(for node: NodeID, base: Version, after start: Version) -> Assignments {
        var delta = Assignments(isFull: false, baseRevision: base, revision: state.revision)
        var keys: Set<StoreKey> = []
        // Revisions are consecutive: count back from the end.
        let count = min(log.count, Int(max(0, state.revision.index - start.index)))
        for entry in log.suffix(count) {
            for change in entry.changes where change.leaseHolder == nil || change.leaseHolder == node {
                keys.insert(change.key)
            }
        }
        for key in keys.sorted() {
            switch key.kind {
            case .cluster: delta.cluster = clusterView(for: node)
            case .authority: break
            case .node:
                let id = NodeID(key.id)
                if let node = state.nodes[id] { delta.peers.append(Peer(node)) } else { delta.removedPeers.append(id) }
            case .network:
                let id = NetworkID(key.id)
                if let network = state.networks[id] {
                    delta.networks.append(network)
                } else {
                    delta.removedNetworks.append(id)
                }
            case .endpoint:
                let id = EndpointID(key.id)
                if let endpoint = state.endpoints[id] {
                    delta.endpoints.append(endpoint)
                } else {
                    delta.removedEndpoints.append(id)
                }
            case .lease:
                // The block may be another node's by now.
                if let lease = state.leases[key.id], lease.node == node {
                    delta.leases.append(lease)
                } else {
                    delta.removedLeases.append(key.id)
                }
            }
        }
        return delta
    }
}

extension Assignments {
    var isEmpty: Bool {
        !isFull && cluster == nil && networks.isEmpty && removedNetworks.isEmpty && peers.isEmpty
            && removedPeers.isEmpty
            && endpoints.isEmpty && removedEndpoints.isEmpty && leases.isEmpty && removedLeases.isEmpty
    }
}
