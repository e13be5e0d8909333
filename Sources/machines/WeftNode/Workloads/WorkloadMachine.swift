package import WeftModel

/// The life of everything on this node that is attached to networks, whoever makes it.
///
/// For each workload the machine holds what is wanted and what there is, and does one step at a time from the
/// one to the other; the steps of different workloads go on beside each other, so that one which hangs delays
/// nobody else. It holds that
///
/// * every request gets one reply, and no step begins for a workload while another is under way;
/// * an endpoint is attached only for a workload that is on record, and a record goes only after the
///   endpoints;
/// * what fails leaves nothing of itself, and is tried again only for a reason: a new wish, or a tick for
///   what must end.
package struct WorkloadMachine: Sendable {
    /// How long a container that its engine may start again keeps its endpoints, without their names.
    package static let patience = Duration.seconds(30)
    /// Wishes that may wait for one workload.
    static let waitingLimit = 256

    var entries: [WorkloadID: WorkloadEntry] = [:]
    private var isMember = false
    private var nextStep: StepNumber = 1
    private var actions: [WorkloadAction] = []

    package init() {}

    package mutating func handle(_ input: WorkloadInput, now: Instant) -> [WorkloadAction] {
        actions = []
        switch input {
        case .found(let found): for one in found { note(one) }
        case .membership(let endpoints): setMembership(endpoints)
        case .prepare(let id, let workload): prepare(id, workload, now: now)
        case .attach(let id, let workload, let interface): attach(id, workload, interface, now: now)
        case .detach(let id, let workload, let interface): detach(id, workload, interface)
        case .raise(let id, let workload):
            change(workload, id, .raised) { $0.raise() }
        case .settle(let id, let workload):
            guard entries[workload] != nil else { return [.reply(id, .success(nil))] }
            update(workload) { $0.waiting.append(.init(id: id, wish: .settled)) }
        case .lower(let workload): update(workload) { $0.holds = max(0, $0.holds - 1) }
        case .start(let id, let workload): start(id, workload)
        case .shutDown(let id, let workload, let grace): shutDown(id, workload, grace)
        case .remove(let id, let workload, let force): remove(id, workload, force: force)
        case .identify(let id, let workload, let sandbox, let name):
            change(workload, id, .recorded) { $0.identify(sandbox, name) }
        case .describe(let id, let workload, let prepared):
            change(workload, id, .recorded) { $0.workload.prepared = prepared }
        case .observed(let workload, let observation): observe(workload, observation, now: now)
        case .containersFound(let containers, let asOf): keep(containers, asOf: asOf)
        case .lost(let endpoints): lose(Set(endpoints))
        case .done(let workload, let number, let result): finish(workload, number, result)
        case .tick: for id in entries.keys.sorted() { update(id) { $0.tick(now: now) } }
        }
        return actions
    }

    /// Sorted by id.
    package var workloads: [Workload] { entries.values.map(\.workload).sorted { $0.id < $1.id } }
    package func workload(_ id: WorkloadID) -> Workload? { entries[id]?.workload }
    /// The endpoints of a workload, by interface.
    package func endpoints(of id: WorkloadID) -> [String: Endpoint] { entries[id]?.attached ?? [:] }
    /// Where its namespace is, nil while there is none.
    package func namespace(of id: WorkloadID) -> String? { entries[id]?.namespace }
    /// Of sandboxes that live, the paths of their network namespaces.
    package var namespaces: [SandboxID: String] {
        var result: [SandboxID: String] = [:]
        for entry in entries.values where entry.process != .ended && !entry.isDead {
            if let sandbox = entry.workload.sandbox, let path = entry.namespace { result[sandbox] = path }
        }
        return result
    }
    /// Nothing is under way and nobody waits.
    package var isIdle: Bool { entries.values.allSatisfy { $0.step == nil && $0.waiting.isEmpty } }

    // MARK: Wishes

    private mutating func note(_ found: FoundWorkload) {
        guard entries[found.workload.id] == nil else { return }
        var entry = WorkloadEntry(
            found.workload, saved: found.isRecorded ? found.workload : nil, namespace: found.namespace,
            process: found.process)
        // Until its owner has said how it is.
        entry.isOver = false
        entry.isLeaving = found.process == .ended && found.workload.removesItself
        entries[found.workload.id] = entry
        advance(found.workload.id)
    }

    private mutating func setMembership(_ endpoints: [Endpoint]?) {
        isMember = endpoints != nil
        let bySandbox = endpoints.map { Dictionary(grouping: $0, by: \.sandbox) }
        for id in entries.keys.sorted() {
            update(id) { entry in
                if let bySandbox {
                    entry.adopt(entry.workload.sandbox.flatMap { bySandbox[$0] } ?? [])
                } else {
                    entry.loseSwarm()
                }
            }
        }
    }

    private mutating func prepare(_ id: RequestID, _ workload: Workload, now: Instant) {
        guard entries[workload.id] == nil else { return reply(id, .failure(.alreadyThere(workload.id))) }
        guard isMember || workload.interfaces.isEmpty else { return reply(id, .failure(.noSwarm)) }
        var entry = WorkloadEntry(workload, since: now)
        if workload.kind != .prepared { entry.due = Set(workload.interfaces.map(\.interface)) }
        entry.waiting = [.init(id: id, wish: .complete)]
        entries[workload.id] = entry
        advance(workload.id)
    }

    private mutating func attach(
        _ id: RequestID, _ workload: Workload, _ interface: InterfaceSpec, now: Instant
    ) {
        guard isMember else { return reply(id, .failure(.noSwarm)) }
        let name = interface.interface
        guard let present = entries[workload.id] else {
            guard workload.kind == .foreign else { return reply(id, .failure(.notFound(workload.id))) }
            var entry = WorkloadEntry(workload, since: now)
            entry.workload.interfaces = [interface]
            entry.due = [name]
            entry.waiting = [.init(id: id, wish: .attached(interface: name))]
            entries[workload.id] = entry
            return advance(workload.id)
        }
        if let sandbox = workload.sandbox, workload.kind == .foreign {
            guard present.workload.foreign == workload.foreign else {
                return reply(id, .failure(.otherNamespace(sandbox)))
            }
            guard
                present.interface(name) == nil
                    || (present.attached[name] == nil && !present.due.contains(name))
            else {
                return reply(id, .failure(.exists(sandbox, interface: name)))
            }
        }
        guard present.process != .ended else { return reply(id, .failure(.ended(workload.id))) }
        let isUp = present.wantsEndpoints
        change(workload.id, id, isUp ? .attached(interface: name) : .recorded) { entry in
            entry.set(interface)
            if isUp { entry.due.insert(name) }
        }
    }

    private mutating func detach(_ id: RequestID, _ workload: WorkloadID, _ interface: String) {
        guard let present = entries[workload],
            present.interface(interface) != nil || present.attached[interface] != nil
        else {
            return reply(id, .success(nil))
        }
        fail(workload, .removed(workload)) { $0 == .attached(interface: interface) }
        change(workload, id, .detached(interface: interface)) { entry in
            entry.workload.interfaces.removeAll { $0.interface == interface }
            entry.due.remove(interface)
            entry.leaveIfEmpty()
        }
    }

    private mutating func start(_ id: RequestID, _ workload: WorkloadID) {
        guard let present = entries[workload] else { return reply(id, .failure(.notFound(workload))) }
        switch present.process {
        case .running: reply(id, .success(nil))
        case .ended: reply(id, .failure(.ended(workload)))
        case .none, .created: change(workload, id, .started) { $0.isStarting = true }
        }
    }

    private mutating func shutDown(_ id: RequestID, _ workload: WorkloadID, _ grace: Duration) {
        guard let present = entries[workload] else { return reply(id, .failure(.notFound(workload))) }
        guard present.isAlive else { return reply(id, .success(nil)) }
        switch present.step?.step {
        case .start: actions.append(.kill(present.workload))
        case .shutDown(let other) where grace < other: actions.append(.kill(present.workload))
        default: break
        }
        change(workload, id, .ended) { $0.grace = $0.grace.map { min($0, grace) } ?? grace }
    }

    private mutating func remove(_ id: RequestID, _ workload: WorkloadID, force: Bool) {
        guard let present = entries[workload] else { return reply(id, .failure(.notFound(workload))) }
        guard force || present.process != .running else { return reply(id, .failure(.isRunning(workload))) }
        if present.isAlive {
            switch present.step?.step {
            case .start, .shutDown: actions.append(.kill(present.workload))
            default: break
            }
        }
        fail(workload, .removed(workload)) { wish in
            switch wish {
            case .gone, .ended, .detached, .settled: false
            default: true
            }
        }
        change(workload, id, .gone) { $0.isLeaving = true }
    }

    // MARK: What is seen

    private mutating func observe(_ id: WorkloadID, _ observation: Observation, now: Instant) {
        guard entries[id] != nil else { return }
        if observation == .gone { fail(id, .removed(id)) { $0 != .gone && $0 != .settled } }
        update(id) { $0.see(observation, now: now) }
    }

    /// What the engine has; one without an id was about to be created when weftd ended, and would be among
    /// them by now.
    private mutating func keep(_ containers: Set<SandboxID>, asOf: Instant) {
        for (id, entry) in entries.sorted(by: { $0.key < $1.key })
        where entry.workload.kind == .prepared && entry.since < asOf && entry.holds == 0 {
            if let container = entry.workload.sandbox, containers.contains(container) { continue }
            observe(id, .gone, now: asOf)
        }
    }

    private mutating func lose(_ endpoints: Set<EndpointID>) {
        for id in entries.keys.sorted() {
            update(id) { entry in
                let left = entry.attached.filter { !endpoints.contains($0.value.id) }
                guard left.count < entry.attached.count else { return }
                entry.attached = left
                entry.isTold = false
            }
        }
    }

    private mutating func finish(_ id: WorkloadID, _ number: StepNumber, _ result: StepResult) {
        guard var entry = entries[id], let step = entry.step, step.number == number else { return }
        entry.step = nil
        let isMember = isMember
        let failure = entry.finish(step.step, result, isMember: isMember)
        entries[id] = entry
        if let (error, isConcerned) = failure {
            let isAwaited = entry.waiting.contains { isConcerned($0.wish) }
            fail(id, error, isConcerned)
            if !isAwaited, entry.failure == nil { actions.append(.complain(entry.workload, error)) }
        }
        advance(id)
    }

    // MARK: Parts

    private mutating func reply(_ id: RequestID, _ result: Result<Endpoint?, WorkloadFailure>) {
        actions.append(.reply(id, result))
    }

    private mutating func update(_ id: WorkloadID, _ body: (inout WorkloadEntry) -> Void) {
        guard var entry = entries[id] else { return }
        body(&entry)
        entries[id] = entry
        advance(id)
    }

    /// Changes what is wanted, and lets a request wait for it.
    private mutating func change(
        _ id: WorkloadID, _ request: RequestID, _ wish: WorkloadEntry.Wish,
        _ body: (inout WorkloadEntry) -> Void
    ) {
        guard let present = entries[id] else { return reply(request, .failure(.notFound(id))) }
        guard present.waiting.count < Self.waitingLimit else { return reply(request, .failure(.busy(id))) }
        guard !present.isLeaving || wish == .gone else { return reply(request, .failure(.removed(id))) }
        update(id) { entry in
            body(&entry)
            entry.isStuck = false
            entry.waiting.append(.init(id: request, wish: wish))
        }
    }

    private mutating func fail(
        _ id: WorkloadID, _ error: WorkloadFailure, _ isConcerned: (WorkloadEntry.Wish) -> Bool
    ) {
        guard let waiting = entries[id]?.waiting else { return }
        entries[id]?.waiting = waiting.filter { !isConcerned($0.wish) }
        for waiter in waiting where isConcerned(waiter.wish) { reply(waiter.id, .failure(error)) }
    }

    /// Tells those whose wish came true, and begins what is next.
    private mutating func advance(_ id: WorkloadID) {
        guard var entry = entries[id] else { return }
        let (fulfilled, waiting) = (
            entry.waiting.filter { entry.isFulfilled($0.wish) },
            entry.waiting.filter { !entry.isFulfilled($0.wish) }
        )
        entry.waiting = waiting
        for waiter in fulfilled {
            if case .attached(let interface) = waiter.wish {
                reply(waiter.id, .success(entry.attached[interface]))
            } else {
                reply(waiter.id, .success(nil))
            }
        }
        if let step = entry.next {
            entry.begin(nextStep, step)
            actions.append(.begin(entry.workload, nextStep, step))
            nextStep += 1
            entries[id] = entry
        } else if entry.step != nil {
            entries[id] = entry
        } else {
            rest(id, entry)
        }
    }

    /// Nothing more can be done for now: who waits still waits in vain.
    private mutating func rest(_ id: WorkloadID, _ entry: WorkloadEntry) {
        var entry = entry
        let waiting = entry.waiting
        entry.waiting = []
        let isGone = entry.isLeaving && !entry.isStuck
        for waiter in waiting {
            switch waiter.wish {
            case .settled: reply(waiter.id, .success(nil))
            case .gone, .detached, .ended:
                reply(waiter.id, isGone ? .success(nil) : .failure(.unavailable(id)))
            default: reply(waiter.id, .failure(entry.failure ?? .unavailable(id)))
            }
        }
        if !isGone { entry.giveUp(waiting.map(\.wish)) }
        entries[id] = isGone ? nil : entry
        if !isGone, entry.next != nil { advance(id) }
    }
}
