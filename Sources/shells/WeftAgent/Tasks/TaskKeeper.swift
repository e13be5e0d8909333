// The owner of this node's tasks: one task drains one queue of what is assigned, seen and finished, and begins what the machine
// says. Steps run as tasks of their own and come back as inputs, so that a driver that hangs holds up its own task only.
package import Logging
import Synchronization
package import WeftModel
package import WeftNode

package final class TaskKeeper: Sendable {
    private static let tickInterval = Duration.seconds(1)
    /// Until a runtime that could not say what it has is asked again, at most.
    private static let longestRetry = Duration.seconds(2)
    /// Between the last node's word that a backend gets no new connections, and its stop signal.
    private static let lastRequests = Duration.milliseconds(250)

    private enum Event: Sendable {
        case input(TaskInput)
        /// What is in `latest` is another one.
        case assigned
        case read(@Sendable (TaskMachine) -> Void)
    }

    /// The member whose tasks run here, and what it is to run.
    private struct Membership: Sendable {
        var agent: Agent?
        /// Endpoints are attached from now on.
        var isFollowing = false
        var latest: AssignedTasks?
    }

    private let queue: AsyncStream<Event>.Continuation
    private let membership = Mutex(Membership())
    let drivers: [TaskSpec.Runtime: any TaskDriver]
    private let logger: Logger
    let now: @Sendable () -> Instant
    private let watches = Mutex<[TaskID: (container: String, task: Task<Void, Never>)]>([:])
    private let owner = Mutex<Task<Void, Never>?>(nil)

    /// `now` is a clock that nobody sets.
    package init(drivers: [TaskSpec.Runtime: any TaskDriver], now: @escaping @Sendable () -> Instant, logger: Logger) {
        self.drivers = drivers
        self.now = now
        self.logger = logger
        let events: AsyncStream<Event>
        (events, queue) = AsyncStream.makeStream()
        owner.withLock { $0 = Task { await self.drain(events) } }
    }

    /// Ends the owner; what runs goes on.
    package func shutDown() async {
        queue.finish()
        let task = owner.withLock { $0 }
        task?.cancel()
        await task?.value
        for watch in watches.withLock({ $0.values.map(\.task) }) { watch.cancel() }
    }

    // MARK: The swarm

    /// Whose tasks they are from now on; nothing is begun before `follow`. Nil: this node takes no part in a swarm for now; what
    /// runs goes on.
    package func use(_ agent: Agent?) { membership.withLock { $0 = Membership(agent: agent) } }

    /// The swarm was left for good: nothing of it is to run.
    package func leave() { queue.yield(.input(.left)) }

    /// What the node is to run by its agent's word.
    package func assigned(_ tasks: AssignedTasks) {
        membership.withLock { $0.latest = tasks }
        queue.yield(.assigned)
    }

    /// The agent runs, and sandboxes and containers have their endpoints.
    package func follow() {
        membership.withLock { $0.isFollowing = true }
        queue.yield(.assigned)
    }

    /// Looks at the machine, after everything queued before.
    package func read<Value: Sendable>(_ body: @escaping @Sendable (TaskMachine) -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            let result = queue.yield(.read({ continuation.resume(returning: body($0)) }))
            if case .enqueued = result { return }
            continuation.resume(throwing: AgentUnavailable(result))
        }
    }

    /// The engine started a container, whoever told it to. One whose task is over must not run on beside the task in its place.
    package func engineStarted(_ container: String, labels: [String: String]) {
        guard let task = EngineTaskDriver.task(labels: labels), let driver = drivers[.container] else { return }
        queue.yield(
            .read({ machine in
                guard machine.hasEnded(task, in: container) else { return }
                Task { await self.takeUp(task, container, driver) }
            }))
    }

    private func takeUp(_ task: TaskID, _ container: String, _ driver: any TaskDriver) async {
        guard let started = try? await driver.running(container) else { return }
        queue.yield(.input(.restarted(task, container: container, started)))
        watch(task, container, driver)
    }

    // MARK: The owner

    private func drain(_ events: AsyncStream<Event>) async {
        var state = State()
        await withDiscardingTaskGroup { group in
            group.addTask {
                while !Task.isCancelled {
                    try? await Task.sleep(for: Self.tickInterval)
                    self.queue.yield(.input(.tick))
                }
            }
            for (runtime, driver) in drivers { group.addTask { await self.find(runtime, driver) } }
            for await event in events {
                let actions = state.process(event, latest: { self.latest }, now: now())
                for action in actions { perform(action, &state) }
            }
            group.cancelAll()
        }
        for step in state.steps.values { step.cancel() }
    }

    /// The part of the owner that runs in its one task.
    private struct State {
        var machine = TaskMachine()
        /// Steps under way.
        var steps: [StepNumber: Task<Void, Never>] = [:]

        mutating func process(_ event: Event, latest: () -> AssignedTasks?, now: Instant) -> [TaskAction] {
            switch event {
            case .input(let input):
                if case .done(_, let number, _) = input { steps[number] = nil }
                return machine.handle(input, now: now)
            case .assigned: return latest().map { machine.handle(.assigned($0), now: now) } ?? []
            case .read(let body):
                body(machine)
                return []
            }
        }
    }

    private var latest: AssignedTasks? { membership.withLock { $0.isFollowing ? $0.latest : nil } }
    private var agent: Agent? { membership.withLock { $0.agent } }

    /// Until the runtime has said what it has: nothing is begun with it before.
    private func find(_ runtime: TaskSpec.Runtime, _ driver: any TaskDriver) async {
        var wait = Duration.milliseconds(100)
        while !Task.isCancelled {
            do {
                let found = try await driver.found()
                for one in found { if case .running = one.phase { watch(one.task, one.container, driver) } }
                queue.yield(.input(.found(runtime, found)))
                return
            } catch {
                queue.yield(.input(.unavailable(runtime, "\(error)")))
            }
            try? await Task.sleep(for: wait)
            wait = min(wait * 2, Self.longestRetry)
        }
    }

    private func perform(_ action: TaskAction, _ state: inout State) {
        switch action {
        case .begin(let task, let runtime, let number, let step):
            state.steps[number] = Task {
                let result = await self.carryOut(task, runtime, step)
                self.queue.yield(.input(.done(task, number, result)))
            }
        case .cancel(_, let number): state.steps[number]?.cancel()
        case .probe(let task, let container, let pid, let ports):
            Task {
                guard await ListenerProbe.wait(forPorts: ports, ofProcess: pid) else { return }
                self.queue.yield(.input(.listens(task, container: container, pid: pid)))
            }
        case .rotate(let task, let rotation): agent?.rotate([task: rotation])
        case .report(let reports, let gone):
            for report in reports { note(report) }
            agent?.tasksObserved(reports, gone: gone)
        }
    }

    private func note(_ report: TaskReport) {
        var metadata: Logger.Metadata = ["task": "\(report.task)", "state": "\(report.status.state.name)"]
        if let container = report.status.container { metadata["container"] = "\(container.prefix(12))" }
        if let problem = report.status.problem { metadata["problem"] = "\(problem)" }
        logger.info("task", metadata: metadata)
    }

    // MARK: Steps

    private func carryOut(_ task: TaskID, _ runtime: TaskSpec.Runtime, _ step: TaskStep) async -> TaskStepResult {
        guard let driver = drivers[runtime] else { return .failed("this node has no runtime \"\(runtime.rawValue)\"") }
        do {
            switch step {
            case .prepare(let assigned, let files):
                return .prepared(container: try await driver.prepare(try await order(assigned, files)))
            case .start(let container):
                let started = try await driver.start(container)
                watch(task, container, driver)
                return .started(started)
            case .withdraw:
                let agent = agent
                agent?.rotate([task: .draining])
                await agent?.awaitOthers()
                // What was on its way when the last node followed is still answered: most programs end at the signal at once.
                try await Task.sleep(for: Self.lastRequests)
            case .shutDown(let container, let signal, let grace):
                return .ended(try await driver.shutDown(container, signal: signal, grace: .nanoseconds(grace)))
            case .remove(let container):
                unwatch(task, container)
                try await driver.remove(container)
            }
            return .done
        } catch {
            return .failed("\(error)")
        }
    }

    private func order(_ task: ServiceTask, _ files: [TaskFile]) async throws -> TaskOrder {
        guard let agent else { throw NotInSwarm() }
        return try await agent.read { machine in Result { try TaskOrder(task, files, by: machine) } }.get()
    }

    /// Tells of the end of a container, and of its health.
    private func watch(_ task: TaskID, _ container: String, _ driver: any TaskDriver) {
        let watch = Task {
            let end = await driver.wait(container) { news in
                switch news {
                case .health(let health): self.queue.yield(.input(.health(task, container: container, health)))
                case .restarted(let started): self.queue.yield(.input(.restarted(task, container: container, started)))
                }
            }
            if let end, !Task.isCancelled { self.queue.yield(.input(.ended(task, container: container, end))) }
        }
        watches.withLock { $0.updateValue((container, watch), forKey: task) }?.task.cancel()
    }

    private func unwatch(_ task: TaskID, _ container: String) {
        let watch = watches.withLock { $0[task]?.container == container ? $0.removeValue(forKey: task) : nil }
        watch?.task.cancel()
    }
}
