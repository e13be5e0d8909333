package import WeftModel
import WeftNet

/// What nodes are told.
extension ControlMachine {
    /// The assignments that open sessions must get now, by node.
    mutating func assignmentsDue() -> [ControlAction] {
        var actions: [ControlAction] = []
        for (node, old) in sessions.sorted(by: { $0.key < $1.key }) where old.isOpen {
            var session = old
            let assignments: Assignments
            if let told = session.told, session.examined >= logBase, session.examined <= state.revision {
                if session.examined == state.revision && !session.owesAnswer { continue }
                assignments = delta(for: node, base: told, after: session.examined)
            } else {
                assignments = everything(for: node)
            }
            session.examined = state.revision
            if session.owesAnswer || !assignments.isEmpty {
                session.told = state.revision
                session.owesAnswer = false
                actions.append(.send(node, session.id, .assignments(assignments)))
            }
            sessions[node] = session
        }
        return actions
    }

    /// All that the node must know, as of a new session.
    package func everything(for node: NodeID) -> Assignments {
        var all = Assignments(isFull: true, baseRevision: .none, revision: state.revision)
        let receiver = receiver(node)
        for table in state.tables.all { all.tell(table, to: receiver) }
        return all
    }

    private func receiver(_ node: NodeID) -> Receiver {
        Receiver(id: node, role: state.nodes[node]?.spec.role ?? .worker)
    }

    /// Objects changed after `start`, as they are now.
    private func delta(for node: NodeID, base: Version, after start: Version) -> Assignments {
        var delta = Assignments(isFull: false, baseRevision: base, revision: state.revision)
        var changed: [StoreKind: Set<String>] = [:]
        // Revisions are consecutive: count back from the end.
        let count = min(log.count, Int(max(0, state.revision.index - start.index)))
        for entry in log.suffix(count) {
            for change in entry.changes where change.audience.includes(node) {
                changed[change.key.kind, default: []].insert(change.key.id)
            }
        }
        let receiver = receiver(node)
        for (kind, ids) in changed.sorted(by: { $0.key < $1.key }) {
            if let table = state.tables[kind] { delta.tell(table, of: ids, to: receiver) }
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
