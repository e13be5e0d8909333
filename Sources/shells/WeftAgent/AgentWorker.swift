import Logging
import WeftAgentCore
import WeftDatapath
import WeftModel
import WeftNet
import WeftNode

/// The part of the agent that runs in its one task.
struct AgentWorker: Sendable {
    private var machine: NodeMachine
    private var placements: Placements
    private let store: any AgentStore & Sendable
    private let reconciler: Reconciler
    private let now: @Sendable () -> Instant
    private let lost: @Sendable ([Endpoint], String) -> Void
    private let dismissed: @Sendable (String) -> Void
    private let logger: Logger

    private var send: SessionSender?
    private var waiting: [RequestID: CheckedContinuation<Endpoint, any Error>] = [:]
    private var reserving: [RequestID: CheckedContinuation<IPAddress, any Error>] = [:]
    private var nextRequest: UInt64 = 1
    private var generator = SystemRandomNumberGenerator()
    private var viewIsDirty = false
    /// Saving failed, and is tried again with the next tick.
    private var isUnableToSave = false
    /// Why the last save failed.
    private var saveFailure: String?
    private var ticks = 0

    init(
        machine: NodeMachine, placements: Placements, store: any AgentStore & Sendable, reconciler: Reconciler,
        now: @escaping @Sendable () -> Instant, lost: @escaping @Sendable ([Endpoint], String) -> Void,
        dismissed: @escaping @Sendable (String) -> Void, logger: Logger
    ) {
        self.machine = machine
        self.placements = placements
        self.store = store
        self.reconciler = reconciler
        self.now = now
        self.lost = lost
        self.dismissed = dismissed
        self.logger = logger
    }

    /// Names answer at once from what was saved; the kernel waits for `sandboxesFound`.
    mutating func start() {
        for (_, endpoints) in Dictionary(grouping: machine.ownEndpoints, by: \.sandbox) { placements.assign(endpoints) }
        reconciler.request(takeChange(), generation: nil, observe: false)
    }

    mutating func process(_ event: AgentEvent) {
        switch event {
        case .sessionOpened(let send):
            self.send = send
            handle(.sessionOpened)
        case .sessionClosed:
            send = nil
            handle(.sessionClosed)
        case .received(let message):
            viewIsDirty = true
            let wasAdopting = machine.isAdopting
            handle(.received(message))
            if wasAdopting, !machine.isAdopting {
                logger.notice(
                    "the endpoints of the interfaces found are this node's again", metadata: ["count": "\(machine.ownEndpoints.count)"])
            }
        case .place(let sandbox, let path, let interfaces):
            placements.place(sandbox, namespacePath: path, interfaces: interfaces)
            machine.noteChange(of: sandbox)
        case .attach(let request, let continuation):
            handle(.attach(register(continuation), request))
        case .detach(let endpoint, let continuation):
            handle(.detach(register(continuation), endpoint))
        case .reserve(let subnet, let address, let comer, let continuation):
            let id = nextID()
            reserving[id] = continuation
            handle(.reserve(id, subnet, address, for: comer))
        case .release(let network, let address):
            handle(.release(network, address))
        case .attachEngine(let request, let continuation):
            handle(.attachEngine(register(continuation), request))
        case .rename(let endpoint, let sandbox, let name, let aliases, let continuation):
            handle(.rename(register(continuation), endpoint, sandbox: sandbox, name: name, aliases: aliases))
        case .engineEndpointsFound(let endpoints, let instant):
            noting("endpoints that the engine does not have any more are removed") {
                $0.handle(.engineEndpointsFound(endpoints, asOf: instant))
            }
            // An engine that has just come up may have made a firewall of its own, in which Weft needs its place.
            reconcile(generation: machine.generation, observe: true)
        case .containerGone(let container):
            handle(.containerGone(container))
        case .sandboxGone(let sandbox):
            placements.forget(sandbox)
            machine.noteChange(of: sandbox)
            handle(.sandboxGone(sandbox))
        case .sandboxesFound(let namespaces):
            for (sandbox, path) in namespaces {
                placements.place(sandbox, namespacePath: path)
                machine.noteChange(of: sandbox)
            }
            noting("endpoints of sandboxes that ended meanwhile are removed") { $0.handle(.sandboxesFound(Set(namespaces.keys))) }
            reconcile(generation: machine.generation, observe: true)
        case .interfacesFound(let endpoints):
            handle(.endpointsFound(endpoints))
            guard machine.isAdopting else { break }
            for endpoint in endpoints { placements.adopt(endpoint.id, interface: endpoint.interface) }
            logger.error(
                "this node's records are lost; its interfaces are left as they are until a manager has said what it knows of them",
                metadata: ["interfaces": "\(endpoints.count)"])
        case .describe(let description):
            handle(.descriptionChanged(description))
        case .reconciled(let outcome):
            if let failure = outcome.failure { logger.error("the data path could not be changed", metadata: ["error": "\(failure)"]) }
            for (endpoint, failure) in outcome.failures.sorted(by: { $0.key < $1.key }) {
                logger.error("an endpoint is not in place", metadata: ["endpoint": "\(endpoint)", "error": "\(failure)"])
            }
            handle(.addressesHeld(outcome.addressesHeld))
            handle(.datapathApplied(outcome.generation, failures: outcome.failures, failure: outcome.failure))
        case .leave:
            handle(.leave)
        case .tick:
            tick()
        case .read(let body):
            body(machine)
        }
    }

