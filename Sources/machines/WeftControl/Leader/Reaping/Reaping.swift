import WeftModel

/// Records of tasks that nobody needs: those that are to go and have ended, and the oldest of what ended in each place.
extension ServiceTurn {
    mutating func reap(in round: borrowing Round) {
        for task in Array(tasks.all) where !task.isWanted && isDone(task, in: round) { tasks.delete(task) }
        let limit = cluster?.taskHistoryRetentionLimit ?? ClusterSpec.defaultTaskHistoryRetentionLimit
        // As swarm's: a negative one keeps everything.
        guard limit >= 0 else { return }
        for place in tasks.sortedPlaces { forgetHistory(at: place, beyond: Int(clamping: limit)) }
    }

    /// It is to be gone, and is; or it never had a node to be gone from.
    private func isDone(_ task: ServiceTask, in round: borrowing Round) -> Bool {
        if task.status.state < .assigned { return true }
        guard task.desiredState == .remove else { return false }
        guard !task.status.state.isOver, let node = task.node else { return true }
        // Who comes back hears that it has it no more, and ends it.
        return round.tables.nodes[node]?.isAway ?? true
    }

    private mutating func forgetHistory(at place: Place, beyond limit: Int) {
        guard let all = tasks.places[place] else { return }
        let attempts = all.last.map { Int(clamping: $0.policy.maxAttempts) } ?? 0
        // Attempts are counted by what is remembered of them, and that nothing is to follow is known by the last one.
        let kept = max(limit, attempts > 0 ? attempts + 1 : 1)
        var excess = all.count - kept
        let needed = excess > 0 ? needed(of: all) : []
        for task in all where excess > 0 && task.status.state.isOver && !needed.contains(task.id) {
            // What a job has done counts as long as the job is there.
            if task.isWanted || task.jobIteration != nil && task.status.state == .complete { continue }
            tasks.delete(task)
            excess -= 1
        }
    }

    /// A task that waits does so because of the one before it; an update goes by the first task that it made in a place, and by there
    /// having been one before.
    private func needed(of all: [ServiceTask]) -> Set<TaskID> {
        var needed: Set<TaskID> = []
        for (former, task) in zip(all, all.dropFirst()) where task.desiredState == .ready { needed.insert(former.id) }
        guard service?.updateStatus?.isUnderWay == true else { return needed }
        if let former = all.last(where: { !isOfUpdate($0) }) { needed.insert(former.id) }
        if let first = all.first(where: { isOfUpdate($0) && !$0.wasTakenBack }) { needed.insert(first.id) }
        return needed
    }
}

extension UpdateStatus {
    var isUnderWay: Bool { state == .updating || state == .rollbackStarted }
}
