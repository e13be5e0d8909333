package import WeftModel
import WeftNet

/// What nodes are told.
extension Dispatcher {
    /// The assignments that open sessions must get now, by node.
    package mutating func assignmentsDue(_ replica: Replica) -> [ControlAction] {
        var actions: [ControlAction] = []
        askOthers(replica)
        for (node, old) in sessions.sorted(by: { $0.key < $1.key }) where old.isOpen {
            var session = old
            var assignments: Assignments
            if let told = session.told, replica.remembered.contains(session.examined) {
                if session.examined == replica.revision && !session.owesAnswer { continue }
                assignments = replica.delta(for: node, base: told, after: session.examined)
            } else {
                assignments = replica.everything(for: node)
            }
            session.examined = replica.revision
            if session.owesAnswer || !assignments.isEmpty {
                session.told = replica.revision
                session.owesAnswer = false
                assignments.wantsAcknowledgement = session.wantsAcknowledgement
                session.wantsAcknowledgement = false
                actions.append(.send(node, session.id, .assignments(assignments)))
            }
            sessions[node] = session
        }
        return actions
    }
}

extension Replica {
    /// All that a node must know, as of a new session.
    package func everything(for node: NodeID) -> Assignments {
        var all = Assignments(isFull: true, baseRevision: .none, revision: revision)
        let receiver = receiver(node)
        for table in tables.byKind.all { all.tell(table, to: receiver) }
        return all
    }

    private func receiver(_ node: NodeID) -> Receiver {
        Receiver(id: node, role: tables.nodes[node]?.spec.role ?? .worker)
    }

    /// Objects changed after `start`, as they are now.
    fileprivate func delta(for node: NodeID, base: Version, after start: Version) -> Assignments {
        var delta = Assignments(isFull: false, baseRevision: base, revision: revision)
        var changed: [StoreKind: Set<String>] = [:]
        for commit in commits(after: start) {
            for change in commit.changes where change.concerns(node) {
                changed[change.key.kind, default: []].insert(change.key.id)
            }
        }
        let receiver = receiver(node)
        for (kind, ids) in changed.sorted(by: { $0.key < $1.key }) {
            if let table = tables.byKind[kind] { delta.tell(table, of: ids, to: receiver) }
        }
        return delta
    }
}

/// From what is stored to what a node is told of it.
extension Assignments {
    /// All of a table that concerns the receiver; with `ids`, what became of those.
    fileprivate mutating func tell(_ table: some ErasedTable, of ids: Set<String>? = nil, to receiver: Receiver) {
        // The one look at the type; what follows knows it.
        if let type = type(of: table).Value as? any StoredValue.Type { tell(type, table, ids, receiver) }
    }

    private mutating func tell<Value: StoredValue>(
        _ type: Value.Type, _ table: some ErasedTable, _ ids: Set<String>?, _ receiver: Receiver
    ) {
        guard let table = table as? Table<Value> else { return }
        self[Value.Assigned.self] = Value.told(of: table, ids, to: receiver)
    }
}
