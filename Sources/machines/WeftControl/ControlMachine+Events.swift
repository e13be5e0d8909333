import WeftModel

/// What a commit means to who watches the swarm.
extension ControlMachine {
    /// The events of what the running input changed, in the order of the objects' keys.
    func events(now: Instant) -> [ClusterEvent] {
        state.changed.compactMap { key, old, new in
            switch (old, new) {
            case (let old, .node(let node)?): event(of: node, since: old?.node)
            case (.node(let node)?, nil):
                ClusterEvent(kind: .node, action: .remove, id: key.id, attributes: node.eventAttributes(since: nil), time: now)
            case (let old, .network(let network)?):
                ClusterEvent(
                    kind: .network, action: old == nil ? .create : .update, id: key.id,
                    attributes: ["name": network.spec.name], time: old == nil ? network.createdAt : network.updatedAt)
            case (.network(let network)?, nil):
                ClusterEvent(
                    kind: .network, action: .remove, id: key.id, attributes: ["name": network.spec.name], time: now)
            default: nil
            }
        }
    }

    private func event(of node: Node, since old: Node?) -> ClusterEvent {
        ClusterEvent(
            kind: .node, action: old == nil ? .create : .update, id: node.id.rawValue,
            attributes: node.eventAttributes(since: old), time: old == nil ? node.createdAt : node.updatedAt)
    }
}

extension StoredObject {
    fileprivate var node: Node? { if case .node(let node) = self { node } else { nil } }
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
