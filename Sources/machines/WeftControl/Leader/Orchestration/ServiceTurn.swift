import WeftModel

/// One look at one service: what its tasks are compared with what they are to be. It rests on what is stored alone, and on times that
/// are remembered, so that it comes to the same whoever looks, and however often.
struct ServiceTurn {
    /// Nil: it was removed.
    var service: Service?
    let id: ServiceID
    var tasks: ServiceTasks
    var clock: ServiceClock
    let cluster: ClusterSpec?
    let now: Instant
    let wallClock: Instant
    /// What objects get for their version in this round.
    let newVersion: Version
    /// Nobody here looked at the service before.
    let isFirstLook: Bool
    private let stored: Service?
    private var constraints: [Version: [Constraint]] = [:]

    init(_ id: ServiceID, clock: ServiceClock?, isFirstLook: Bool, in round: borrowing Round) {
        self.id = id
        self.isFirstLook = isFirstLook
        newVersion = round.draft.newVersion
        stored = round.tables.services[id]
        service = stored
        tasks = ServiceTasks(of: id, in: round.tables)
        self.clock = clock ?? ServiceClock()
        cluster = round.tables.cluster?.spec
        now = round.now
        wallClock = round.wallClock
        self.clock.begin()
    }

    /// Everything but nodes for tasks that have none, which is the scheduler's.
    mutating func settle(absences: Absences, in round: borrowing Round, random: inout some RandomNumberGenerator) {
        adopt(in: round)
        retire(absences, in: round)
        if let service {
            switch service.spec.mode {
            case .replicated(let count): fillSlots(of: service, upTo: count, random: &random)
            case .global, .globalJob: fillNodes(of: service, in: round, random: &random)
            case .replicatedJob(let concurrent, let total):
                fillJob(of: service, concurrent: concurrent, total: total, random: &random)
            }
            roll(in: round, random: &random)
            start(in: round)
            allocate(self.service ?? service)
        } else {
            forgetAll()
        }
        reap(in: round)
    }

    /// A task that is to start once nothing is in its way, which is mostly at once.
    mutating func make(
        _ service: Service, at place: Place, random: inout some RandomNumberGenerator
    ) {
        var (slot, node): (UInt64, NodeID?) = (0, nil)
        switch place {
        case .slot(let number): slot = number
        case .node(let id): node = id
        }
        // What follows in a place is later than what was before, whatever became of the clock.
        let former = tasks.places[place]?.last.map { $0.createdAt + .nanoseconds(1) }
        let createdAt = max(wallClock, former ?? wallClock, service.updateStatus?.startedAt ?? wallClock)
        tasks.add(
            ServiceTask(
                id: .random(using: &random), createdAt: createdAt, of: service, slot: slot, node: node, desiredState: .ready,
                status: TaskStatus(state: .new, at: wallClock, message: "created")))
    }

    /// Writes what changed of the service itself.
    func writeService(to round: inout Round) {
        guard var service, service != stored else { return }
        service.updatedAt = wallClock
        round.draft.put(service)
    }

    /// The parsed constraints of a task's spec.
    mutating func constraints(of task: ServiceTask) -> [Constraint] { constraints(of: task.spec.placement, task.specVersion) }
    /// Those of the newest spec.
    mutating func constraints(of service: Service) -> [Constraint] { constraints(of: service.spec.task.placement, service.specVersion) }

    private mutating func constraints(of placement: Placement, _ version: Version) -> [Constraint] {
        if let known = constraints[version] { return known }
        let parsed = placement.constraints.compactMap { try? Constraint($0) }
        constraints[version] = parsed
        return parsed
    }

    // MARK: What ended, or cannot go on

    /// Takes the wish to run from tasks that ended, and from those whose node has them no more or must not.
    private mutating func retire(_ absences: Absences, in round: borrowing Round) {
        for task in Array(tasks.all) {
            guard let node = task.node else { continue }
            let record = round.tables.nodes[node]
            if task.mayRun {
                if record == nil { orphan(task, because: "node \(node) was removed from the swarm") }
                if absences.isLost(node) { orphan(task, because: "node \(record?.label ?? node.rawValue) has been away for 24 hours") }
            }
            if task.isWanted { retire(task, on: record) }
        }
    }

    private mutating func retire(_ task: ServiceTask, on node: Node?) {
        if task.status.state.isOver {
            // A job's task that ended well is what was wanted.
            if task.jobIteration == nil || task.status.state != .complete { tasks.want(.shutdown, of: task) }
        } else if node.map(\.keepsTasks) != true {
            tasks.want(.shutdown, of: task)
        } else if let node, node.spec.availability == .active, !mayStay(task, on: node) {
            tasks.want(.shutdown, of: task, problem: "assigned node no longer meets constraints")
        }
    }

