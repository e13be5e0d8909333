import WeftModel

/// Nodes that are away, and since when: after a day what they had is lost.
struct Absences: Sendable {
    static let patience: Duration = .seconds(24 * 3600)

    /// Nodes whose standing changed, and whose tasks were not looked at since.
    var changed: Set<NodeID> = []
    var isNew = true
    private var since: [NodeID: Instant] = [:]
    /// Those that were away for too long, and were dealt with.
    private var lost: Set<NodeID> = []

    mutating func follow(_ round: borrowing Round) {
        if isNew || !changed.isEmpty {
            var away: [NodeID: Instant] = [:]
            for node in round.tables.nodes.values where node.isAway {
                // Who did not see it go has what is stored for it, by a clock that may have been set.
                let ago = min(max(.zero, round.wallClock - node.updatedAt), Self.patience)
                away[node.id] = since[node.id] ?? round.now + (.zero - (isNew ? ago : .zero))
            }
            since = away
            lost.formIntersection(away.keys)
            isNew = false
        }
        for (node, start) in since where round.now - start >= Self.patience && !lost.contains(node) {
            lost.insert(node)
            changed.insert(node)
        }
    }

    func isLost(_ node: NodeID) -> Bool { lost.contains(node) }
}