    /// Nobody who waits is left hanging, and what is known is on disk.
    mutating func end() {
        saveView()
        for (_, continuation) in waiting.sorted(by: { $0.key < $1.key }) { continuation.resume(throwing: AgentBusy()) }
        waiting = [:]
        for (_, continuation) in reserving.sorted(by: { $0.key < $1.key }) { continuation.resume(throwing: AgentBusy()) }
        reserving = [:]
    }

    private mutating func tick() {
        ticks += 1
        handle(.tick)
        if ticks % Agent.observeSeconds == 0 { reconcile(generation: machine.generation, observe: true) }
        if isUnableToSave, ticks % Agent.saveSeconds == 0 { isUnableToSave = false }
        if viewIsDirty, ticks % Agent.saveSeconds == 0 { saveView() }
    }

    private mutating func register(_ continuation: CheckedContinuation<Endpoint, any Error>) -> RequestID {
        let id = nextID()
        waiting[id] = continuation
        return id
    }

    private mutating func nextID() -> RequestID {
        defer { nextRequest += 1 }
        return RequestID(nextRequest)
    }

    private mutating func handle(_ input: NodeInput) {
        var actions = machine.handle(input, now: now(), random: &generator)[...]
        while let action = actions.popFirst() {
            guard case .persist(urgent: true) = action else {
                perform(action)
                continue
            }
            guard let reason = saveOwn() else { continue }
            // What is taken back must not be told first.
            let undurable = machine.undurable
            for action in actions { if let action = action.without(undurable) { perform(action) } }
            handle(.notSaved(reason))
            return
        }
    }

    /// Logs what goes of this node's endpoints by `body`: much at once, perhaps.
    private mutating func noting(_ sentence: String, _ body: (inout AgentWorker) -> Void) {
        let before = machine.ownEndpoints.map(\.id)
        body(&self)
        let left = Set(machine.ownEndpoints.map(\.id))
        let gone = before.filter { !left.contains($0) }
        guard !gone.isEmpty else { return }
        logger.notice("\(sentence)", metadata: ["count": "\(gone.count)", "of": "\(before.count)"])
    }

    private mutating func perform(_ action: NodeAction) {
        switch action {
        case .persist(let urgent):
            if urgent { _ = saveOwn() } else { viewIsDirty = true }
        case .send(let message):
            // A message that does not go out is not lost: the hello of the next session says it all again.
            if let send, !send(message) { self.send = nil }
        case .reconcile(let generation):
            reconcile(generation: generation, observe: false)
        case .namesChanged:
            reconciler.request(takeChange(), generation: nil, observe: false)
        case .reply(let request, let result):
            waiting.removeValue(forKey: request)?.resume(with: result.mapError { $0 as any Error })
        case .reserved(let request, let result):
            reserving.removeValue(forKey: request)?.resume(with: result.mapError { $0 as any Error })
        case .endpointsLost(let endpoints, let reason):
            logger.warning("endpoints ended", metadata: ["count": "\(endpoints.count)", "reason": "\(reason)"])
            lost(endpoints, reason)
        case .dismissed(let reason):
            logger.notice("the manager ended the session", metadata: ["reason": "\(reason)"])
            dismissed(reason)
        }
    }

