import WeftModel
import WeftNet

/// What sessions mean to membership.
extension Membership {
    func connected(_ node: NodeID, _ session: SessionID, address: IPv4Address?, in round: inout Round) {
        guard round.tables.nodes[node] != nil else {
            round.turnAway(
                node, session, reason: "node \(node) is not, or no longer, in this swarm: leave and join again")
            return
        }
        round.close(node, reason: "the node opened a newer session", goodbye: true)
        round.dispatcher.connect(node, session, address: address, now: round.now)
    }

    /// Whether the node is let in.
    func hello(
        from node: NodeID, _ description: NodeDescription, vtep: IPv4Address, in round: inout Round
    ) -> Bool {
        guard var record = round.tables.nodes[node], let session = round.dispatcher.sessions[node] else { return false }
        if let reason = objection(toDataPath: vtep, of: record, from: session.address, in: round) {
            refuse(record, description, reason: reason, in: &round)
            return false
        }
        guard freeDataPathAddress(vtep, for: record, description, in: &round) else { return false }
        let before = record
        record.description = description
        // One whose sessions break off must hold one first.
        if round.dispatcher.brokenSessions[node, default: 0] < Self.brokenSessionsMax {
            record.state = .ready
            record.problem = nil
        }
        record.hasLeft = nil
        record.dataPathAddress = vtep
        record.address = session.address ?? record.address ?? vtep
        if record != before {
            record.updatedAt = round.wallClock
            round.draft.put(record)
            Self.noteOverlaps(of: record, in: &round)
        }
        return true
    }

    /// The operator made the node leave.
    static func left(_ node: NodeID, in round: inout Round) {
        guard var record = round.tables.nodes[node] else { return }
        ObservedEndpoints.forget(of: node, in: &round)
        ObservedKeys.forget(of: node, in: &round)
        record.state = .down
        record.problem = "it left the swarm"
        record.hasLeft = true
        record.updatedAt = round.wallClock
        round.draft.put(record)
        round.close(node, reason: "node \(record.label) left the swarm", goodbye: true)
    }

    /// Two nodes behind one VTEP would get each other's packets. A node that is gone gives its address up.
    private func freeDataPathAddress(
        _ vtep: IPv4Address, for node: Node, _ description: NodeDescription, in round: inout Round
    ) -> Bool {
        let others = round.tables.nodes.values.filter { $0.id != node.id && $0.dataPathAddress == vtep }
        for var other in others.sorted(by: { $0.id < $1.id }) {
            if round.dispatcher.isConnected(other.id) {
                refuse(
                    node, description, reason: "the data path address \(vtep) is already that of node \(other.label)",
                    in: &round)
                return false
            }
            other.dataPathAddress = nil
            other.state = .down
            other.problem = "its data path address \(vtep) is that of node \(node.label) now"
            other.updatedAt = round.wallClock
            round.draft.put(other)
        }
        return true
    }

    /// Does not take the node in, and says why to it and to who looks at it.
    private func refuse(_ node: Node, _ description: NodeDescription, reason: String, in round: inout Round) {
        var changed = node
        changed.description = description
        changed.state = .down
        changed.problem = reason
        if changed != node {
            changed.updatedAt = round.wallClock
            round.draft.put(changed)
            round.note("node \(changed.label) is not let in: \(reason)")
        }
        round.close(node.id, reason: reason)
    }

    mutating func addressShown(_ address: IPv4Address, by node: NodeID, in round: Round) {
        guard round.tables.nodes[node] != nil else { return }
        var shown = shownAddresses[node, default: []].filter { $0 != address }
        shown.append(address)
        shownAddresses[node] = shown.suffix(Self.shownAddressesMax)
    }

    /// Why a node cannot have its tunnels end at an address, nil when it can. It must be the node's own: the one that its
    /// session comes from, one that it called from, or the one that it has.
    private func objection(
        toDataPath address: IPv4Address, of node: Node, from source: IPv4Address?, in round: Round
    ) -> String? {
        guard address.isHostAddress else {
            return "\(address) cannot be a data path address: give one of the host's network with --data-path-addr"
        }
        if let network = round.tables.sortedNetworks.first(where: { $0.subnet.contains(address) }) {
            return "the data path address \(address) lies in network \(network.spec.name) (\(network.subnet)): give one of the "
                + "host's network with --data-path-addr"
        }
        guard let source, address != source, node.dataPathAddress != address else { return nil }
        if shownAddresses[node.id, default: []].contains(address) { return nil }
        return "its data path address \(address) is not the one that it comes from (\(source)), and it has not been seen to "
            + "answer there: let TCP from \(address) in at a manager's port, or join without --data-path-addr"
    }
}
