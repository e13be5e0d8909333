import WeftModel

/// Why a task cannot run on a node, in the order in which it is asked.
enum Misfit: Int, Hashable, CaseIterable {
    case unavailable, resources, engine, constraints, platform, port, replicas

    func sentence(_ count: Int) -> String {
        let nodes = count == 1 ? "1 node" : "\(count) nodes"
        switch self {
        case .unavailable: return "\(nodes) not available for new tasks"
        case .resources: return "insufficient resources on \(nodes)"
        case .engine: return "no container engine on \(nodes)"
        case .constraints: return "scheduling constraints not satisfied on \(nodes)"
        case .platform: return "unsupported platform on \(nodes)"
        case .port: return "host-mode port already in use on \(nodes)"
        case .replicas: return "max replicas per node limit exceed"
        }
    }
}

/// Nodes for tasks, one task after the other: each sees what those before it took.
struct Scheduler {
    private let nodes: [Node]

    init(_ tables: borrowing IndexedTables) { nodes = tables.sortedNodes }

    /// Gives nodes to the tasks of a service that wait for one. Returns whether all have one.
    func place(_ turn: inout ServiceTurn, in round: inout Round) -> Bool {
        var waiting: [ServiceTask] = []
        var counts: [NodeID: Int] = [:]
        for task in turn.tasks.all where task.isWanted {
            if task.status.state == .pending { waiting.append(task) }
            if let node = task.node, task.status.state >= .assigned, !task.status.state.isOver { counts[node, default: 0] += 1 }
        }
        guard !waiting.isEmpty else { return true }
        turn.tasks.write(to: &round) { $0.status.state == .pending }
        let failures = turn.failures()
        waiting.sort { ($0.slot, $0.createdAt, $0.id) < ($1.slot, $1.createdAt, $1.id) }
        var refusal: (version: Version, sentence: String)?
        for task in waiting {
            if task.node == nil, let refusal, refusal.version == task.specVersion {
                turn.refuse(task, refusal.sentence)
                continue
            }
            let constraints = turn.constraints(of: task)
            let query = Query(task: task, constraints: constraints, counts: counts, failures: failures)
            switch node(for: query, in: round) {
            case .success(let node):
                counts[node, default: 0] += 1
                turn.assign(task, to: node)
                turn.tasks.write(task.id, at: task.place, to: &round)
            case .failure(let reason):
                if task.node == nil { refusal = (task.specVersion, reason.sentence) }
                turn.refuse(task, reason.sentence)
            }
        }
        return turn.tasks.all.allSatisfy { !$0.isWanted || $0.status.state != .pending }
    }

    struct Query {
        let task: ServiceTask
        let constraints: [Constraint]
        /// How many tasks of the service nodes have.
        let counts: [NodeID: Int]
        /// Nodes on which tasks of the same spec failed again and again.
        let failures: Set<NodeID>
    }

    struct Reason: Error { let sentence: String }

    private func node(for query: Query, in round: borrowing Round) -> Result<NodeID, Reason> {
        let candidates = query.task.node.map { own in nodes.filter { $0.id == own } } ?? nodes
        var misfits: [Misfit: Int] = [:]
        var fitting: [Node] = []
        for node in candidates {
            if let misfit = misfit(node, query, round.tables.found.loads[node.id] ?? NodeLoad()) {
                misfits[misfit, default: 0] += 1
            } else {
                fitting.append(node)
            }
        }
        guard !fitting.isEmpty else { return .failure(Reason(sentence: Self.sentence(misfits))) }
        return .success(best(of: fitting, query, in: round).id)
    }

    private func misfit(_ node: Node, _ query: Query, _ load: NodeLoad) -> Misfit? {
        guard node.takesTasks else { return .unavailable }
        let (spec, need) = (query.task.spec, query.task.spec.reservations)
        if need.nanoCPUs > 0, load.nanoCPUs + need.nanoCPUs > node.description?.nanoCPUs ?? 0 { return .resources }
        if need.memoryBytes > 0, load.memoryBytes + need.memoryBytes > node.description?.memoryBytes ?? 0 { return .resources }
        // No node tells of any.
        if need.generic?.isEmpty == false { return .resources }
        if let misfit = node.misfit(spec, query.constraints) { return misfit }
        if query.task.hostPorts.contains(where: { load.ports[$0] != nil }) { return .port }
        let most = spec.placement.maxReplicasPerNode
        if most > 0, query.task.slot > 0, UInt64(query.counts[node.id] ?? 0) >= most { return .replicas }
        return nil
    }

