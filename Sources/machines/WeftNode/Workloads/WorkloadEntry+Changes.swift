import WeftModel

/// What changes one workload.
extension WorkloadEntry {
    mutating func set(_ interface: InterfaceSpec) {
        if let index = workload.interfaces.firstIndex(where: { $0.interface == interface.interface }) {
            workload.interfaces[index] = interface
        } else {
            workload.interfaces.append(interface)
        }
    }

    /// All interfaces that are not in place are to be attached.
    mutating func wantAll() {
        due = Set(workload.interfaces.map(\.interface)).subtracting(attached.keys)
        isUnprepared = false
    }

    mutating func raise() {
        holds += 1
        isOver = false
        stoppedSince = nil
        // It may have lost its place while nothing ran in it.
        if workload.kind == .prepared { namespace = nil }
        wantAll()
        isMisnamed = isSeenRunning == false
    }

    mutating func identify(_ sandbox: SandboxID, _ name: String) {
        guard workload.sandbox != sandbox || workload.name != name else { return }
        workload.sandbox = sandbox
        workload.name = name
        isMisnamed = !attached.isEmpty
    }

    /// A runtime's workload is there for its interfaces.
    mutating func leaveIfEmpty() {
        if workload.kind == .foreign, workload.interfaces.isEmpty { isLeaving = true }
    }

    mutating func see(_ observation: Observation, now: Instant) {
        switch observation {
        case .running:
            if isSeenRunning != true { isMisnamed = true }
            isSeenRunning = true
            isOver = false
            stoppedSince = nil
            wantAll()
        case .stopped(let isFinal):
            guard holds == 0 else { return }
            if isSeenRunning != false { isMisnamed = true }
            isSeenRunning = false
            stoppedSince = stoppedSince ?? now
            if isFinal { isOver = true }
            tick(now: now)
        case .over:
            if holds == 0, isSeenRunning == false { isOver = true }
        case .ended:
            process = .ended
            isDead = true
            isStarting = false
            if workload.removesItself || workload.kind == .foreign { isLeaving = true }
        case .gone:
            isLeaving = true
        }
    }

    mutating func tick(now: Instant) {
        isStuck = false
        if isUntellable { (isTold, isUntellable) = (false, false) }
        if isSeenRunning == false, holds == 0, let stoppedSince,
            now - stoppedSince >= WorkloadMachine.patience
        {
            isOver = true
        }
    }

    /// The swarm knows these endpoints of its sandbox.
    mutating func adopt(_ endpoints: [Endpoint]) {
        let former = self.endpoints
        attached = [:]
        for endpoint in endpoints {
            if let interface = workload.interfaces.first(where: { $0.endpoint.network == endpoint.network }) {
                attached[interface.interface] = endpoint
            } else if workload.kind == .sandbox {
                // A former version kept no record of what its sandboxes are attached to.
                let spec = EndpointSpec(network: endpoint.network)
                let name = workload.freeInterface
                workload.interfaces.append(InterfaceSpec(spec, interface: name))
                attached[name] = endpoint
            }
        }
        if workload.kind == .prepared || former != self.endpoints { isTold = false }
        if workload.prepared?.restarts == true, workload.sandbox != nil { wantAll() }
    }

    /// Its endpoints went with the swarm.
    mutating func loseSwarm() {
        if !attached.isEmpty { isTold = false }
        attached = [:]
        due = []
        if workload.kind == .foreign { isLeaving = true }
    }

    // MARK: Steps

    mutating func begin(_ number: StepNumber, _ next: WorkloadStep) {
        step = (number, next)
        switch next {
        case .tell: isTold = true
        case .rename: isMisnamed = false
        case .shutDown: grace = nil
        case .start: isStarting = false
        case .prepare: isMade = true
        default: break
        }
    }

    /// Who is told of a step's failure: those whose wish it concerns. Of a workload that goes with it, who
    /// waits is told at the end.
    typealias Failure = (WorkloadFailure, (Wish) -> Bool)