    private mutating func reconcile(generation: Generation, observe: Bool) {
        if machine.isAdopting { return reconciler.request(takeChange(), generation: nil, observe: false) }
        reconciler.request(takeChange(), generation: generation, observe: observe)
    }

    /// What data path and names do not know yet.
    ///
    /// It is on disk before the kernel hears of it: after a crash at any moment the next process would take what the kernel has and the
    /// disk has not for what is gone, and cut traffic until the manager has spoken.
    private mutating func takeChange() -> ViewChange {
        if viewIsDirty, !isUnableToSave { saveView() }
        let changes = machine.takeChanges()
        var change = ViewChange()
        if changes.everything {
            change.whole = ViewChange.Whole(
                dataPathPort: machine.clusterView?.dataPathPort, networks: machine.networks, peers: machine.peers)
            for endpoint in machine.endpoints { change.endpoints[endpoint.id] = part(endpoint.id, endpoint) }
        } else {
            for id in changes.endpoints { change.endpoints[id] = part(id, machine.endpoint(id)) }
        }
        return change
    }

    private func part(_ id: EndpointID, _ endpoint: Endpoint?) -> ViewChange.Part {
        var part = ViewChange.Part(endpoint: endpoint)
        guard let own = machine.ownEndpoint(id) else { return part }
        let engine = machine.engineState(of: id)
        if engine.isEngine {
            part.attachment = SandboxAttachment(engine: own, isNew: engine.isNew)
        } else if let placement = placements.placement(of: own) {
            part.attachment = SandboxAttachment(
                endpoint: own, namespacePath: placement.namespacePath, interfaceNumber: placement.interfaceIndex,
                interfaceName: placement.chosen?.name, takesDefaultRoute: placement.chosen?.takesDefaultRoute ?? true)
        } else {
            part.problem = "its sandbox \(own.sandbox) is not on this host any more"
        }
        return part
    }

    /// Nil, or why nothing could be saved.
    private mutating func saveOwn() -> String? {
        let change = machine.takeOwnChange()
        guard !change.isEmpty else { return nil }
        for endpoint in change.own.endpoints { placements.assign(machine.ownEndpoints(of: endpoint.sandbox)) }
        for id in change.removedEndpoints { placements.forget(id) }
        do {
            let indexes = change.own.endpoints.compactMap { endpoint in
                placements.interfaceIndexes[endpoint.id].map { (endpoint.id, $0) }
            }
            try store.saveOwn(change, interfaceIndexes: Dictionary(indexes, uniquingKeysWith: { first, _ in first }))
            noteSaving(nil)
            return nil
        } catch {
            machine.noteUnsaved()
            viewIsDirty = true
            isUnableToSave = true
            noteSaving("\(error)")
            return "\(error)"
        }
    }

    /// A disk that is full is so for long, and told once.
    private mutating func noteSaving(_ failure: String?) {
        defer { saveFailure = failure }
        guard failure != saveFailure else { return }
        if let failure {
            logger.error(
                "this node's records cannot be saved; it goes on trying, and attaches nothing meanwhile", metadata: ["error": "\(failure)"])
        } else {
            logger.notice("this node's records are saved again")
        }
    }

    private mutating func saveView() {
        viewIsDirty = false
        // What the manager said is of no use without what is the node's own.
        guard saveOwn() == nil else { return }
        do {
            try store.saveView(machine.takeViewChange())
        } catch {
            machine.noteUnsaved()
            viewIsDirty = true
            isUnableToSave = true
            noteSaving("\(error)")
        }
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
