// What the agent does with its machine's actions, without a thread or a socket: in which order things are saved, told and
// applied, what is taken back when it cannot be saved, when the data path is looked at again. WeftAgent runs it in its one
// task, the simulator under a seed.
package import WeftModel
package import WeftNode

/// The owner of a node's machine.
package struct AgentCore<Store: AgentStore, Outlet: AgentOutlet, Generator: RandomNumberGenerator> {
    /// Seconds between full looks at the kernel, which find what others changed.
    package static var observeSeconds: Int { 30 }
    /// Seconds between saves of what the manager said, while it changes.
    package static var saveSeconds: Int { 2 }

    package internal(set) var machine: NodeMachine
    package internal(set) var placements: Placements
    package var outlet: Outlet
    let store: Store
    private var generator: Generator

    var viewIsDirty = false
    /// Saving failed, and is tried again with a tick.
    var isUnableToSave = false
    /// Why the last save failed.
    var saveFailure: String?
    private var ticks = 0
    private var retry = Retry()

    package init(machine: NodeMachine, placements: Placements, store: Store, outlet: Outlet, generator: Generator) {
        self.machine = machine
        self.placements = placements
        self.store = store
        self.outlet = outlet
        self.generator = generator
    }

    /// Names answer at once from what was saved; the kernel waits for `sandboxesFound`.
    package mutating func start() {
        for (_, endpoints) in Dictionary(grouping: machine.ownEndpoints, by: \.sandbox) { placements.assign(endpoints) }
        outlet.reconcile(takeChange(), generation: nil, observe: false)
        if let tasks = machine.assignedTasks { outlet.assigned(tasks) }
        if let news = machine.keyNews { outlet.keysChanged(news) }
    }

    /// `now` is of a clock that nobody sets.
    package mutating func process(_ input: AgentInput, now: Instant) {
        switch input {
        case .node(.received(let message)):
            received(message, now: now)
        case .node(let input):
            handle(input, now: now)
        case .place(let sandbox, let path, let interfaces):
            placements.place(sandbox, namespacePath: path, interfaces: interfaces)
            machine.noteChange(of: sandbox)
        case .sandboxGone(let sandbox):
            placements.forget(sandbox)
            machine.noteChange(of: sandbox)
            handle(.sandboxGone(sandbox), now: now)
        case .sandboxesFound(let namespaces):
            sandboxesFound(namespaces, now: now)
        case .interfacesFound(let endpoints):
            interfacesFound(endpoints, now: now)
        case .engineEndpointsFound(let endpoints, let instant):
            let removed = removals { $0.handle(.engineEndpointsFound(endpoints, asOf: instant), now: now) }
            if let removed { outlet.note(.strangersRemoved(removed.count, of: removed.total)) }
            // An engine that has just come up may have made a firewall of its own, in which Weft needs its place.
            reconcile(generation: machine.generation, observe: true)
        case .reconciled(let outcome):
            reconciled(outcome, now: now)
        case .tick:
            tick(now: now)
        }
    }

    /// What is known is on disk.
    package mutating func end() { saveView() }

    private mutating func received(_ message: ManagerMessage, now: Instant) {
        viewIsDirty = true
        let wasAdopting = machine.isAdopting
        handle(.received(message), now: now)
        if wasAdopting, !machine.isAdopting { outlet.note(.adopted(endpoints: machine.ownEndpoints.count)) }
    }

    private mutating func sandboxesFound(_ namespaces: [SandboxID: String], now: Instant) {
        for (sandbox, path) in namespaces {
            placements.place(sandbox, namespacePath: path)
            machine.noteChange(of: sandbox)
        }
        let removed = removals { $0.handle(.sandboxesFound(Set(namespaces.keys)), now: now) }
        if let removed { outlet.note(.leftoversRemoved(removed.count, of: removed.total)) }
        reconcile(generation: machine.generation, observe: true)
    }

    private mutating func interfacesFound(_ endpoints: [FoundEndpoint], now: Instant) {
        handle(.endpointsFound(endpoints), now: now)
        guard machine.isAdopting else { return }
        for endpoint in endpoints { placements.adopt(endpoint.id, interface: endpoint.interface) }
        outlet.note(.recordsLost(interfaces: endpoints.count))
    }

    private mutating func reconciled(_ outcome: ReconcileOutcome, now: Instant) {
        if let failure = outcome.failure { outlet.note(.datapathFailed(failure)) }
        for (endpoint, failure) in outcome.failures.sorted(by: { $0.key < $1.key }) {
            outlet.note(.endpointFailed(endpoint, failure))
        }
        retry.note(isRefused: outcome.isRefused, now: now)
        if let held = outcome.addressesHeld { handle(.addressesHeld(held), now: now) }
        handle(.datapathApplied(outcome.generation, failures: outcome.failures, failure: outcome.failure), now: now)
    }

    private mutating func tick(now: Instant) {
        ticks += 1
        handle(.tick, now: now)
        let isRetried = retry.isDue(now: now)
        if isRetried || ticks % Self.observeSeconds == 0 { reconcile(generation: machine.generation, observe: true) }
        if isUnableToSave, ticks % Self.saveSeconds == 0 { isUnableToSave = false }
        if viewIsDirty, ticks % Self.saveSeconds == 0 { saveView() }
    }

    /// How many of this node's endpoints go by `body`, and of how many; nil for none.
    private mutating func removals(_ body: (inout AgentCore) -> Void) -> (count: Int, total: Int)? {
        let before = machine.ownEndpoints.map(\.id)
        body(&self)
        let gone = before.count { machine.ownEndpoint($0) == nil }
        return gone == 0 ? nil : (gone, before.count)
    }
}

