import WeftModel

/// One task on this node: what is wanted of it, what there is, and the step under way.
struct TaskEntry: Sendable {
    /// A container or sandbox of the task.
    struct Run: Hashable, Sendable {
        let container: String
        var phase = Phase.created
        var started: StartedTask?
        /// It may be somebody's backend.
        var isReady = false
        var isProbed = false

        enum Phase: Hashable, Sendable {
            case created, running
            case ended(TaskEnd)
        }

        var end: TaskEnd? {
            if case .ended(let end) = phase { end } else { nil }
        }
    }

    private struct Stop: Hashable {
        let signal: String
        let grace: Int64
        init(_ spec: ContainerSpec) {
            signal = spec.stopSignal
            grace = spec.stopGracePeriod ?? ContainerSpec.defaultStopGracePeriod
        }
    }

    enum Wanted: Hashable, Sendable {
        /// Nothing is to be left of it.
        case gone
        /// It is to run no more; its container stays, with its log.
        case ended
        case prepared
        case running
    }

    let id: TaskID
    let runtime: TaskSpec.Runtime
    /// Nil: it is none of this node's any more.
    var task: ServiceTask? { didSet { if let task { stop = Stop(task.spec.container) } } }
    /// How its process is ended, which is asked when nobody says it any more.
    private var stop = Stop(ContainerSpec())
    var status: TaskStatus
    var run: Run?
    /// Further containers of the task, of which nobody knows why they are there.
    var leftovers: [String] = []
    var rotation = ServingTask.Rotation.waiting
    /// Endpoints of a former weftd's run may be in another rotation.
    var isRotationOpen = false
    var isWithdrawn = false
    /// The end of `run` was taken note of.
    var isAccounted = false
    var step: (number: StepNumber, step: TaskStep)?
    var isCancelled = false
    /// What must end could not be ended; the next tick tries again.
    var isStuck = false
    /// What ended by itself while no manager was there, and when the next run in place begins.
    var restart: (end: TaskEnd, at: Instant)?
    /// When runs in place began.
    var restarts: [Instant] = []

    init(_ task: ServiceTask) {
        id = task.id
        runtime = task.spec.runtime
        self.task = task
        status = task.status
        stop = Stop(task.spec.container)
    }

    /// One that nobody assigned.
    init(_ found: FoundTask, runtime: TaskSpec.Runtime, now: Instant) {
        id = found.task
        self.runtime = runtime
        status = TaskStatus(state: .accepted, at: now, message: "")
    }

    var wanted: Wanted {
        guard let task else { return .gone }
        if task.desiredState >= .shutdown || status.state.isOver { return .ended }
        return task.desiredState >= .running ? .running : .prepared
    }

    var isEmpty: Bool { wanted == .gone && run == nil && leftovers.isEmpty && step == nil }

    var isUnhealthy: Bool { run?.started?.health == .unhealthy }

    // MARK: What comes next

    func next(_ files: TaskFiles, now: Instant) -> TaskStep? {
        guard step == nil, !isStuck else { return nil }
        if let leftover = leftovers.first { return .remove(container: leftover) }
        switch wanted {
        case .gone: return ending ?? run.map { .remove(container: $0.container) }
        case .ended: return ending
        case .prepared, .running: return onward(files, now: now)
        }
    }

    /// Towards the end of a run.
    private var ending: TaskStep? {
        guard let run, run.end == nil else { return nil }
        if rotation != .waiting, !isWithdrawn { return .withdraw }
        return .shutDown(container: run.container, signal: stop.signal, grace: stop.grace)
    }

    private func onward(_ files: TaskFiles, now: Instant) -> TaskStep? {
        guard let run else {
            guard let task, let files = files.of(task), restart.map({ $0.at <= now }) ?? true else { return nil }
            return .prepare(task, files)
        }
        switch run.phase {
        case .created: return wanted == .running ? .start(container: run.container) : nil
        case .running: return isUnhealthy ? ending : nil
        case .ended:
            guard let restart, restart.at <= now else { return nil }
            return .remove(container: run.container)
        }
    }

    mutating func begin(_ number: StepNumber, _ next: TaskStep, now: Instant) {
        step = (number, next)
        isCancelled = false
        switch next {
        case .prepare:
            restart = nil
            raise(.preparing, "preparing", now: now)
        case .start: raise(.starting, "starting", now: now)
        case .withdraw: rotation = .draining
        case .shutDown, .remove: break
        }
    }