    mutating func finish(_ step: WorkloadStep, _ result: StepResult, isMember: Bool) -> Failure? {
        if case .failed(let error) = result { return fail(step, error) }
        switch (step, result) {
        case (.save(let workload), _): saved = workload
        case (.prepare, .prepared(let path)):
            namespace = path
            if workload.kind == .sandbox, process == .none { process = .created }
        case (.attach(_, _, _, let interface), .attached(let endpoint)) where isMember:
            attached[interface] = endpoint
            due.remove(interface)
            fresh.insert(interface)
            isTold = false
        case (.detach(let id), _): forget { $0.id == id }
        case (.release, _): forget { _ in true }
        case (.tell, .told(let prepared)):
            if let prepared { workload.prepared = prepared }
        case (.start, _):
            wasStarted = true
            if process == .created { process = .running }
        case (.shutDown, _): see(.ended, now: Instant(nanoseconds: 0))
        case (.remove, _):
            namespace = nil
            isMade = false
        case (.forget, _): saved = nil
        default: break
        }
        return nil
    }

    private mutating func forget(_ isGone: (Endpoint) -> Bool) {
        for (name, endpoint) in attached where isGone(endpoint) {
            attached[name] = nil
            retracted.remove(name)
            fresh.remove(name)
        }
        isTold = false
    }

    private mutating func fail(_ step: WorkloadStep, _ error: WorkloadFailure) -> Failure? {
        switch step {
        case .save: return failSaving(error)
        case .prepare: return failPreparing(error)
        case .attach(_, _, _, let interface): return failAttaching(interface, error)
        case .tell: return failTelling(error)
        case .start:
            return (error, { $0 == .started })
        case .rename:
            return (error, { _ in false })
        case .detach, .release, .shutDown, .remove, .forget:
            // What must end is tried again with the next tick.
            isStuck = true
            return (
                error,
                { wish in
                    switch wish {
                    case .detached, .ended, .gone: true
                    default: false
                    }
                }
            )
        }
    }

    /// What is not on record is not so.
    private mutating func failSaving(_ error: WorkloadFailure) -> Failure? {
        guard let saved else {
            failure = error
            isLeaving = true
            return (error, { _ in false })
        }
        workload = saved
        due.formIntersection(saved.interfaces.map(\.interface))
        return (
            error,
            { wish in
                switch wish {
                case .complete, .attached, .detached, .recorded: true
                case .raised, .started, .ended, .gone, .settled: false
                }
            }
        )
    }

    private mutating func failPreparing(_ error: WorkloadFailure) -> Failure? {
        isUnprepared = true
        let isNew = waiting.contains { $0.wish == .complete }
        due = []
        if workload.kind != .prepared || isNew {
            failure = error
            isLeaving = true
            return (error, { _ in false })
        }
        return (
            error,
            { wish in
                switch wish {
                case .attached, .raised: true
                default: false
                }
            }
        )
    }

    private mutating func failAttaching(_ interface: String, _ error: WorkloadFailure) -> Failure? {
        due.remove(interface)
        let wishes = Set(waiting.map(\.wish))
        if wishes.contains(.complete) {
            failure = error
            isLeaving = true
            return (error, { $0 == .attached(interface: interface) })
        }
        if wishes.contains(.attached(interface: interface)) {
            workload.interfaces.removeAll { $0.interface == interface }
            leaveIfEmpty()
            if isLeaving {
                failure = error
                return (error, { _ in false })
            }
        } else {
            retractFresh(wishes)
        }
        return (error, { $0 == .attached(interface: interface) || $0 == .raised })
    }

    /// What the driver makes of endpoints is a part of what was wished.
    private mutating func failTelling(_ error: WorkloadFailure) -> Failure? {
        isUntellable = true
        let wishes = Set(waiting.map(\.wish))
        if wishes.contains(.complete) {
            failure = error
            isLeaving = true
            return (error, { _ in false })
        }
        for case .attached(let interface) in wishes where attached[interface] != nil {
            workload.interfaces.removeAll { $0.interface == interface }
        }
        leaveIfEmpty()
        if isLeaving {
            failure = error
            return (error, { _ in false })
        }
        retractFresh(wishes)
        let concerned = Set(attached.keys)
        return (
            error,
            { wish in
                if case .attached(let interface) = wish {
                    concerned.contains(interface)
                } else {
                    wish == .raised
                }
            }
        )
    }

    /// Of what was attached for a wish that failed, nothing is left; others' wishes stay.
    private mutating func retractFresh(_ wishes: Set<Wish>) {
        due = due.filter { wishes.contains(.attached(interface: $0)) }
        retracted.formUnion(fresh)
        fresh = []
    }

    /// Nothing more can be done, and these wishes are open.
    mutating func giveUp(_ wishes: [Wish]) {
        fresh = []
        due = []
        isStarting = false
        for case .attached(let interface) in wishes where attached[interface] == nil {
            workload.interfaces.removeAll { $0.interface == interface }
        }
        leaveIfEmpty()
    }
}