// MARK: The machine's actions

extension AgentCore {
    private mutating func handle(_ input: NodeInput, now: Instant) {
        var actions = machine.handle(input, now: now, random: &generator)[...]
        while let action = actions.popFirst() {
            guard case .persist(urgent: true) = action else {
                perform(action)
                continue
            }
            guard let reason = saveOwn() else { continue }
            // What is taken back must not be told first.
            let undurable = machine.undurable
            for action in actions { if let action = action.without(undurable) { perform(action) } }
            handle(.notSaved(reason), now: now)
            return
        }
    }

    private mutating func perform(_ action: NodeAction) {
        switch action {
        case .persist(let urgent):
            if urgent { _ = saveOwn() } else { viewIsDirty = true }
        case .send(let message): outlet.send(message)
        case .reconcile(let generation): reconcile(generation: generation, observe: false)
        case .namesChanged: outlet.reconcile(takeChange(), generation: nil, observe: false)
        case .reply(let request, let result): outlet.reply(request, result)
        case .reserved(let request, let result): outlet.replyReservation(request, result)
        case .followed(let request): outlet.replyFollowed(request)
        case .tasksAssigned: if let tasks = machine.assignedTasks { outlet.assigned(tasks) }
        case .keysChanged: if let news = machine.keyNews { outlet.keysChanged(news) }
        case .endpointsLost(let endpoints, let reason): outlet.lost(endpoints, reason: reason)
        case .dismissed(let reason): outlet.dismissed(reason: reason)
        }
    }

    private mutating func reconcile(generation: Generation, observe: Bool) {
        if machine.isAdopting { return outlet.reconcile(takeChange(), generation: nil, observe: false) }
        outlet.reconcile(takeChange(), generation: generation, observe: observe)
    }
}

extension AgentCore: Sendable where Store: Sendable, Outlet: Sendable, Generator: Sendable {}

/// When a data path that refused is asked again: sooner at first than the next look at the kernel would come.
private struct Retry: Sendable {
    private static let longest: Duration = .seconds(30)

    private var wait: Duration = .seconds(1)
    private var due: Instant?

    mutating func note(isRefused: Bool, now: Instant) {
        guard isRefused else { return self = Retry() }
        // Rounds come for other reasons meanwhile, and do not put it off.
        guard due == nil else { return }
        due = now + wait
        wait = min(wait * 2, Self.longest)
    }

    mutating func isDue(now: Instant) -> Bool {
        guard let due, due <= now else { return false }
        self.due = nil
        return true
    }
}

extension NodeAction {
    /// What is left of it while these endpoints, and anything else that was to be durable first, is not.
    fileprivate func without(_ undurable: Set<EndpointID>) -> NodeAction? {
        switch self {
        case .send(.endpointsChanged(let added, let removed)):
            let added = added.filter { !undurable.contains($0.id) }
            return added.isEmpty && removed.isEmpty ? nil : .send(.endpointsChanged(added: added, removed: removed))
        case .send(.leasesReturned), .send(.addressesReturned), .reserved(_, .success): return nil
        default: return self
        }
    }
}
