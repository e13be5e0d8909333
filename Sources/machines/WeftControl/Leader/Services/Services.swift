import WeftModel

/// Services: what an operator does with them. What follows of it, tasks, is orchestration's.
enum Services {
    static func create(
        _ spec: ServiceSpec, in round: inout Round, random: inout some RandomNumberGenerator
    ) throws(ControlError) -> Service {
        try check(spec, in: round)
        if round.tables.serviceNames[spec.name] != nil {
            throw ControlError(
                .conflict,
                "rpc error: code = AlreadyExists desc = name conflicts with an existing object: service \(spec.name) already exists")
        }
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
        let isRollback = spec == nil
        guard let spec = spec ?? service.previousSpec else {
            throw ControlError(
                .failedPrecondition, "rpc error: code = FailedPrecondition desc = service \(id) does not have a previous spec")
        }
        try check(spec, in: round)
        guard spec.name == service.spec.name else {
            throw ControlError(.invalid, "rpc error: code = Unimplemented desc = renaming services is not supported")
        }
        guard spec.mode.isSameKind(as: service.spec.mode) else {
            throw ControlError(.invalid, "rpc error: code = Unimplemented desc = service mode change is not allowed")
        }
        service.replaceSpec(by: spec, isRollback: isRollback, newVersion: round.draft.newVersion, now: round.wallClock)
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

    private static func check(_ spec: ServiceSpec, in round: Round) throws(ControlError) {
        guard Bounds.isName(spec.name) else {
            throw ControlError(
                .invalid,
                "invalid service name \"\(spec.name)\": 1 to 63 of the characters a-z, A-Z, 0-9, -, _ and ., the first a letter or digit")
        }
    }
}

extension Service {
    /// Another task spec than before is a new version of the tasks'.
    fileprivate mutating func replaceSpec(by spec: ServiceSpec, isRollback: Bool, newVersion: Version, now: Instant) {
        let former = (spec: self.spec, version: specVersion)
        if spec.task != former.spec.task {
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
        updateStatus = isRollback ? UpdateStatus(state: .rollbackStarted, startedAt: now, message: "manually requested rollback") : nil
    }
}

extension ServiceMode {
    fileprivate func isSameKind(as other: ServiceMode) -> Bool { isJob == other.isJob && isGlobal == other.isGlobal }
}
