import WeftModel
import WeftNet

/// Who is in the swarm, what each node says of itself, and which nodes are ready. Commands that name a node are here; its
/// sessions are in `Membership+Sessions`, its health in `Membership+Health`.
struct Membership: Sendable {
    /// Addresses from which nodes called, besides those of their sessions.
    var shownAddresses: [NodeID: [IPv4Address]] = [:]

    /// What was committed, by whomever.
    mutating func noted(_ changes: [Replica.Change]) {
        for change in changes where change.new == nil {
            if let node = change.old?.as(Node.self) { shownAddresses[node.id] = nil }
        }
    }

    static func admit(
        _ id: NodeID, role: NodeRole, availability: NodeAvailability, in round: inout Round
    ) throws(ControlError) -> Node {
        if let node = round.tables.nodes[id] { return node }
        guard role == .worker else { throw .oneManager }
        var spec = NodeSpec(role: role)
        spec.availability = availability
        let node = Node(id: id, createdAt: round.wallClock, spec: spec)
        round.draft.put(node)
        return node
    }

    static func update(
        _ id: NodeID, version: Version, spec: NodeSpec, in round: inout Round
    ) throws(ControlError) -> Node {
        guard var node = round.tables.nodes[id] else { throw .nodeNotFound(id) }
        guard node.version == version else { throw .outOfSequence }
        guard Bounds.bytes(spec.labels) <= Bounds.specBytes else { throw .specTooLarge("a node's labels") }
        if spec.role != node.spec.role {
            if spec.role == .manager { throw .oneManager }
            throw ControlError(
                .failedPrecondition,
                "rpc error: code = FailedPrecondition desc = attempting to demote the last manager of the swarm")
        }
        node.spec = spec
        node.updatedAt = round.wallClock
        round.draft.put(node)
        return node
    }

    /// Its session ends when the removal is committed, whoever asked for it; its leases rest from then on.
    static func remove(_ id: NodeID, force: Bool, in round: inout Round) throws(ControlError) -> Node {
        guard let node = round.tables.nodes[id] else { throw .nodeNotFound(id) }
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
        ObservedEndpoints.forget(of: id, in: &round)
        ObservedKeys.forget(of: id, in: &round)
        round.draft.delete(Node.key(id))
        KeyRotation.nodeRemoved(in: &round)
        return node
    }

    static func noteRoutes(of id: NodeID, _ routes: [IPv4Prefix], in round: inout Round) throws(ControlError) -> Node {
        guard var node = round.tables.nodes[id] else { throw .nodeNotFound(id) }
        guard node.description != nil, node.description?.routes != routes else { return node }
        node.description?.routes = routes
        node.updatedAt = round.wallClock
        round.draft.put(node)
        noteOverlaps(of: node, in: &round)
        return node
    }

    static func describe(_ id: NodeID, _ description: NodeDescription, in round: inout Round) {
        guard var node = round.tables.nodes[id], node.description != description else { return }
        node.description = description
        node.updatedAt = round.wallClock
        round.draft.put(node)
        noteOverlaps(of: node, in: &round)
    }

    static func noteOverlaps(of node: Node, in round: inout Round) {
        for network in round.tables.sortedNetworks {
            if let route = node.routeOverlapping(.v4(network.subnet)) {
                round.note(
                    "network \(network.spec.name) (\(network.subnet)) overlaps with the route \(route) of node \(node.label): "
                        + "that node's containers cannot reach what lies behind the route")
            }
        }
    }
}

extension ControlError {
    static func nodeNotFound(_ id: NodeID) -> ControlError { ControlError(.notFound, "node \(id) not found") }
    static let noCluster = ControlError(.unavailable, "the store holds no swarm: run swarm init first")
    /// As swarm's: gRPC's InvalidArgument.
    static func invalidArgument(_ sentence: String) -> ControlError {
        ControlError(.invalid, "rpc error: code = InvalidArgument desc = \(sentence)")
    }
    static func specTooLarge(_ what: String) -> ControlError {
        ControlError(
            .invalid, "rpc error: code = InvalidArgument desc = \(what) may take up to \(Bounds.specBytes) bytes, and these take more")
    }

    static let oneManager = ControlError(
        .unavailable,
        "this version of Weft runs one manager in a swarm: join with the worker token, and do not promote workers")
}
