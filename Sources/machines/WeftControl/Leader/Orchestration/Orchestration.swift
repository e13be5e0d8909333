import WeftModel
import WeftNet

/// Tasks of services: how many, where, when. Services that something concerns get a turn (`ServiceTurn`); what concerns none costs
/// nothing.
struct Orchestration: Sendable {
    /// So many changes make one transaction large enough; the rest of the services wait for the next.
    private static let changesMax = ManagerCore.changesMax
    /// Services with so many tasks together have a turn in one round: a fresh manager's first look at all of them is many rounds, between which
    /// nodes and people are heard.
    private static let tasksMax = 512

    /// Services that something concerns, and that had no turn since.
    private var concerned: Set<ServiceID> = []
    /// The one that had its turn last where not all had: those behind it are next, so that none waits for ever.
    private var last: ServiceID?
    /// Whatever there is may concern all.
    private var isNew = true
    /// Those that never had a turn here.
    private var unseen: Set<ServiceID> = []
    private var clocks: [ServiceID: ServiceClock] = [:]
    /// Services with tasks that no node takes.
    private var unplaced: Set<ServiceID> = []
    /// Something may make room for what is unplaced.
    private var mayFit = false
    /// Since when nodes have been down.
    private var absences = Absences()
    /// Nothing until time has passed.
    private var isPaused = false

    /// Services wait for a turn that needs no input.
    var hasMore: Bool { !isPaused && !concerned.isEmpty }

    mutating func pause() { isPaused = true }
    mutating func startOver() {
        isNew = true
        absences.isNew = true
    }

    /// What was committed, by whomever.
    mutating func noted(_ changes: [Replica.Change]) {
        for change in changes { note(change.key, from: change.old, to: change.new) }
    }

    mutating func advance(_ round: inout Round, random: inout some RandomNumberGenerator) {
        if round.isTick { isPaused = false }
        for (key, before) in round.draft.changes(since: 0) { note(key, from: before, to: round.tables.object(key)) }
        absences.follow(round)
        let looksAtAll = isNew
        gather(in: round)
        if !concerned.isEmpty { turns(in: &round, random: &random) }
        FileNeeds.settle(since: 0, all: looksAtAll, in: &round)
    }

    private mutating func turns(in round: inout Round, random: inout some RandomNumberGenerator) {
        let scheduler = Scheduler(round.tables)
        let start = round.mark.changes
        var tasks = 0
        for id in inOrder(concerned) {
            guard round.mark.changes - start < Self.changesMax, tasks < Self.tasksMax else { return }
            tasks += 1 + (round.tables.found.tasks[id]?.count ?? 0)
            concerned.remove(id)
            last = id
            turn(id, scheduler, in: &round, random: &random)
        }
        last = nil
    }

    private func inOrder(_ ids: Set<ServiceID>) -> [ServiceID] {
        let sorted = ids.sorted()
        guard let last else { return sorted }
        return sorted.filter { $0 > last } + sorted.filter { $0 <= last }
    }

    private mutating func turn(
        _ id: ServiceID, _ scheduler: Scheduler, in round: inout Round, random: inout some RandomNumberGenerator
    ) {
        var turn = ServiceTurn(id, clock: clocks[id], isFirstLook: unseen.remove(id) != nil, in: round)
        turn.settle(absences: absences, in: round, random: &random)
        if scheduler.place(&turn, in: &round) { unplaced.remove(id) } else { unplaced.insert(id) }
        turn.tasks.write(to: &round)
        turn.writeService(to: &round)
        turn.clock.end()
        clocks[id] = turn.clock.isEmpty ? nil : turn.clock
    }

    // MARK: What concerns whom

    private mutating func gather(in round: borrowing Round) {
        if isNew {
            concerned.formUnion(round.tables.services.keys)
            concerned.formUnion(round.tables.found.tasks.keys)
            unseen = concerned
            isNew = false
        }
        for (id, clock) in clocks {
            if let due = clock.due, due <= round.now { concerned.insert(id) }
        }
        for node in absences.changed {
            for task in round.tables.found.nodeTasks[node] ?? [] {
                if let service = round.tables.tasks[task]?.service { concerned.insert(service) }
            }
        }
        let nodesChanged = !absences.changed.isEmpty
        if nodesChanged { concerned.formUnion(round.tables.found.global) }
        absences.changed = []
        if nodesChanged || mayFit && round.isTick {
            concerned.formUnion(unplaced)
            mayFit = false
        }
    }

    private mutating func note(_ key: StoreKey, from old: StoredObject?, to new: @autoclosure () -> StoredObject?) {
        switch key.kind {
        case Service.kind: concerned.insert(ServiceID(key.id))
        case ServiceTask.kind:
            let new = new()
            guard let task = new?.as(ServiceTask.self) ?? old?.as(ServiceTask.self) else { return }
            concerned.insert(task.service)
            if new == nil || task.status.state.isOver { mayFit = true }
        case Node.kind:
            let (before, after) = (old?.as(Node.self), new()?.as(Node.self))
            if before?.standing != after?.standing { absences.changed.insert(NodeID(key.id)) }
        default: break
        }
    }
}

extension Node {
    /// What matters to tasks.
    fileprivate struct Standing: Equatable {
        let state: NodeState
        let hasLeft: Bool?
        let spec: NodeSpec
        let address: IPv4Address?
        let hostname: String?
        let architecture: String?
        let nanoCPUs: Int64?
        let memoryBytes: Int64?
        let hasEngine: Bool
        let labels: [String: String]?
    }

    fileprivate var standing: Standing {
        Standing(
            state: state, hasLeft: hasLeft, spec: spec, address: address, hostname: description?.hostname,
            architecture: description?.architecture, nanoCPUs: description?.nanoCPUs, memoryBytes: description?.memoryBytes,
            hasEngine: description?.engineVersion.isEmpty == false, labels: description?.engineLabels)
    }
}
