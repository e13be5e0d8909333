package import WeftModel

/// The tasks of services that this node runs, whatever runs them.
///
/// For each task the machine holds what is wanted of it, by the manager's word or by its policy while no manager is there, and
/// what there is of it, and does one step at a time from the one to the other. It holds that
///
/// * the state that is told of a task only rises;
/// * there is one container of a task at a time, and nothing is made before it is known what is there already;
/// * a run that was a backend is withdrawn before it is stopped, and is none before it is ready;
/// * what must end is tried again until it has; what could not be made is told, and not tried again by itself while a manager is
///   there to decide.
package struct TaskMachine: Sendable {
    private var entries: [TaskID: TaskEntry] = [:]
    /// What runs is left as it is until it is known what is to run.
    private var isAssigned = false
    private var hasManager = false
    private var files = TaskFiles()
    private var known: Set<TaskSpec.Runtime> = []
    /// Why runtimes are not known.
    private var obstacles: [TaskSpec.Runtime: String] = [:]
    private var nextStep: StepNumber = 1
    private var reported: [TaskID: TaskStatus] = [:]
    private var actions: [TaskAction] = []

    package init() {}

    package mutating func handle(_ input: TaskInput, now: Instant) -> [TaskAction] {
        actions = []
        switch input {
        case .assigned(let tasks): assign(tasks, now: now)
        case .left: assign(AssignedTasks(hasManager: false), now: now)
        case .found(let runtime, let found): note(found, by: runtime, now: now)
        case .unavailable(let runtime, let reason): obstruct(runtime, reason, now: now)
        case .done(let id, let number, let result): finish(id, number, result, now: now)
        case .ended(let id, let container, let end): update(id, container, now: now) { $0.noteEnd(end) }
        case .health(let id, let container, let health):
            update(id, container, now: now) { $0.noteHealth(health) }
        case .restarted(let id, let container, let started):
            update(id, container, now: now) { $0.noteRestarted(started) }
        case .listens(let id, let container, let pid):
            update(id, container, now: now) { if $0.run?.started?.pid == pid { $0.noteListening() } }
        case .tick: for id in entries.keys.sorted() { update(id, now: now) { $0.isStuck = false } }
        }
        tell()
        return actions
    }

    /// Sorted by id.
    package var statuses: [TaskReport] {
        entries.values.map { TaskReport(task: $0.id, status: $0.status) }.sorted { $0.task < $1.task }
    }
    /// The container of a task, while there is one.
    package func container(of task: TaskID) -> String? { entries[task]?.run?.container }
    /// That container of the task's ran, and does not any more.
    package func hasEnded(_ task: TaskID, in container: String) -> Bool {
        entries[task]?.run.map { $0.container == container && $0.end != nil } ?? false
    }
    package func task(_ id: TaskID) -> ServiceTask? { entries[id]?.task }
    /// No step is under way.
    package var isIdle: Bool { entries.values.allSatisfy { $0.step == nil } }

    // MARK: What is wanted

    private mutating func assign(_ assigned: AssignedTasks, now: Instant) {
        isAssigned = true
        hasManager = assigned.hasManager
        files = TaskFiles(assigned)
        let tasks = Dictionary(assigned.tasks.map { ($0.id, $0) }) { $1 }
        for id in Set(tasks.keys).union(entries.keys).sorted() {
            if let task = tasks[id] { assign(task, now: now) } else { entries[id]?.task = nil }
            advance(id, now: now)
        }
    }

    private mutating func assign(_ task: ServiceTask, now: Instant) {
        let isNew = entries[task.id]?.task == nil
        var entry = entries[task.id] ?? TaskEntry(task)
        entry.task = task
        if entry.status.state < task.status.state { entry.status = task.status }
        if isNew {
            if let run = entry.run { adopt(run, &entry) }
            // What the manager knows of it need not be told again.
            reported[task.id] = task.status
        }
        entry.raise(.accepted, "accepted", now: now)
        entries[task.id] = entry
    }

    /// A run of a former weftd's. If it was in use then, it is.
    private func adopt(_ run: TaskEntry.Run, _ entry: inout TaskEntry) {
        entry.status.container = run.container
        entry.status.pid = run.started?.pid
        if let ports = run.started?.ports { entry.status.ports = ports }
        guard run.phase == .running else { return }
        if entry.status.state == .running { entry.run?.isReady = true }
        // It may be a backend, though the manager was not told so: it is taken out before it stops.
        entry.rotation = .serving
        entry.isRotationOpen = true
        entry.isWithdrawn = false
    }

    // MARK: What there is

    private mutating func note(_ found: [FoundTask], by runtime: TaskSpec.Runtime, now: Instant) {
        guard known.insert(runtime).inserted else { return }
        for one in found.sorted(by: Self.precedes) { note(one, by: runtime, now: now) }
        for id in entries.keys.sorted() where entries[id]?.runtime == runtime {
            missRun(id, now: now)
            advance(id, now: now)
        }
    }

    private mutating func obstruct(_ runtime: TaskSpec.Runtime, _ reason: String, now: Instant) {
        guard !known.contains(runtime), obstacles[runtime] != reason else { return }
        obstacles[runtime] = reason
        for id in entries.keys.sorted() { advance(id, now: now) }
    }

    /// What runs comes first.
    private static func precedes(_ left: FoundTask, _ right: FoundTask) -> Bool {
        func rank(_ found: FoundTask) -> Int {
            switch found.phase {
            case .running: 0
            case .created: 1
            case .ended: 2
            }
        }
        return (rank(left), left.container) < (rank(right), right.container)
    }

    private mutating func note(_ found: FoundTask, by runtime: TaskSpec.Runtime, now: Instant) {
        var entry = entries[found.task] ?? TaskEntry(found, runtime: runtime, now: now)
        guard entry.run == nil else {
            entries[found.task]?.leftovers.append(found.container)
            return
        }
        var run = TaskEntry.Run(container: found.container)
        switch found.phase {
        case .created: break
        case .running(let started):
            (run.phase, run.started) = (.running, started)
            // Nobody knows: it is taken out before it stops.
            entry.rotation = .serving
        case .ended(let end): run.phase = .ended(end)
        }
        entry.run = run
        if entry.task != nil { adopt(run, &entry) }
        entries[found.task] = entry
    }

    /// What ran before, and is not there any more.
    private mutating func missRun(_ id: TaskID, now: Instant) {
        guard let entry = entries[id], entry.task != nil, entry.run == nil, entry.status.state >= .starting else { return }
        let end = TaskEnd(exitCode: nil, problem: "task: what it ran in is not on the node any more")
        entries[id]?.conclude(end, hasManager: hasManager, now: now)
    }

    private mutating func finish(_ id: TaskID, _ number: StepNumber, _ result: TaskStepResult, now: Instant) {
        guard let step = entries[id]?.step, step.number == number else { return }
        let hasManager = hasManager
        update(id, now: now) { entry in
            entry.step = nil
            entry.finish(step.step, result, hasManager: hasManager, now: now)
        }
    }

    // MARK: Parts

    /// Of another run nothing counts.
    private mutating func update(
        _ id: TaskID, _ container: String? = nil, now: Instant, _ body: (inout TaskEntry) -> Void
    ) {
        guard var entry = entries[id] else { return }
        if let container, entry.run?.container != container { return }
        body(&entry)
        entries[id] = entry
        advance(id, now: now)
    }

    /// Begins what is next.
    private mutating func advance(_ id: TaskID, now: Instant) {
        guard isAssigned, var entry = entries[id] else { return }
        guard known.contains(entry.runtime) else {
            if entry.status.state == .accepted { entries[id]?.status.problem = obstacles[entry.runtime] }
            return
        }
        entry.settle(hasManager: hasManager, now: now)
        noteMissingFiles(&entry)
        if entry.isInVain, let step = entry.step {
            entry.isCancelled = true
            actions.append(.cancel(id, step.number))
        }
        if let rotation = entry.nextRotation() { actions.append(.rotate(id, rotation)) }
        probe(&entry)
        if let step = entry.next(files, now: now) {
            entry.begin(nextStep, step, now: now)
            actions.append(.begin(id, entry.runtime, nextStep, step))
            nextStep += 1
        }
        entries[id] = entry.isEmpty ? nil : entry
    }

    private func noteMissingFiles(_ entry: inout TaskEntry) {
        guard let task = entry.task, entry.status.state == .accepted else { return }
        entry.status.problem = files.problem(of: task)
    }

    private mutating func probe(_ entry: inout TaskEntry) {
        guard let run = entry.run, run.phase == .running, !run.isReady, !run.isProbed, entry.wanted == .running,
            let pid = run.started?.pid, let ports = entry.portsToProbe
        else { return }
        entry.run?.isProbed = true
        actions.append(.probe(entry.id, container: run.container, pid: pid, ports: ports))
    }

    /// Reports what is different.
    private mutating func tell() {
        var reports: [TaskReport] = []
        for (id, entry) in entries.sorted(by: { $0.key < $1.key }) where entry.task != nil && reported[id] != entry.status {
            reported[id] = entry.status
            reports.append(TaskReport(task: id, status: entry.status))
        }
        let gone = reported.keys.filter { entries[$0]?.task == nil }.sorted()
        for id in gone { reported[id] = nil }
        if !reports.isEmpty || !gone.isEmpty { actions.append(.report(reports, gone: gone)) }
    }
}
