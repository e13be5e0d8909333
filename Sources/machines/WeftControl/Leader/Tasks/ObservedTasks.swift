import WeftModel

/// What nodes say of their tasks.
enum ObservedTasks {
    static func take(_ reports: [TaskReport], of node: NodeID, in round: inout Round) {
        for report in reports {
            guard var task = round.tables.tasks[report.task], task.node == node else { continue }
            // A state is followed by a later one: what is late is of no interest.
            guard report.status.state >= task.status.state, report.status != task.status else { continue }
            // What was given up for good is not taken back by who comes back.
            guard task.status.state != .orphaned else { continue }
            task.status = report.status
            if report.status.state == .running, task.startedAt == nil { task.startedAt = report.status.at }
            task.updatedAt = round.wallClock
            round.draft.put(task)
        }
    }
}
