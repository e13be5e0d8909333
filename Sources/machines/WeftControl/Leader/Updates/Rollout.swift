import WeftModel

/// How a service's tasks become those of its newest spec: a few places at a time. How far it is follows from the tasks; only how long ago
/// a place was done is remembered.
extension ServiceTurn {
    /// A place with regard to an update.
    private struct Step {
        let place: Place
        /// Tasks of another spec that are to run.
        let former: [ServiceTask]
        /// Tasks of the newest spec that are to run.
        let current: [ServiceTask]
        /// Those that the update made, the first first, whatever became of them.
        let made: [ServiceTask]

        var serves: Bool { current.contains { $0.status.state == .running } }
        var waitsForTurn: Bool { !former.isEmpty && current.isEmpty && made.isEmpty }
        /// What the update made there runs, or ended.
        var isSettled: Bool { made.first.map { $0.status.state >= .running } ?? true }
    }

    mutating func roll(random: inout some RandomNumberGenerator) {
        guard let service, !service.spec.mode.isJob, service.updateStatus?.isUnderWay ?? true else { return }
        if service.updateStatus == nil {
            guard tasks.all.contains(where: { $0.isWanted && $0.specVersion != service.specVersion }) else { return }
            self.service?.updateStatus = UpdateStatus(state: .updating, startedAt: wallClock, message: "update in progress")
        }
        if let failed = failure(in: steps) { goBackOrPause(because: failed) }
        guard self.service?.updateStatus?.isUnderWay ?? false else { return }
        let config = self.config
        let steps = self.steps
        for step in steps where step.serves { for task in step.former { tasks.want(.shutdown, of: task) } }
        for step in steps where !step.former.isEmpty && step.current.isEmpty {
            if let last = step.made.last, mayFollow(last) { replace(step, config, random: &random) }
        }
        let busy = steps.count { isBusy($0, config) }
        let next = steps.filter(\.waitsForTurn).sorted(by: Self.goesFirst)
        let limit = config.parallelism == 0 ? steps.count : Int(clamping: config.parallelism)
        for step in next.prefix(max(0, limit - busy)) { replace(step, config, random: &random) }
        if busy == 0, next.isEmpty, steps.allSatisfy({ $0.former.isEmpty || $0.serves }) { complete(steps, config) }
    }

    private var config: UpdateConfig {
        let isRollback = service?.updateStatus?.state == .rollbackStarted
        return (isRollback ? service?.spec.rollback : service?.spec.update) ?? UpdateConfig()
    }

    private var steps: [Step] {
        guard let service, let start = service.updateStatus?.startedAt else { return [] }
        return tasks.sortedPlaces.compactMap { place in
            let wanted = tasks.wanted(at: place)
            let made = (tasks.places[place] ?? []).filter {
                $0.specVersion == service.specVersion && $0.desiredState != .remove && $0.createdAt >= start
            }
            if wanted.isEmpty, made.isEmpty { return nil }
            return Step(
                place: place, former: wanted.filter { $0.specVersion != service.specVersion },
                current: wanted.filter { $0.specVersion == service.specVersion }, made: made)
        }
    }

    /// What does not run is replaced first: nobody misses it.
    private static func goesFirst(_ left: Step, _ right: Step) -> Bool {
        func runs(_ step: Step) -> Bool { step.former.contains { $0.status.state == .running } }
        return runs(left) == runs(right) ? left.place < right.place : !runs(left)
    }

    /// It counts among those that are replaced at a time.
    private mutating func isBusy(_ step: Step, _ config: UpdateConfig) -> Bool {
        guard step.isSettled else { return true }
        guard let first = step.made.first else { return !step.former.isEmpty && !step.current.isEmpty && !step.serves }
        if !step.former.isEmpty, !step.current.isEmpty, !step.serves { return true }
        return !hasPassed(.nanoseconds(config.delay), since: first, config)
    }

    /// Whether so much time is over since the task had started, or ended; if not, the service is looked at then.
    private mutating func hasPassed(_ time: Duration, since task: ServiceTask, _ config: UpdateConfig) -> Bool {
        let most = Duration.nanoseconds(max(config.delay, config.monitor))
        let end = clock.settling(of: task, within: most, isFirstLook: isFirstLook, now: now, wallClock: wallClock) + time
        if end > now { clock.wake(at: end) }
        return end <= now
    }

    private mutating func replace(_ step: Step, _ config: UpdateConfig, random: inout some RandomNumberGenerator) {
        guard let service else { return }
        if config.order == .stopFirst { for task in step.former { tasks.want(.shutdown, of: task) } }
        make(service, at: step.place, random: &random)
    }

    // MARK: Failure, and the end

    /// The task by which more failed than may.
    private func failure(in steps: [Step]) -> ServiceTask? {
        let config = self.config
        guard config.failureAction != .continue else { return nil }
        let failed = steps.compactMap(\.made.first).filter { task in
            task.endedByItself && (task.startedAt.map { task.status.at - $0 <= .nanoseconds(config.monitor) } ?? true)
        }
        guard Double(failed.count) > config.maxFailureRatio * Double(steps.count) else { return nil }
        return failed.max { ($0.status.at, $0.id) < ($1.status.at, $1.id) }
    }

    /// A rollback is never rolled back.
    private mutating func goBackOrPause(because task: ServiceTask) {
        let cause = "due to failure or early termination of task \(task.id)"
        let isRollback = service?.updateStatus?.state == .rollbackStarted
        if !isRollback, config.failureAction == .rollback, let previous = service?.previousSpec {
            let start = tasks.all.map { $0.createdAt + .nanoseconds(1) }.max() ?? wallClock
            service?.replaceSpec(
                by: previous, rollback: "update rolled back \(cause)", newVersion: newVersion, now: max(wallClock, start))
            return
        }
        service?.updateStatus?.state = isRollback ? .rollbackPaused : .paused
        service?.updateStatus?.message = "\(isRollback ? "rollback" : "update") paused \(cause)"
    }

    /// It is over once nothing failed for a while after the last.
    private mutating func complete(_ steps: [Step], _ config: UpdateConfig) {
        for first in steps.compactMap(\.made.first) where !hasPassed(.nanoseconds(config.monitor), since: first, config) { return }
        let isRollback = service?.updateStatus?.state == .rollbackStarted
        service?.updateStatus?.state = isRollback ? .rollbackCompleted : .completed
        service?.updateStatus?.message = isRollback ? "rollback completed" : "update completed"
        service?.updateStatus?.completedAt = wallClock
    }
}