    /// A step whose outcome nobody wants.
    var isInVain: Bool {
        guard case .prepare? = step?.step, !isCancelled else { return false }
        return wanted == .gone || wanted == .ended
    }

    // MARK: What became of it

    mutating func finish(_ done: TaskStep, _ result: TaskStepResult, hasManager: Bool, now: Instant) {
        if case .failed(let problem) = result { return fail(done, problem, hasManager: hasManager, now: now) }
        switch (done, result) {
        case (.prepare, .prepared(let container)):
            renew(Run(container: container))
            status.container = container
            raise(.ready, "prepared", now: now)
        case (.start, .started(let started)): noteStarted(started)
        case (.withdraw, _): isWithdrawn = true
        case (.shutDown, .ended(let end)): noteEnd(end)
        case (.remove(let container), _):
            leftovers.removeAll { $0 == container }
            if run?.container == container { renew(nil) }
        default: break
        }
    }

    private mutating func renew(_ run: Run?) {
        self.run = run
        rotation = .waiting
        isWithdrawn = false
        isAccounted = false
    }

    private mutating func fail(_ done: TaskStep, _ problem: String, hasManager: Bool, now: Instant) {
        switch done {
        case .prepare: conclude(TaskEnd(exitCode: nil, problem: problem), hasManager: hasManager, now: now)
        case .start:
            guard run?.end == nil else { return }
            noteEnd(TaskEnd(exitCode: nil, problem: problem))
        case .withdraw: isWithdrawn = true
        case .shutDown, .remove: isStuck = true
        }
    }

    mutating func noteStarted(_ started: StartedTask) {
        // It may have ended before its start was told.
        if run?.end == nil { run?.phase = .running }
        run?.started = started
        status.pid = started.pid
        status.ports = started.ports
    }

    /// Its process is another, and not ready yet. Its endpoints may be others too, in no rotation.
    mutating func noteRestarted(_ started: StartedTask) {
        guard let run, run.started?.pid != started.pid else { return }
        guard run.phase == .running else { return noteRevived(started) }
        noteStarted(started)
        self.run?.isReady = false
        self.run?.isProbed = false
        isRotationOpen = true
    }

    /// It had ended, and what is said of it stays said: another may be in its place. It has to end again, as a backend does: what its
    /// endpoints are now nobody knows.
    private mutating func noteRevived(_ started: StartedTask) {
        guard run?.end != nil, wanted == .ended || wanted == .gone else { return }
        run?.phase = .running
        run?.started = started
        rotation = .serving
        isWithdrawn = false
    }

    mutating func noteEnd(_ end: TaskEnd) {
        guard run != nil, run?.end == nil else { return }
        run?.phase = .ended(end)
        run?.isReady = false
    }

    mutating func noteListening() {
        if run?.phase == .running { run?.isReady = true }
    }

    mutating func noteHealth(_ health: TaskHealth) {
        // What became unhealthy is stopped, whatever it says meanwhile.
        guard run?.started?.health != nil, run?.end == nil, !isUnhealthy else { return }
        run?.started?.health = health
    }

    /// Takes note of what follows from the run as it is.
    mutating func settle(hasManager: Bool, now: Instant) {
        if hasManager, let end = restart?.end {
            // It decides from here on.
            restart = nil
            report(end, now: now)
        }
        guard step == nil else { return }
        if let end = run?.end, !isAccounted {
            isAccounted = true
            rotation = .waiting
            account(end, hasManager: hasManager, now: now)
        }
        if wanted == .ended, !status.state.isOver, run == nil || run?.end != nil {
            raise(.shutdown, "shutdown", now: now)
        }
        noteReadiness(now: now)
    }

    private mutating func noteReadiness(now: Instant) {
        guard let run, run.phase == .running, let started = run.started, wanted == .running else { return }
        switch started.health {
        case .healthy: self.run?.isReady = true
        case nil where started.pid == nil || portsToProbe == nil: self.run?.isReady = true
        case nil, .unknown, .unhealthy: break
        }
        if self.run?.isReady == true { raise(.running, "started", now: now) }
    }

    /// On which something must listen before it is ready; none: on whichever. What nobody can connect to is waited for by nobody.
    var portsToProbe: [UInt16]? {
        guard let task, run?.started?.health == nil, task.jobIteration == nil else { return nil }
        let ports = Set(task.ports.filter { $0.transport == .tcp }.map(\.target)).sorted()
        return ports.isEmpty && task.spec.networks.isEmpty ? nil : ports
    }

