// The owner of this node's workloads: one task drains one queue of wishes, sightings and finished steps, and
// begins what the machine says. Steps run as tasks of their own and come back as inputs, so that a driver
// that hangs holds up its own workload only.
package import Logging
import Synchronization
import WeftAgentCore
package import WeftModel
package import WeftNode
import WeftThreads

package final class WorkloadKeeper: Sendable {
    /// Wishes that may wait; past it they are refused.
    static let queueLimit = 16_384
    private static let tickInterval = Duration.seconds(5)

    enum Event: Sendable {
        case input(WorkloadInput)
        case request(@Sendable (RequestID) -> WorkloadInput, CheckedContinuation<Endpoint?, any Error>)
        case use(Agent?, CheckedContinuation<[SandboxID: String], Never>)
        case read(@Sendable (WorkloadMachine) -> Void)
    }

    private let queue: AsyncStream<Event>.Continuation
    private let waiting = Mutex(0)
    private let agent = Mutex<Agent?>(nil)
    private let drivers: [Workload.Kind: any WorkloadDriver]
    private let records: WorkloadRecords
    private let logger: Logger
    private let now: @Sendable () -> Instant
    private let watches = Mutex<[WorkloadID: Task<Void, Never>]>([:])
    private let owner = Mutex<Task<Void, Never>?>(nil)

    /// `now` is a clock that nobody sets.
    package init(
        drivers: [Workload.Kind: any WorkloadDriver], store: any WorkloadStore,
        now: @escaping @Sendable () -> Instant,
        logger: Logger
    ) {
        self.drivers = drivers
        self.now = now
        self.logger = logger
        records = WorkloadRecords(store: store)
        let events: AsyncStream<Event>
        (events, queue) = AsyncStream.makeStream()
        owner.withLock { $0 = Task { await self.drain(events) } }
    }

    /// Finds what earlier runs left.
    package func start() async {
        do {
            let all = try await records.load()
            for (kind, driver) in drivers {
                let found = try await driver.found(all.filter { $0.kind == kind })
                queue.yield(.input(.found(found)))
                for one in found where one.process != .ended && one.namespace != nil { watch(one.workload) }
            }
        } catch {
            logger.error("the workloads of earlier runs cannot be taken up", metadata: ["error": "\(error)"])
        }
        try? await read { _ in }
    }

    /// Ends the owner; what runs goes on.
    package func shutDown() async {
        queue.finish()
        let task = owner.withLock { $0 }
        task?.cancel()
        await task?.value
    }

    // MARK: The swarm

    /// Who attaches endpoints from now on; it is told where the sandboxes are, which is returned, too.
    /// Nothing is attached before `follow`. Nil: this node is in no swarm.
    @discardableResult
    package func use(_ agent: Agent?) async -> [SandboxID: String] {
        await withCheckedContinuation { continuation in
            if case .enqueued = queue.yield(.use(agent, continuation)) { return }
            continuation.resume(returning: [:])
        }
    }

    /// The agent runs: takes up the endpoints that it has. Returns once containers that come back by
    /// themselves find theirs.
    package func follow() async throws {
        guard let agent = agent.withLock({ $0 }) else { return }
        let endpoints = try await agent.read { $0.ownEndpoints }
        queue.yield(.input(.membership(endpoints)))
        for workload in try await read({ $0.workloads }) where workload.kind == .prepared {
            try await settle(workload.id)
        }
    }

    /// Endpoints ended without their workloads' doing.
    package func lost(_ endpoints: [Endpoint]) { queue.yield(.input(.lost(endpoints.map(\.id)))) }

    // MARK: Wishes and sightings

    /// Throws what the driver or the agent threw, else `WorkloadFailure`, or `AgentUnavailable`.
    @discardableResult
    package func request(_ input: @escaping @Sendable (RequestID) -> WorkloadInput) async throws -> Endpoint? {
        let isAccepted = waiting.withLock { count in
            guard count < Self.queueLimit else { return false }
            count += 1
            return true
        }
        guard isAccepted else { throw AgentUnavailable.busy }
        defer { waiting.withLock { $0 -= 1 } }
        do {
            return try await withCheckedThrowingContinuation { continuation in
                let result = queue.yield(.request(input, continuation))
                if case .enqueued = result { return }
                continuation.resume(throwing: AgentUnavailable(result))
            }
        } catch WorkloadFailure.step(let failure) { throw failure.error }
    }

    /// Says what is seen; nobody waits for what comes of it.
    package func tell(_ input: WorkloadInput) { queue.yield(.input(input)) }

    /// Returns once nothing is left to do for a workload.
    package func settle(_ id: WorkloadID) async throws { try await request { .settle($0, id) } }

    /// Looks at the machine, after everything queued before.
    package func read<Value: Sendable>(_ body: @escaping @Sendable (WorkloadMachine) -> Value) async throws
        -> Value
    {
        try await withCheckedThrowingContinuation { continuation in
            let result = queue.yield(.read({ continuation.resume(returning: body($0)) }))
            if case .enqueued = result { return }
            continuation.resume(throwing: AgentUnavailable(result))
        }
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
            for await event in events {
                for (workload, number, step) in state.process(event, keeper: self, now: now()) {
                    group.addTask { await self.perform(workload, number, step) }
                }
            }
            group.cancelAll()
        }
        state.end()
    }

    /// The part of the owner that runs in its one task.
    private struct State {
        var machine = WorkloadMachine()
        var waiting: [RequestID: CheckedContinuation<Endpoint?, any Error>] = [:]
        var nextRequest: UInt64 = 1

        mutating func process(
            _ event: Event, keeper: WorkloadKeeper, now: Instant
        ) -> [(Workload, StepNumber, WorkloadStep)] {
            switch event {
            case .input(let input): return handle(input, keeper: keeper, now: now)
            case .request(let input, let continuation):
                let id = RequestID(nextRequest)
                nextRequest += 1
                waiting[id] = continuation
                return handle(input(id), keeper: keeper, now: now)
            case .use(let agent, let continuation):
                keeper.agent.withLock { $0 = agent }
                let namespaces = machine.namespaces
                if let agent {
                    for workload in machine.workloads { keeper.place(workload, namespaces, agent) }
                }
                let steps = agent == nil ? handle(.membership(nil), keeper: keeper, now: now) : []
                continuation.resume(returning: namespaces)
                return steps
            case .read(let body):
                body(machine)
                return []
            }
        }

        private mutating func handle(
            _ input: WorkloadInput, keeper: WorkloadKeeper, now: Instant
        ) -> [(Workload, StepNumber, WorkloadStep)] {
            var steps: [(Workload, StepNumber, WorkloadStep)] = []
            for action in machine.handle(input, now: now) {
                switch action {
                case .begin(let workload, let number, let step): steps.append((workload, number, step))
                case .kill(let workload): Task { await keeper.drivers[workload.kind]?.kill(workload) }
                case .reply(let id, let result):
                    waiting.removeValue(forKey: id)?.resume(with: result.mapError { $0 })
                case .complain(let workload, let failure):
                    keeper.logger.warning(
                        "a workload is not as it should be",
                        metadata: [
                            "workload": "\(workload.name.isEmpty ? workload.id.rawValue : workload.name)",
                            "reason": "\(failure)",
                        ])
                }
            }
            return steps
        }

        /// Nobody who waits is left hanging.
        mutating func end() {
            for (_, continuation) in waiting.sorted(by: { $0.key < $1.key }) {
                continuation.resume(throwing: AgentUnavailable.ended)
            }
            waiting = [:]
        }
    }

    private func place(_ workload: Workload, _ namespaces: [SandboxID: String], _ agent: Agent) {
        guard let sandbox = workload.sandbox, let path = namespaces[sandbox] else { return }
        guard workload.kind != .sandbox else { return agent.place(sandbox, namespacePath: path) }
        let chosen = workload.interfaces.map {
            (
                $0.endpoint.network,
                Placements.ChosenInterface(name: $0.interface, takesDefaultRoute: $0.takesDefaultRoute)
            )
        }
        agent.place(sandbox, namespacePath: path, interfaces: Dictionary(chosen) { first, _ in first })
    }

    // MARK: Steps

    private func perform(_ workload: Workload, _ number: StepNumber, _ step: WorkloadStep) async {
        let result: StepResult
        do { result = try await carryOut(workload, step) } catch {
            result = .failed(error as? WorkloadFailure ?? .step(StepFailure(number: number, error)))
        }
        queue.yield(.input(.done(workload.id, number, result)))
    }

    private func carryOut(_ workload: Workload, _ step: WorkloadStep) async throws -> StepResult {
        guard let driver = drivers[workload.kind] else { throw WorkloadFailure.unavailable(workload.id) }
        let agent = agent.withLock { $0 }
        switch step {
        case .save(let workload): try await records.save(workload)
        case .forget: try await records.remove(workload)
        case .prepare:
            let path = try await driver.prepare(workload)
            watch(workload)
            return .prepared(path)
        case .attach(let endpoint, let sandbox, let path, _):
            guard let agent else { throw WorkloadFailure.noSwarm }
            place(workload, [sandbox: path], agent)
            return .attached(
                try await agent.attach(
                    AttachRequest(endpoint, sandbox: sandbox, manual: endpoint.task == nil)))
        case .detach(let endpoint):
            do { try await agent?.detach(endpoint) } catch AttachError.endpointNotFound {}
        case .release(let sandbox): agent?.sandboxGone(sandbox)
        case .tell(let endpoints):
            let attached = AttachedEndpoints(
                endpoints: endpoints, internals: try await internals(among: endpoints, of: workload, agent))
            return .told(try await driver.attached(attached, to: workload))
        case .rename(let names, let sandbox):
            for (endpoint, spec) in names.sorted(by: { $0.key < $1.key }) {
                try await agent?.rename(endpoint, sandbox: sandbox, name: spec.name, aliases: spec.aliases)
            }
        case .start: try await driver.start(workload)
        case .shutDown(let grace): try await driver.shutDown(workload, grace: grace)
        case .remove:
            watches.withLock { $0.removeValue(forKey: workload.id) }?.cancel()
            try await driver.remove(workload)
            if let sandbox = workload.sandbox { agent?.sandboxGone(sandbox) }
        }
        return .done
    }

    /// Asked for only where something is to be reached from outside.
    private func internals(
        among endpoints: [Endpoint], of workload: Workload, _ agent: Agent?
    ) async throws -> Set<NetworkID> {
        guard workload.prepared?.ports.isEmpty == false, let agent else { return [] }
        let networks = Set(endpoints.map(\.network))
        return try await agent.read { machine in
            networks.filter { machine.network($0)?.spec.isInternal == true }
        }
    }

    /// Tells of the end of what a driver waits for.
    private func watch(_ workload: Workload) {
        guard let driver = drivers[workload.kind], workload.kind != .prepared else { return }
        let watch = Task {
            await driver.wait(workload)
            if !Task.isCancelled { self.queue.yield(.input(.observed(workload.id, .ended))) }
        }
        watches.withLock { $0.updateValue(watch, forKey: workload.id) }?.cancel()
    }
}

/// The store, spoken to on a thread of its own.
private actor WorkloadRecords {
    private let thread = BlockingExecutor()
    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }
    private let store: any WorkloadStore

    init(store: any WorkloadStore) { self.store = store }

    func load() throws -> [Workload] { try store.load() }
    func save(_ workload: Workload) throws { try store.save(workload) }
    func remove(_ workload: Workload) throws { try store.remove(workload) }
}
