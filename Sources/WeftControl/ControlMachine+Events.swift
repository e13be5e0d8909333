package import WeftModel

/// What a commit means to who watches the swarm.
extension ControlMachine {
    /// The events of a transaction that this machine, as it was before, is about to see committed.
    package func events(of transaction: Transaction, now: Instant) -> [ClusterEvent] {
        transaction.writes.compactMap { write in
            switch write {
            case .put(.node(let node), _):
                let old = state.nodes[node.id]
                return ClusterEvent(
                    kind: .node, action: old == nil ? .create : .update, id: node.id.rawValue,
                    attributes: node.eventAttributes(since: old), time: old == nil ? node.createdAt : node.updatedAt)
            case .put(.network(let network), _):
                let old = state.networks[network.id]
                return ClusterEvent(
                    kind: .network, action: old == nil ? .create : .update, id: network.id.rawValue,
                    attributes: ["name": network.spec.name], time: old == nil ? network.createdAt : network.updatedAt)
            case .delete(let key, _):
                return removal(of: key, now: now)
            default:
                return nil
            }
        }
    }

    private func removal(of key: StoreKey, now: Instant) -> ClusterEvent? {
        switch key.kind {
        case .node:
            guard let node = state.nodes[NodeID(key.id)] else { return nil }
            return ClusterEvent(
                kind: .node, action: .remove, id: key.id, attributes: node.eventAttributes(since: nil), time: now)
        case .network:
            guard let network = state.networks[NetworkID(key.id)] else { return nil }
            return ClusterEvent(
                kind: .network, action: .remove, id: key.id, attributes: ["name": network.spec.name], time: now)
        default:
            return nil
        }
    }
}

extension Node {
    fileprivate func eventAttributes(since old: Node?) -> [String: String] {
        var attributes = ["name": description?.hostname ?? ""]
        guard let old else { return attributes }
        func note(_ name: String, _ before: String, _ after: String) {
            guard before != after else { return }
            attributes["\(name).old"] = before
            attributes["\(name).new"] = after
        }
        note("availability", old.spec.availability.rawValue, spec.availability.rawValue)
        note("role", old.spec.role.rawValue, spec.role.rawValue)
        note("state", old.state.rawValue, state.rawValue)
        return attributes
    }
}
