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
        let rollback = spec == nil ? "manually requested rollback" : nil
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
        try ServiceReferences.check(spec, of: id, in: round)
        let newest = (round.tables.found.tasks[id] ?? []).compactMap { round.tables.tasks[$0]?.createdAt }.max()
        let start = max(round.wallClock, newest.map { $0 + .nanoseconds(1) } ?? round.wallClock)
        service.replaceSpec(by: spec, rollback: rollback, newVersion: round.draft.newVersion, now: start)
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

extension Service {
    /// Another task spec than before is a new version of the tasks'. `rollback` says why, where the spec is the one before: tasks that
    /// it makes are known by their time, so that `now` is to be later than that of any task.
    mutating func replaceSpec(by spec: ServiceSpec, rollback: String?, newVersion: Version, now: Instant) {
        let isRollback = rollback != nil
        let former = (spec: self.spec, version: specVersion)
        if spec.task != former.spec.task || spec.endpoint.needsNewTasks(since: former.spec.endpoint) {
            specVersion = isRollback ? previousSpecVersion ?? newVersion : newVersion
        }
        previousSpec = isRollback ? nil : former.spec
        previousSpecVersion = isRollback ? nil : former.version
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
    /// What is published at a task's own node is made with the task.
    fileprivate func needsNewTasks(since other: Self) -> Bool {
        func own(_ endpoint: Self) -> Set<PortConfig> { Set((endpoint?.ports ?? []).filter { $0.mode == .host }) }
        return own(self) != own(other) || (self?.mode ?? .vip) != (other?.mode ?? .vip)
    }
}

extension ServiceMode {
    fileprivate func isSameKind(as other: ServiceMode) -> Bool { isJob == other.isJob && isGlobal == other.isGlobal }
}
