import WeftModel

/// Services: what an operator does with them. What follows of it, tasks, is orchestration's.
enum Services {
    static func create(
        _ spec: ServiceSpec, in round: inout Round, random: inout some RandomNumberGenerator
    ) throws(ControlError) -> Service {
        try ServiceRules.check(spec)
        if round.tables.found.names[spec.name] != nil {
            throw ControlError(
                .conflict,
                "rpc error: code = AlreadyExists desc = name conflicts with an existing object: service \(spec.name) already exists")
        }
        try ServiceReferences.check(spec, of: nil, in: round)
        var service = Service(id: .random(using: &random), createdAt: round.wallClock, spec: spec)
        service.specVersion = round.draft.newVersion
        if spec.mode.isJob { service.jobStartedAt = round.wallClock }
        round.draft.put(service)
        return service
    }

    /// Without a spec the one before counts again.
    static func update(
        _ id: ServiceID, version: Version, spec: ServiceSpec?, in round: inout Round
    ) throws(ControlError) -> Service {
        var service = try find(id, in: round)
        guard service.version == version else { throw .outOfSequence }
        let change = spec == nil ? SpecChange.rollbackByHand : .update
        guard let spec = spec ?? service.previousSpec else {
            throw ControlError(
                .failedPrecondition, "rpc error: code = FailedPrecondition desc = service \(id) does not have a previous spec")
        }
        try ServiceRules.check(spec)
        guard spec.name == service.spec.name else {
            throw ControlError(.invalid, "rpc error: code = Unimplemented desc = renaming services is not supported")
        }
        guard spec.mode.isSameKind(as: service.spec.mode) else {
            throw ControlError(.invalid, "rpc error: code = Unimplemented desc = service mode change is not allowed")
        }
        try ServiceReferences.check(spec, of: service, in: round)
        let newest = (round.tables.found.tasks[id] ?? []).compactMap { round.tables.tasks[$0]?.createdAt }.max()
        let start = max(round.wallClock, newest.map { $0 + .nanoseconds(1) } ?? round.wallClock)
        service.replaceSpec(by: spec, change, newVersion: round.draft.newVersion, now: start)
        round.draft.put(service)
        return service
    }

    static func remove(_ id: ServiceID, in round: inout Round) throws(ControlError) -> Service {
        let service = try find(id, in: round)
        round.draft.delete(Service.key(id))
        return service
    }

    private static func find(_ id: ServiceID, in round: Round) throws(ControlError) -> Service {
        guard let service = round.tables.services[id] else {
            throw ControlError(.notFound, "service \(id) not found")
        }
        return service
    }
}

/// Why a service gets another spec.
enum SpecChange {
    case update
    /// Back to the one before, on request: another request goes forth again.
    case rollbackByHand
    /// Back to the one before: the sentence says what failed.
    case rollbackAfterFailure(String)

    fileprivate var rollback: String? {
        switch self {
        case .update: nil
        case .rollbackByHand: "manually requested rollback"
        case .rollbackAfterFailure(let sentence): sentence
        }
    }

    /// What was given up may be gone back to.
    fileprivate var keepsFormer: Bool {
        if case .rollbackAfterFailure = self { false } else { true }
    }
}

extension Service {
    /// Another task spec than before is a new version of the tasks'. Tasks that a rollback makes are known by their time, so that `now` is
    /// to be later than that of any task.
    mutating func replaceSpec(by spec: ServiceSpec, _ change: SpecChange, newVersion: Version, now: Instant) {
        let rollback = change.rollback
        let former = (spec: self.spec, version: specVersion)
        if spec.task != former.spec.task || spec.endpoint.needsNewTasks(since: former.spec.endpoint) {
            specVersion = rollback == nil ? newVersion : previousSpecVersion ?? newVersion
        }
        previousSpec = change.keepsFormer ? former.spec : nil
        previousSpecVersion = change.keepsFormer ? former.version : nil
        self.spec = spec
        updatedAt = now
        if spec.mode.isJob {
            jobIteration += 1
            jobStartedAt = now
        }
        // A job begins anew: there is nothing to go back step by step.
        updateStatus = spec.mode.isJob ? nil : rollback.map { UpdateStatus(state: .rollbackStarted, startedAt: now, message: $0) }
    }
}

extension ServiceEndpointSpec? {
    fileprivate func needsNewTasks(since other: Self) -> Bool { !TaskBinding(other).suffices(for: TaskBinding(self)) }
}

/// What of a service's ports and addresses its tasks are made with.
struct TaskBinding {
    private let mode: ServiceEndpointSpec.Mode
    /// Published at a task's own node.
    private let hostPorts: Set<PortConfig>
    /// The task is on the ingress network.
    private let isPublished: Bool

    init(_ endpoint: ServiceEndpointSpec?) { self.init(endpoint?.mode ?? .vip, endpoint?.ports ?? []) }
    init(_ task: ServiceTask) { self.init(task.mode, task.ports) }

    private init(_ mode: ServiceEndpointSpec.Mode, _ ports: [PortConfig]) {
        self.mode = mode
        hostPorts = Set(ports.filter { $0.mode == .host })
        isPublished = ports.contains { $0.mode == .ingress }
    }

    /// A task that has it need not be replaced by one that has the other.
    func suffices(for other: TaskBinding) -> Bool {
        mode == other.mode && hostPorts == other.hostPorts && (isPublished || !other.isPublished)
    }
}

extension ServiceMode {
    fileprivate func isSameKind(as other: ServiceMode) -> Bool { isJob == other.isJob && isGlobal == other.isGlobal }
}
