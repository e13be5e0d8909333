package import WeftModel
package import WeftNet

/// The nodes' sessions with this manager, and what each node was told. It writes nothing: it can run on any manager, and
/// tells what the replica learns, whoever committed it.
package struct Dispatcher: Sendable {
    /// A session that ended within this time did not hold.
    static let sessionHolds: Duration = .seconds(5)

    struct Session: Sendable {
        let id: SessionID
        let address: IPv4Address?
        let since: Instant
        /// False until the node said hello.
        var isOpen = false
        /// The revision the node is at, nil when it must get everything.
        var told: Version?
        /// Up to here nothing concerns the node beyond what it was told.
        var examined: Version = .none
        /// The next assignments go out even when empty.
        var owesAnswer = false
        /// Up to here the node said that it has things in force.
        var acknowledged: Version = .none
        /// Up to here it was asked to say so.
        var asked: Version = .none
        /// The next assignments ask it.
        var wantsAcknowledgement = false
    }

    var sessions: [NodeID: Session] = [:]
    /// Nodes that wait for the others.
    var awaits: [Await] = []
    /// When a node was last heard here, whether or not it has a session still.
    private(set) var lastHeard: [NodeID: Instant] = [:]
    /// Sessions in a row that ended soon after they began, of nodes that have such.
    private(set) var brokenSessions: [NodeID: Int] = [:]

    package init() {}

    /// True while the node has a session and said hello in it.
    package func isConnected(_ node: NodeID) -> Bool { sessions[node]?.isOpen ?? false }

    func isCurrent(_ node: NodeID, _ session: SessionID) -> Bool { sessions[node]?.id == session }

    package mutating func connect(_ node: NodeID, _ session: SessionID, address: IPv4Address?, now: Instant) {
        sessions[node] = Session(id: session, address: address, since: now)
        heard(node, now: now)
    }

    mutating func heard(_ node: NodeID, now: Instant) { lastHeard[node] = now }

    /// The node said hello, and knows everything up to `applied`; `.none`: it must get everything.
    package mutating func open(_ node: NodeID, applied: Version) {
        guard var session = sessions[node] else { return }
        session.isOpen = true
        session.owesAnswer = true
        session.told = applied == .none ? nil : applied
        session.examined = applied
        sessions[node] = session
    }

    /// The node wants everything.
    mutating func resynchronise(_ node: NodeID) {
        sessions[node]?.told = nil
        sessions[node]?.owesAnswer = true
    }

    /// Ends the node's session here, and returns it.
    mutating func end(_ node: NodeID, now: Instant) -> Session? {
        guard let session = sessions.removeValue(forKey: node) else { return nil }
        guard session.isOpen else { return session }
        if now - session.since < Self.sessionHolds { brokenSessions[node, default: 0] += 1 } else { forgive(node) }
        return session
    }

    /// The node's sessions hold again.
    mutating func forgive(_ node: NodeID) { brokenSessions[node] = nil }

    /// Ends the sessions of nodes that a commit removed, whoever made it, and forgets them.
    mutating func dismiss(_ changes: [Replica.Change]) -> [ControlAction] {
        var actions: [ControlAction] = []
        for change in changes where change.new == nil {
            guard let node = change.old?.as(Node.self) else { continue }
            lastHeard[node.id] = nil
            let session = sessions.removeValue(forKey: node.id)
            brokenSessions[node.id] = nil
            guard let session else { continue }
            let reason = "node \(node.label) was removed from the swarm"
            actions.append(.send(node.id, session.id, .goodbye(reason: reason)))
            actions.append(.closeSession(node.id, session.id, reason: reason))
        }
        return actions
    }

    /// Ends the sessions of nodes that are no members.
    mutating func dismissStrangers(_ replica: Replica) -> [ControlAction] {
        var actions: [ControlAction] = []
        for (node, session) in sessions.sorted(by: { $0.key < $1.key }) where replica.node(node) == nil {
            let reason = "node \(node) was removed from the swarm"
            sessions[node] = nil
            actions.append(.send(node, session.id, .goodbye(reason: reason)))
            actions.append(.closeSession(node, session.id, reason: reason))
        }
        return actions
    }
}
