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
        /// Those that the update made, the first first, whatever became of them, but for what was taken back before it ran.
        let made: [ServiceTask]
        /// There was a task before them. A place that is new, or whose task never had a node, keeps nothing else waiting.
        let isReplacing: Bool

        var serves: Bool { current.contains { $0.status.state == .running } }
        var waitsForTurn: Bool { !former.isEmpty && current.isEmpty && made.isEmpty }
        /// What the update made there runs, or ended.
        var isSettled: Bool { made.first.map { $0.status.state >= .running } ?? true }
    }

    mutating func roll(in round: borrowing Round, random: inout some RandomNumberGenerator) {
        guard let service, !service.spec.mode.isJob else { return }
        if service.updateStatus == nil {
            guard tasks.all.contains(where: { $0.isWanted && $0.specVersion != service.specVersion }) else { return endServed() }
            self.service?.updateStatus = UpdateStatus(state: .updating, startedAt: wallClock, message: "update in progress")
        }
        if service.updateStatus?.completedAt != nil {
            endServed()
            return catchUp(in: round, random: &random)
        }
        guard service.updateStatus?.isUnderWay ?? true else { return endServed() }
        // Ports and addresses of the spec that is gone back to are not there yet.
        if let failed = failure(in: steps(in: round)) { return goBackOrPause(because: failed) }
        endServed()
        let config = self.config
        let steps = self.steps(in: round)
        for step in steps where !step.current.isEmpty && stopsFirst(config) { endFormer(of: step) }
        for step in steps where !step.former.isEmpty && step.current.isEmpty {
            if let last = step.made.last, mayFollow(last) { replace(step, config, random: &random) }
        }
        let busy = steps.count { isBusy($0, config) }
        let next = steps.filter(\.waitsForTurn).sorted(by: Self.goesFirst)
        let limit = config.parallelism == 0 ? steps.count : Int(clamping: config.parallelism)
        // What an update without a limit leaves for the next turn, that has at once: it follows from what is written in this one.
        let most = min(max(0, limit - busy), ManagerCore.changesMax / 2)
        for step in next.prefix(most) { replace(step, config, random: &random) }
        if busy == 0, next.isEmpty, steps.allSatisfy({ $0.former.isEmpty || $0.serves }) { complete(steps, config) }
    }

    private var config: UpdateConfig {
        let isRollback = service?.updateStatus?.state == .rollbackStarted
        return (isRollback ? service?.spec.rollback : service?.spec.update) ?? UpdateConfig()
    }

    /// It is of the newest spec, and was made since the update began.
    func isOfUpdate(_ task: ServiceTask) -> Bool {
        guard let service, let start = service.updateStatus?.startedAt else { return false }
        return task.specVersion == service.specVersion && task.createdAt >= start
    }

    /// Tasks on nodes that are paused are left alone until the nodes are not.
    private func steps(in round: borrowing Round) -> [Step] {
        guard let service else { return [] }
        var steps: [Step] = []
        for place in tasks.sortedPlaces {
            if case .node(let id) = place, round.tables.nodes[id]?.spec.availability == .pause { continue }
            let known = (tasks.places[place] ?? []).filter { $0.desiredState != .remove }
            let wanted = known.filter(\.isWanted)
            let made = known.filter { isOfUpdate($0) && !$0.wasTakenBack }
            if wanted.isEmpty, made.isEmpty { continue }
            steps.append(
                Step(
                    place: place, former: wanted.filter { $0.specVersion != service.specVersion },
                    current: wanted.filter { $0.specVersion == service.specVersion }, made: made,
                    isReplacing: known.contains { !isOfUpdate($0) }))
        }
        return steps
    }

    /// What does not run is replaced first: nobody misses it.
    private static func goesFirst(_ left: Step, _ right: Step) -> Bool {
        func runs(_ step: Step) -> Bool { step.former.contains { $0.status.state == .running } }
        return runs(left) == runs(right) ? left.place < right.place : !runs(left)
    }

    /// It counts among those that are replaced at a time.
    private mutating func isBusy(_ step: Step, _ config: UpdateConfig) -> Bool {
        guard step.isReplacing else { return false }
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
        if stopsFirst(config) { endFormer(of: step) }
        // What has no node yet serves nobody: it must not take the new one's room.
        for task in step.former where task.status.state < .assigned { tasks.want(.shutdown, of: task) }
        make(service, at: step.place, random: &random)
    }

    /// While a new task cannot have what its service needs, the old one goes on, whatever the order.
    private func stopsFirst(_ config: UpdateConfig) -> Bool { config.order == .stopFirst && service?.problem == nil }

    /// One task in a place is enough, however far the update gets, and whether its node is paused: where one of the newest spec serves, the
    /// others end. Two may be of it where a spec was taken back while its update was between them.
    private mutating func endServed() {
        guard let version = service?.specVersion else { return }
        for place in tasks.sortedPlaces {
            let wanted = tasks.wanted(at: place)
            guard let kept = wanted.first(where: { $0.specVersion == version && $0.status.state == .running }) else { continue }
            for task in wanted where task.id != kept.id { tasks.want(.shutdown, of: task) }
        }
    }

    private mutating func endFormer(of step: Step) { for task in step.former { tasks.want(.shutdown, of: task) } }

    /// A node that was paused while an update went by follows once it takes tasks again; to the update it does not count.
    private mutating func catchUp(in round: borrowing Round, random: inout some RandomNumberGenerator) {
        guard let service, service.spec.mode.isGlobal, service.problem == nil else { return }
        for step in steps(in: round) where !step.former.isEmpty {
            endFormer(of: step)
            if step.current.isEmpty { make(service, at: step.place, random: &random) }
        }
    }

    // MARK: Failure, and the end

    /// The task by which more failed than may.
    private func failure(in steps: [Step]) -> ServiceTask? {
        let config = self.config
        guard config.failureAction != .continue else { return nil }
        let replaced = steps.filter { $0.isReplacing && !($0.former.isEmpty && $0.made.isEmpty) }
        let failed = replaced.compactMap(\.made.first).filter { task in
            task.endedByItself && (task.startedAt.map { task.status.at - $0 <= .nanoseconds(config.monitor) } ?? true)
        }
        guard !failed.isEmpty, Double(failed.count) / Double(replaced.count) > config.maxFailureRatio else { return nil }
        return failed.max { ($0.status.at, $0.id) < ($1.status.at, $1.id) }
    }

    /// A rollback is never rolled back.
    private mutating func goBackOrPause(because task: ServiceTask) {
        let cause = "due to failure or early termination of task \(task.id)"
        let isRollback = service?.updateStatus?.state == .rollbackStarted
        if !isRollback, config.failureAction == .rollback, let previous = service?.previousSpec {
            let start = tasks.all.map { $0.createdAt + .nanoseconds(1) }.max() ?? wallClock
            service?.replaceSpec(
                by: previous, .rollbackAfterFailure("update rolled back \(cause)"), newVersion: newVersion, now: max(wallClock, start))
            return
        }
        service?.updateStatus?.state = isRollback ? .rollbackPaused : .paused
        service?.updateStatus?.message = "\(isRollback ? "rollback" : "update") paused \(cause)"
    }

    /// It is over once nothing failed for a while after the last.
    private mutating func complete(_ steps: [Step], _ config: UpdateConfig) {
        let firsts = steps.filter(\.isReplacing).compactMap(\.made.first)
        guard firsts.allSatisfy({ hasPassed(.nanoseconds(config.monitor), since: $0, config) }) else { return }
        let isRollback = service?.updateStatus?.state == .rollbackStarted
        service?.updateStatus?.state = isRollback ? .rollbackCompleted : .completed
        service?.updateStatus?.message = isRollback ? "rollback completed" : "update completed"
        service?.updateStatus?.completedAt = wallClock
    }
}

extension ServiceTask {
    /// It was not to run any more before it did, for no fault of its own: its node went, or there were too many.
    var wasTakenBack: Bool { !isWanted && startedAt == nil && !endedByItself }
}