    /// Nil: as it was.
    mutating func nextRotation() -> ServingTask.Rotation? {
        guard run?.isReady == true, step == nil, wanted == .running, !isUnhealthy,
            rotation == .waiting || isRotationOpen && rotation == .serving
        else { return nil }
        isRotationOpen = false
        // Whatever was before: it is to be taken out again before it stops.
        isWithdrawn = false
        rotation = .serving
        return .serving
    }

    // MARK: Ends

    private mutating func account(_ end: TaskEnd, hasManager: Bool, now: Instant) {
        guard let task, task.desiredState < .shutdown else {
            status.exitCode = end.exitCode
            return raise(.shutdown, "shutdown", now: now)
        }
        guard !status.state.isOver else { return }
        var end = end
        if isUnhealthy { end.problem = "dockerexec: unhealthy container" }
        conclude(end, hasManager: hasManager, now: now)
    }

    /// It ended without being told to.
    mutating func conclude(_ end: TaskEnd, hasManager: Bool, now: Instant) {
        guard let task, wanted == .running || wanted == .prepared else { return }
        guard !hasManager, wanted == .running, allowsRestart(task, end, now: now) else { return report(end, now: now) }
        if run != nil { run?.phase = .ended(end) }
        let policy = task.spec.restart ?? RestartPolicy()
        restart = (end, now + .nanoseconds(policy.delay))
        if policy.maxAttempts > 0 { restarts = counted(by: policy, now: now) + [now] }
    }

    private func allowsRestart(_ task: ServiceTask, _ end: TaskEnd, now: Instant) -> Bool {
        let policy = task.spec.restart ?? RestartPolicy()
        let hasFailed = end.exitCode != 0 || end.problem != nil
        switch policy.condition {
        case .none: return false
        case .onFailure: guard hasFailed else { return false }
        // A job is done when it ended well.
        case .any: guard hasFailed || task.jobIteration == nil else { return false }
        }
        guard policy.maxAttempts > 0 else { return true }
        return counted(by: policy, now: now).count < policy.maxAttempts
    }

    private func counted(by policy: RestartPolicy, now: Instant) -> [Instant] {
        restarts.filter { policy.window == 0 || now - $0 < .nanoseconds(policy.window) }
    }

    private mutating func report(_ end: TaskEnd, now: Instant) {
        status.exitCode = end.exitCode
        guard end.exitCode != 0 || end.problem != nil else { return raise(.complete, "finished", now: now) }
        let cause = end.problem.map { ": \($0)" } ?? ""
        let problem = end.exitCode.map { "task: non-zero exit (\($0))\(cause)" } ?? end.problem
        // What went on until then stays said.
        raise(status.state < .starting ? .rejected : .failed, status.message, problem: problem, now: now)
    }

    /// States only rise.
    mutating func raise(_ state: TaskState, _ message: String, problem: String? = nil, now: Instant) {
        guard status.state < state else { return }
        status.state = state
        status.message = message
        status.problem = problem
        status.at = now
    }
}

/// What tasks get as files, as far as it is known.
struct TaskFiles: Sendable {
    private var secrets: [String: SharedFileSpec] = [:]
    private var configs: [String: SharedFileSpec] = [:]

    init() {}

    init(_ assigned: AssignedTasks) {
        secrets = Dictionary(assigned.secrets.map { ($0.id, $0.spec) }) { $1 }
        configs = Dictionary(assigned.configs.map { ($0.id, $0.spec) }) { $1 }
    }

    /// Nil while one of them is missing, or what its image is to be got with.
    func of(_ task: ServiceTask) -> [TaskFile]? {
        guard !task.lacksCredentials else { return nil }
        let references = references(of: task)
        let files = references.compactMap { reference, isSecret, content in
            content.map { TaskFile(reference: reference, content: $0, isSecret: isSecret) }
        }
        return files.count == references.count ? files : nil
    }

    /// A sentence about what is missing; nil: nothing is.
    func problem(of task: ServiceTask) -> String? {
        guard !task.lacksCredentials else {
            return "the credentials for the registry of image \(task.spec.container.image) have not come to this node yet"
        }
        return references(of: task).first { $0.content == nil }
            .map { "\($0.isSecret ? "secret" : "config") \($0.reference.name) has not come to this node yet" }
    }

    private func references(
        of task: ServiceTask
    ) -> [(reference: ContainerSpec.FileReference, isSecret: Bool, content: SharedFileSpec?)] {
        let spec = task.spec.container
        return spec.secrets.map { ($0, true, secrets[$0.id]) } + spec.configs.map { ($0, false, configs[$0.id]) }
    }
}
