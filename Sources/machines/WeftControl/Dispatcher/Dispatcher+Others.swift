import WeftModel

/// Nodes that wait until all others have in force what they reported, before they go on: a backend is taken out of rotation
/// everywhere before it stops.
extension Dispatcher {
    struct Await: Sendable {
        let node: NodeID
        let session: SessionID
        let number: RequestNumber
        let deadline: Instant
        /// What the others are to have in force; nil until the round's transaction, if it has one, is through.
        var revision: Version?
    }

    /// So long others are waited for. Who does not answer by then may have lost its manager: it hears of the change when it is back.
    private static let patience: Duration = .seconds(2)
    /// So many may wait for one node at a time: beyond it the oldest is answered.
    private static let awaitsPerNode = 1024

    /// The node waits for what it reported before this.
    mutating func hold(others number: RequestNumber, for node: NodeID, now: Instant) {
        guard let session = sessions[node]?.id else { return }
        awaits.append(Await(node: node, session: session, number: number, deadline: now + Self.patience))
        let own = awaits.indices.filter { awaits[$0].node == node }
        if own.count > Self.awaitsPerNode, let oldest = own.first { awaits[oldest].revision = Version.none }
    }

    /// The node has in force what it was told up to `revision`.
    mutating func acknowledge(_ node: NodeID, _ revision: Version) {
        guard let known = sessions[node]?.acknowledged, known < revision else { return }
        sessions[node]?.acknowledged = revision
    }

    /// Settles from where on the others are waited for, and has those asked that have not been.
    mutating func askOthers(_ replica: Replica) {
        guard !awaits.isEmpty else { return }
        for index in awaits.indices where awaits[index].revision == nil { awaits[index].revision = replica.revision }
        guard let newest = awaits.compactMap(\.revision).max() else { return }
        for (node, session) in sessions where session.isOpen && session.acknowledged < newest && session.asked < newest {
            sessions[node]?.asked = replica.revision
            sessions[node]?.owesAnswer = true
            sessions[node]?.wantsAcknowledgement = true
        }
    }

    /// Answers who needs wait no longer.
    mutating func answerAwaits(now: Instant) -> [ControlAction] {
        guard !awaits.isEmpty else { return [] }
        let slowest = sessions.values.filter(\.isOpen).map(\.acknowledged).min() ?? .none
        var actions: [ControlAction] = []
        awaits = awaits.filter { waiting in
            guard isCurrent(waiting.node, waiting.session) else { return false }
            guard let revision = waiting.revision, revision <= slowest || now >= waiting.deadline else { return true }
            actions.append(.send(waiting.node, waiting.session, .othersFollowed(waiting.number)))
            return false
        }
        return actions
    }
}
