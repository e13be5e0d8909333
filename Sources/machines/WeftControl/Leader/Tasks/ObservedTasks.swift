import WeftModel

/// What nodes say of their tasks.
enum ObservedTasks {
    static func take(_ reports: [TaskReport], of node: NodeID, in round: inout Round) {
        for report in reports {
            guard var task = round.tables.tasks[report.task], task.node == node else { continue }
            // A state is followed by a later one: what is late is of no interest.
            guard report.status.state >= task.status.state, report.status != task.status else { continue }
            task.status = report.status
            task.updatedAt = round.wallClock
            round.draft.put(task)
        }
    }
}
