import WeftModel
import WeftNet

/// Which nodes are ready, and why others are not: what the store says of it, compared with what the dispatcher hears.
extension Membership {
    /// Missed heartbeats after which a node is down.
    static let heartbeatsMissed: Int64 = 3
    /// So many sessions in a row that did not hold make a node down, though it comes back each time.
    static let brokenSessionsMax = 4
    /// Addresses that are remembered for a node.
    static let shownAddressesMax = 4

    func advance(_ round: inout Round) {
        for (id, count) in round.dispatcher.brokenSessions.sorted(by: { $0.key < $1.key }) {
            guard count >= Self.brokenSessionsMax, let node = round.tables.nodes[id], node.state == .ready else { continue }
            setDown(
                node,
                because: "its sessions end as soon as they begin, \(Self.brokenSessionsMax) in a row; weftd's log on it says why",
                in: &round)
        }
        guard round.isTick else { return }
        expire(&round)
        for (id, session) in round.dispatcher.sessions.sorted(by: { $0.key < $1.key }) where session.isOpen {
            settle(id, session, in: &round)
        }
    }

    /// Nodes of which nothing is heard, and sessions without a hello.
    private func expire(_ round: inout Round) {
        let grace = round.heartbeat * Int(Self.heartbeatsMissed)
        for node in round.tables.sortedNodes where node.state == .ready {
            guard let heard = round.dispatcher.lastHeard[node.id] else {
                // Nothing was heard of it here yet: it has the time to come.
                round.dispatcher.heard(node.id, now: round.now)
                continue
            }
            guard round.now - heard >= grace else { continue }
            setDown(node, because: "nothing was heard of it for \((round.now - heard).components.seconds) s", in: &round)
            round.close(node.id, reason: "no heartbeat came")
        }
        // A stream without a hello is no session; it must not stay for ever either.
        for (id, session) in round.dispatcher.sessions.sorted(by: { $0.key < $1.key }) where !session.isOpen {
            if let heard = round.dispatcher.lastHeard[id], round.now - heard >= grace {
                round.close(id, reason: "no hello came")
            }
        }
    }

    /// A node that came back and held its session is ready.
    private func settle(_ id: NodeID, _ session: Dispatcher.Session, in round: inout Round) {
        guard round.dispatcher.brokenSessions[id] != nil, round.now - session.since >= Dispatcher.sessionHolds else { return }
        round.dispatcher.forgive(id)
        guard var node = round.tables.nodes[id], node.state != .ready else { return }
        node.state = .ready
        node.problem = nil
        node.updatedAt = round.wallClock
        round.draft.put(node)
    }

    private func setDown(_ node: Node, because reason: String, in round: inout Round) {
        round.note("node \(node.label) is down: \(reason)")
        var node = node
        node.state = .down
        node.problem = reason
        node.updatedAt = round.wallClock
        round.draft.put(node)
    }
}