    /// A global service's task has nowhere else to go: an update does not replace it where the newest spec has no place for it.
    private mutating func mayStay(_ task: ServiceTask, on node: Node) -> Bool {
        if let service, service.spec.mode.isGlobal { return suits(node, service) }
        return constraints(of: task).allSatisfy { $0.isMet(by: node) }
    }

    private mutating func orphan(_ task: ServiceTask, because problem: String) {
        tasks.change(task) {
            $0.status.state = .orphaned
            $0.status.at = wallClock
            $0.status.message = "orphaned"
            $0.status.problem = problem
        }
    }

    // MARK: Starting

    /// Lets tasks run whose delay is over, and which follow nothing that still runs.
    private mutating func start(in round: borrowing Round) {
        for place in tasks.sortedPlaces {
            for task in tasks.wanted(at: place) where task.desiredState == .ready {
                // It has no addresses, and what it replaces may be there yet.
                if service?.problem != nil, task.status.state == .new { continue }
                let due = clock.start(of: task, after: delay(of: task), now: now, wallClock: wallClock)
                guard due <= now else {
                    clock.wake(at: due)
                    continue
                }
                if followsRunning(task, in: round) { continue }
                tasks.want(task.jobIteration == nil ? .running : .complete, of: task)
            }
        }
    }

    /// How long after it was made it is to start: of what takes the place of one that ended by itself, its restart's delay.
    private func delay(of task: ServiceTask) -> Duration {
        guard let former = former(of: task) else { return .zero }
        if task.spec.restart == nil, former.ranLong { return .zero }
        return .nanoseconds(task.policy.delay)
    }

    /// What ended by itself, and is tried again with the task.
    private func former(of task: ServiceTask) -> ServiceTask? {
        guard let former = tasks.places[task.place]?.last(where: { $0.id != task.id && $0.createdAt <= task.createdAt }),
            former.endedByItself, former.specVersion == task.specVersion, former.jobIteration == task.jobIteration,
            former.desiredState != .remove
        else { return nil }
        return former
    }

    /// Why it is not even prepared before its delay is over: the one before it never ran, so that preparing may be what fails, at once and
    /// again and again. A node that holds nothing of it yet can be another one's, too.
    private func obstacle(to task: ServiceTask) -> String? {
        guard task.desiredState == .ready, let former = former(of: task), former.startedAt == nil else { return nil }
        return former.status.problem
    }

    /// Whether one that is to end has not yet, in the same place.
    private func followsRunning(_ task: ServiceTask, in round: borrowing Round) -> Bool {
        (tasks.places[task.place] ?? []).contains { other in
            guard other.id != task.id, !other.isWanted, other.mayRun, let node = other.node else { return false }
            return round.tables.nodes[node].map { !$0.isAway } ?? false
        }
    }

    /// Tasks wait for a node only once there is all that the service needs.
    private mutating func allocate(_ service: Service) {
        for task in Array(tasks.all) where task.isWanted {
            if service.problem == nil { settlePorts(of: task, service) }
            guard task.status.state == .new else { continue }
            if let problem = service.problem ?? obstacle(to: task) {
                if task.status.problem != problem { tasks.change(task) { $0.status.problem = problem } }
            } else {
                tasks.change(task) {
                    $0.status = TaskStatus(state: .pending, at: wallClock, message: "pending task scheduling")
                }
            }
        }
    }

    /// What an older task publishes at its node it was made with: it has that until it ends.
    private mutating func settlePorts(of task: ServiceTask, _ service: Service) {
        var ports = service.ports
        if task.specVersion != service.specVersion {
            let isPublished = task.ports.contains { $0.mode == .ingress }
            ports = ports.filter { isPublished && $0.mode == .ingress } + task.ports.filter { $0.mode == .host }
        }
        if task.ports != ports { tasks.change(task) { $0.ports = ports } }
    }
}

extension ServiceTask {
    /// It did not fail soon after its start: where nothing was said of a delay, there is none.
    fileprivate var ranLong: Bool {
        startedAt.map { status.at - $0 >= .nanoseconds(RestartPolicy().delay) } ?? false
    }
}

extension Node {
    /// Nothing is heard of it, and what it has runs elsewhere.
    var isAway: Bool { state == .down || hasLeft ?? false }
    /// Tasks that it has may stay.
    var keepsTasks: Bool { !isAway && spec.availability != .drain }
    /// It may get tasks.
    var takesTasks: Bool { state == .ready && hasLeft != true && spec.availability == .active }
}
