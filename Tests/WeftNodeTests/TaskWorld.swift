import Testing
import WeftModel
import WeftNode

/// What drivers and manager do with a machine's steps, in memory. Steps wait until they are finished, one by one.
struct TaskWorld {
    struct Container: Hashable {
        let task: TaskID
        var phase: FoundTask.Phase
    }

    var machine = TaskMachine()
    var now = Instant(nanoseconds: 1_000_000_000)
    /// What the manager wants.
    var assigned = AssignedTasks()
    /// Under way.
    var steps: [(task: TaskID, number: StepNumber, step: TaskStep)] = []
    /// All that was begun, in order.
    var begun: [TaskStep] = []
    var containers: [String: Container] = [:]
    /// What the swarm was told of endpoints.
    var rotations: [TaskID: ServingTask.Rotation] = [:]
    var probes: [(task: TaskID, container: String, pid: Int, ports: [UInt16])] = []
    /// Nothing listens, unless the test says that it does.
    var isSilent = false
    var cancelled: [StepNumber] = []
    /// What the manager was told last, and all states on the way.
    var reported: [TaskID: TaskStatus] = [:]
    var states: [TaskID: [TaskState]] = [:]
    /// What new runs say of their health.
    var health: TaskHealth?
    /// Broken rules.
    var wrongs: [String] = []
    private var lastContainer = 0

    mutating func feed(_ input: TaskInput) {
        for action in machine.handle(input, now: now) { take(action) }
    }

    private mutating func take(_ action: TaskAction) {
        switch action {
        case .begin(let task, _, let number, let step):
            if steps.contains(where: { $0.task == task }) { wrongs.append("two steps at once for \(task)") }
            check(task, step)
            steps.append((task, number, step))
            begun.append(step)
        case .cancel(_, let number): cancelled.append(number)
        case .probe(let task, let container, let pid, let ports): probes.append((task, container, pid, ports))
        case .rotate(let task, let rotation): rotations[task] = rotation
        case .report(let reports, let gone):
            for report in reports { note(report) }
            for task in gone { reported[task] = nil }
        }
    }

    private mutating func note(_ report: TaskReport) {
        if let former = reported[report.task], report.status.state < former.state {
            wrongs.append("\(report.task) goes from \(former.state) to \(report.status.state)")
        }
        reported[report.task] = report.status
        if states[report.task]?.last != report.status.state { states[report.task, default: []].append(report.status.state) }
    }

    private mutating func check(_ task: TaskID, _ step: TaskStep) {
        let own = containers.filter { $0.value.task == task }
        switch step {
        case .prepare: if !own.isEmpty { wrongs.append("a second container of \(task)") }
        case .shutDown:
            if rotations[task] == .serving { wrongs.append("\(task) is stopped while it is a backend") }
        case .start(let container):
            if own[container]?.phase != .created { wrongs.append("\(task) is started as \(String(describing: own[container]))") }
            if let wanted = machine.task(task)?.desiredState, wanted < .running || wanted >= .shutdown {
                wrongs.append("\(task) is started, though it is to be \(wanted)")
            }
        case .withdraw, .remove: break
        }
    }

    /// Finishes one of the steps under way.
    mutating func finish(_ index: Int = 0, failing: Bool = false) {
        let (task, number, step) = steps.remove(at: index)
        // The swarm is told in any case.
        if case .withdraw = step { rotations[task] = .draining }
        let result = failing ? .failed("out of order") : perform(task, step)
        feed(.done(task, number, result))
    }

    private mutating func perform(_ task: TaskID, _ step: TaskStep) -> TaskStepResult {
        switch step {
        case .prepare:
            lastContainer += 1
            containers["c\(lastContainer)"] = Container(task: task, phase: .created)
            return .prepared(container: "c\(lastContainer)")
        case .start(let container):
            let started = StartedTask(pid: 100, health: health)
            containers[container]?.phase = .running(started)
            return .started(started)
        case .shutDown(let container, _, _):
            let end: TaskEnd
            if case .ended(let known)? = containers[container]?.phase { end = known } else { end = TaskEnd(exitCode: 143) }
            containers[container]?.phase = .ended(end)
            rotations[task] = nil
            return .ended(end)
        case .remove(let container):
            containers[container] = nil
            return .done
        case .withdraw: return .done
        }
    }

