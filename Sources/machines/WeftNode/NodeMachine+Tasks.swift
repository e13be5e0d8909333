package import WeftModel

/// What a node is to run, and what it needs for it.
package struct AssignedTasks: Hashable, Sendable {
    /// Sorted by id.
    package var tasks: [ServiceTask]
    package var secrets: [StoredSecret]
    package var configs: [StoredConfig]
    /// A manager is there, which decides what follows the end of a task.
    package var hasManager: Bool

    package init(
        tasks: [ServiceTask] = [], secrets: [StoredSecret] = [], configs: [StoredConfig] = [], hasManager: Bool = true
    ) {
        self.tasks = tasks
        self.secrets = secrets
        self.configs = configs
        self.hasManager = hasManager
    }
}

/// How far this node's data path and names are behind what the manager said.
struct Following: Hashable, Sendable {
    private static let stepLimit = 256

    private struct Step: Hashable {
        let revision: Version
        let generation: Generation
    }

    /// Up to here all is in force.
    private(set) var revision = Version.none
    /// Up to here the manager wants to hear of it.
    private var wanted: Version?
    private var steps: [Step] = []
    /// Nil: nothing was applied yet.
    private(set) var generation: Generation?

    init() {}

    /// What is known from before counts when the first round has gone through.
    init(saved: Version) { steps = [Step(revision: saved, generation: 0)] }

    /// The revision is in force with this generation. Returns what is to be acknowledged.
    mutating func add(_ revision: Version, by generation: Generation, isWanted: Bool) -> Version? {
        if isWanted { wanted = revision }
        // A data path that refuses for long reaches all of it at once, or nothing.
        if steps.last?.generation == generation || steps.count >= Self.stepLimit { steps.removeLast() }
        steps.append(Step(revision: revision, generation: generation))
        return settle()
    }

    /// The data path reached a generation, and the names with it. Returns what is to be acknowledged.
    mutating func reach(_ generation: Generation) -> Version? {
        self.generation = max(self.generation ?? 0, generation)
        return settle()
    }

    func hasReached(_ generation: Generation) -> Bool { self.generation.map { $0 >= generation } ?? false }

    private mutating func settle() -> Version? {
        while let first = steps.first, hasReached(first.generation) {
            revision = first.revision
            steps.removeFirst()
        }
        guard let wanted, wanted <= revision else { return nil }
        self.wanted = nil
        return revision
    }

    /// A new session asks anew.
    mutating func forgetWish() { wanted = nil }
}

/// The wish to go on once all nodes have something in force.
struct AwaitedOthers: Hashable, Sendable {
    /// What the manager is asked by; nil: nobody else is waited for any more.
    var number: RequestNumber?
    /// What this node itself must have reached.
    let generation: Generation
    let deadline: Instant
}

/// Tasks of services: what the manager wants of this node, what is told of them, and their endpoints in and out of rotation.
extension NodeMachine {
    /// How long others are waited for.
    package static let othersPatience: Duration = .seconds(2)
    /// Reports in one message.
    static let reportsAtOnce = 256

    /// Nil until a manager has said so: what runs here then stays as it is.
    package var assignedTasks: AssignedTasks? {
        guard view.appliedRevision != .none else { return nil }
        return AssignedTasks(
            tasks: view.tables[ServiceTask.self].sorted.filter { $0.node == id },
            secrets: view.tables[StoredSecret.self].sorted, configs: view.tables[StoredConfig.self].sorted,
            hasManager: session == .synchronised)
    }

    /// True where a task is to run and a secret of it is not known, as after a restart.
    var tasksLackSecrets: Bool {
        let secrets = view.tables[StoredSecret.self]
        return view.tables[ServiceTask.self].values.contains { task in
            task.desiredState <= .complete && !task.status.state.isOver
                && (task.lacksCredentials || task.spec.container.secrets.contains { secrets[$0.id] == nil })
        }
    }

    func concernsTasks(_ assignments: Assignments) -> Bool {
        assignments.isFull || !assignments[ServiceTask.self].isEmpty || !assignments[StoredSecret.self].isEmpty
            || !assignments[StoredConfig.self].isEmpty
    }

    // MARK: Reports

    mutating func tasksObserved(_ reports: [TaskReport], gone: [TaskID]) {
        let changed = reports.filter { taskReports[$0.task] != $0.status }
        for report in changed {
            taskReports[report.task] = report.status
            keepSeen(report.task)
        }
        for task in gone { taskReports[task] = nil }
        if session == .synchronised { tell(changed) }
    }

    /// Lays over what the manager says of a task what this node saw of it since: no manager repeats that, and a restart goes on from it.
    mutating func keepSeen(_ id: TaskID) {
        guard var task = view.tables[ServiceTask.self][id], let seen = taskReports[id], seen != task.status,
            seen.state >= task.status.state
        else { return }
        task.status = seen
        view.put(task)
        unsaved.view.ids[ServiceTask.kind, default: []].insert(id.text)
        effects.persist = true
    }

    /// A session has begun: the manager may know nothing of what happened before.
    mutating func tellTasks() {
        tell(taskReports.sorted { $0.key < $1.key }.map { TaskReport(task: $0.key, status: $0.value) })
    }

    private mutating func tell(_ reports: [TaskReport]) {
        for start in stride(from: 0, to: reports.count, by: Self.reportsAtOnce) {
            send(.tasksChanged(Array(reports[start..<min(start + Self.reportsAtOnce, reports.count)])))
        }
    }

    // MARK: Rotation

    mutating func rotate(_ rotations: [TaskID: ServingTask.Rotation]) {
        for endpoint in own.values.sorted(by: { $0.id < $1.id }) {
            guard let task = endpoint.task, let rotation = rotations[task.task], task.rotation != rotation else { continue }
            var rotated = endpoint
            rotated.task?.rotation = rotation
            setOwn(endpoint.id, rotated)
            effects.added.removeAll { $0.id == endpoint.id }
            effects.added.append(rotated)
        }
    }

    // MARK: Who follows

    mutating func awaitOthers(_ id: RequestID, now: Instant) {
        var wish = AwaitedOthers(number: nil, generation: generation, deadline: now + Self.othersPatience)
        if session != .closed {
            wish.number = nextNumber
            send(.awaitsOthers(nextNumber))
            nextNumber += 1
        }
        awaits[id] = wish
    }

    mutating func othersFollowed(_ number: RequestNumber) {
        for (id, wish) in awaits where wish.number == number { awaits[id]?.number = nil }
    }

    mutating func answerAwaits(now: Instant) {
        guard !awaits.isEmpty else { return }
        for (id, wish) in awaits.sorted(by: { $0.key < $1.key }) {
            guard wish.number == nil && following.hasReached(wish.generation) || wish.deadline <= now else { continue }
            awaits[id] = nil
            effects.followed.append(id)
        }
    }

    /// What was just applied is in force when the data path has reached what follows from it.
    mutating func follow(_ assignments: Assignments) {
        let isChange = effects.reconcile || !effects.added.isEmpty || !effects.removed.isEmpty
        acknowledge(
            following.add(
                view.appliedRevision, by: isChange ? generation + 1 : generation,
                isWanted: assignments.wantsAcknowledgement))
    }

    mutating func acknowledge(_ revision: Version?) {
        if let revision { send(.heartbeat(appliedRevision: revision)) }
    }

    /// Nobody answers any more what was asked in this session.
    mutating func closeSession() {
        if session == .synchronised { effects.tasks = true }
        session = .closed
        following.forgetWish()
        for id in awaits.keys { awaits[id]?.number = nil }
    }
}
