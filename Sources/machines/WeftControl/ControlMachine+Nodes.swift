import WeftIPAM
import WeftModel
import WeftNet

/// Membership.
extension ControlMachine {
    mutating func admitNode(
        _ id: NodeID, role: NodeRole, availability: NodeAvailability
    ) throws(ControlError) -> Node {
        if let node = state.nodes[id] { return node }
        guard role == .worker else { throw .oneManager }
        var spec = NodeSpec(role: role)
        spec.availability = availability
        let node = Node(id: id, createdAt: wallClock, spec: spec)
        state.put(node)
        return node
    }

    mutating func updateNode(_ id: NodeID, version: Version, spec: NodeSpec) throws(ControlError) -> Node {
        guard var node = state.nodes[id] else { throw ControlError(.notFound, "node \(id) not found") }
        guard node.version == version else { throw .outOfSequence }
        guard Bounds.bytes(spec.labels) <= Bounds.specBytes else { throw .specTooLarge("a node's labels") }
        if spec.role != node.spec.role {
            if spec.role == .manager { throw .oneManager }
            throw ControlError(
                .failedPrecondition,
                "rpc error: code = FailedPrecondition desc = attempting to demote the last manager of the swarm")
        }
        node.spec = spec
        node.updatedAt = wallClock
        state.put(node)
        return node
    }

    mutating func removeNode(_ id: NodeID, force: Bool, now: Instant) throws(ControlError) -> Node {
        guard let node = state.nodes[id] else { throw ControlError(.notFound, "node \(id) not found") }
        if node.spec.role == .manager {
            throw ControlError(
                .failedPrecondition,
                "rpc error: code = FailedPrecondition desc = node \(id) is a cluster manager and is a member of the raft "
                    + "cluster. It must be demoted to worker before removal")
        }
        if !force, node.state == .ready {
            throw ControlError(
                .failedPrecondition,
                "rpc error: code = FailedPrecondition desc = node \(id) is not down and can't be removed")
        }
        forgetEndpoints(of: id, now: now)
        state.delete(Node.key(id))
        close(id, reason: "node \(node.label) was removed from the swarm", goodbye: true, now: now)
        lastHeard[id] = nil
        brokenSessions[id] = nil
        shownAddresses[id] = nil
        return node
    }

    /// Removes what a node had; its leases become free after a rest.
    mutating func forgetEndpoints(of node: NodeID, now: Instant) {
        for endpoint in (state.nodeEndpoints[node] ?? []).sorted() {
            state.delete(Endpoint.key(endpoint))
        }
        for lease in state.leases.values where lease.node == node { restingLeases[lease.id] = now + NodeAddresses.rest }
    }
}

extension ControlError {
    static let noCluster = ControlError(.unavailable, "the store holds no swarm: run swarm init first")
    static func specTooLarge(_ what: String) -> ControlError {
        ControlError(
            .invalid, "rpc error: code = InvalidArgument desc = \(what) may take up to \(Bounds.specBytes) bytes, and these take more")
    }

    static let oneManager = ControlError(
        .unavailable,
        "this version of Weft runs one manager in a swarm: join with the worker token, and do not promote workers")
}