    /// Finishes all steps, those that come of others too.
    mutating func settle(failing: (TaskStep) -> Bool = { _ in false }) {
        var left = 10_000
        repeat {
            while let first = steps.first {
                finish(failing: failing(first.step))
                left -= 1
                if left == 0 { return wrongs.append("the steps do not end: \(begun.suffix(6))") }
            }
            listen()
        } while !steps.isEmpty
    }

    /// What is looked for on whichever port is there at once, unless it is silent.
    private mutating func listen() {
        guard !isSilent else { return }
        for probe in probes where probe.ports.isEmpty { feed(.listens(probe.task, container: probe.container, pid: probe.pid)) }
    }

    /// Somebody restarts the container: its endpoints are others, of which the swarm knows that they are no backends.
    mutating func restartContainer(_ task: TaskID) {
        guard let (container, found) = containers.first(where: { $0.value.task == task && $0.value.isRunning }),
            case .running(var started) = found.phase
        else { return }
        started.pid = (started.pid ?? 0) + 1
        containers[container]?.phase = .running(started)
        rotations[task] = nil
        feed(.restarted(task, container: container, started))
    }

    /// Somebody starts a container that has ended.
    mutating func startContainer(_ container: String, pid: Int) {
        guard let task = containers[container]?.task else { return }
        let started = StartedTask(pid: pid)
        containers[container]?.phase = .running(started)
        feed(.restarted(task, container: container, started))
    }

    /// A process ends by itself.
    mutating func end(_ task: TaskID, code: Int) {
        guard let (container, _) = containers.first(where: { $0.value.task == task && $0.value.isRunning }) else { return }
        containers[container]?.phase = .ended(TaskEnd(exitCode: code))
        rotations[task] = nil
        feed(.ended(task, container: container, TaskEnd(exitCode: code)))
    }

    mutating func pass(_ time: Duration) {
        now = now + time
        feed(.tick)
        settle()
    }

    // MARK: The manager

    mutating func assign(_ tasks: ServiceTask..., hasManager: Bool = true) {
        assigned.tasks = tasks
        assigned.hasManager = hasManager
        feed(.assigned(assigned))
    }

    mutating func want(_ state: TaskState, of task: TaskID) {
        for index in assigned.tasks.indices where assigned.tasks[index].id == task { assigned.tasks[index].desiredState = state }
        feed(.assigned(assigned))
    }

    mutating func setManager(_ isThere: Bool) {
        assigned.hasManager = isThere
        feed(.assigned(assigned))
    }

    /// All drivers say what they have.
    mutating func find(_ runtimes: [TaskSpec.Runtime] = [.container, .sandbox]) {
        let assigned = Dictionary(assigned.tasks.map { ($0.id, $0.spec.runtime) }) { first, _ in first }
        for runtime in runtimes {
            let own = containers.filter { (assigned[$0.value.task] ?? .container) == runtime }
            let found = own.map { FoundTask(task: $0.value.task, container: $0.key, phase: $0.value.phase) }
            feed(.found(runtime, found))
        }
    }

    /// The next weftd, which knows what node and drivers do.
    mutating func restart() {
        machine = TaskMachine()
        steps = []
        for (id, status) in reported {
            for index in assigned.tasks.indices where assigned.tasks[index].id == id { assigned.tasks[index].status = status }
        }
    }

    func status(_ task: String = "t1") -> TaskStatus? { reported[TaskID(task)] }
}

extension TaskWorld.Container {
    var isRunning: Bool { if case .running = phase { true } else { false } }
}