    /// `no suitable node (…)`, what keeps most nodes from it first.
    private static func sentence(_ misfits: [Misfit: Int]) -> String {
        let parts = misfits.sorted { ($1.value, $0.key.rawValue) < ($0.value, $1.key.rawValue) }.map { $0.key.sentence($0.value) }
        return parts.isEmpty ? "no suitable node" : "no suitable node (\(parts.joined(separator: "; ")))"
    }

    // MARK: The best of those that fit

    private func best(of nodes: [Node], _ query: Query, in round: borrowing Round) -> Node {
        var nodes = nodes
        var used = query.counts
        for spread in query.task.spec.placement.spreads.map(SpreadLabel.init) {
            (nodes, used) = leastUsed(nodes, used, by: spread, in: round)
        }
        func rank(_ node: Node) -> (Int, Int, Int, String) {
            (
                query.failures.contains(node.id) ? 1 : 0, query.counts[node.id] ?? 0,
                round.tables.found.loads[node.id]?.tasks ?? 0, node.id.rawValue
            )
        }
        var best = nodes[0]
        for node in nodes.dropFirst() where rank(node) < rank(best) { best = node }
        return best
    }

    /// Of groups of nodes with the same value of a label, the one with fewest tasks of the service, and how many its nodes have. Those on
    /// nodes that have no room for another count as well.
    private func leastUsed(
        _ nodes: [Node], _ counts: [NodeID: Int], by label: SpreadLabel, in round: borrowing Round
    ) -> ([Node], [NodeID: Int]) {
        let groups = Dictionary(grouping: nodes, by: label.value)
        var used: [String: [NodeID: Int]] = [:]
        for (id, count) in counts {
            if let node = round.tables.nodes[id] { used[label.value(node), default: [:]][id] = count }
        }
        let sums = groups.keys.map { (used[$0]?.values.reduce(0, +) ?? 0, $0) }
        guard let least = sums.min(by: <)?.1, let group = groups[least] else { return (nodes, counts) }
        return (group, used[least] ?? [:])
    }
}

/// A label over whose values tasks are spread. What is of no label is the same everywhere and spreads nothing, as with Docker.
struct SpreadLabel {
    private let node: String?
    private let engine: String?

    init(_ text: String) {
        node = Constraint.label(text, after: "node.labels.")
        engine = Constraint.label(text, after: "engine.labels.")
    }

    func value(_ of: Node) -> String {
        node.flatMap { of.spec.labels[$0] } ?? engine.flatMap { of.description?.engineLabels?[$0] } ?? ""
    }
}

extension ServiceTurn {
    /// So many failures of one spec on one node make others preferred.
    private static var failuresMax: Int { 3 }

    fileprivate func failures() -> Set<NodeID> {
        var counts: [NodeID: Int] = [:]
        for task in tasks.all where task.specVersion == service?.specVersion {
            if task.status.state == .failed || task.status.state == .rejected, let node = task.node { counts[node, default: 0] += 1 }
        }
        return Set(counts.filter { $0.value >= Self.failuresMax }.keys)
    }

    fileprivate mutating func assign(_ task: ServiceTask, to node: NodeID) {
        let message =
            task.node == nil
            ? "scheduler assigned task to node" : "scheduler confirmed task can run on preassigned node"
        tasks.change(task) {
            $0.node = node
            $0.status = TaskStatus(state: .assigned, at: wallClock, message: message)
        }
    }

    fileprivate mutating func refuse(_ task: ServiceTask, _ sentence: String) {
        guard task.status.problem != sentence else { return }
        tasks.change(task) { $0.status.problem = sentence }
    }
}
