import WeftModel

/// What nodes say of their keys. Managers pass it on: whether a statement is the node's own, the other nodes see by its signature.
enum ObservedKeys {
    static func take(_ statement: SignedStatement, of node: NodeID, in round: inout Round) {
        let known = round.tables.statements[statement.id]
        // What is said again, in a new session.
        if known?.isSame(as: statement) ?? false { return }
        if let objection = objection(to: statement, of: node, known: known, in: round) {
            let label = round.tables.nodes[node]?.label ?? node.rawValue
            return round.note("what node \(label) states of its keys is not taken: \(objection)")
        }
        round.draft.put(statement)
        let former = statements(of: node, in: round).filter { $0.id != statement.id }
        for old in former.dropLast(SignedStatement.kept - 1) { round.draft.delete(old.key) }
    }

    static func take(_ readiness: Readiness, of node: NodeID, in round: inout Round) {
        guard round.tables.readinesses[node]?.readiness != readiness else { return }
        guard statements(of: node, in: round).contains(where: { $0.statement == readiness.statement }) else {
            // It was told in a former session, and other keys were stated since.
            return
        }
        guard readiness.through <= round.draft.base else {
            let label = round.tables.nodes[node]?.label ?? node.rawValue
            return round.note(
                "what node \(label) says of its keys is not taken: it has heard of version \(readiness.through.index), and the "
                    + "store is at \(round.draft.base.index)")
        }
        round.draft.put(KeyReadiness(id: node, readiness: readiness))
    }

    /// The node is in the swarm no longer.
    static func forget(of node: NodeID, in round: inout Round) {
        for statement in statements(of: node, in: round) { round.draft.delete(statement.key) }
        round.draft.delete(KeyReadiness.key(node))
    }

    /// Oldest first.
    private static func statements(of node: NodeID, in round: Round) -> [SignedStatement] {
        round.tables.statements.values.filter { $0.node == node }
            .sorted { ($0.version, $0.statement) < ($1.version, $1.statement) }
    }

    private static func objection(
        to statement: SignedStatement, of node: NodeID, known: SignedStatement?, in round: Round
    ) -> String? {
        if statement.node != node { return "it is in the name of node \(statement.node)" }
        if known != nil { return "it states otherwise under the same name" }
        guard statement.signedBytes.count <= SignedStatement.signedBytesMax,
            statement.signature.count <= SignedStatement.signatureBytesMax,
            statement.certificatesPEM.utf8.count <= SignedStatement.certificateBytesMax
        else { return "it is too large" }
        let current = round.tables.cluster?.keyEpoch ?? 1
        // A node may have heard of the epoch from a manager that was ahead; it cannot have heard of one after that.
        guard statement.statement.epoch <= current + 1 else {
            return "it is for epoch \(statement.statement.epoch), and the swarm is at \(current)"
        }
        return nil
    }
}
