import WeftModel

/// Times of a service that are not stored. Who begins without them works them out from its tasks, by the clock on the wall, and waits no
/// longer for anything than from now on: that clock may have been set.
struct ServiceClock: Sendable {
    /// When tasks are to start.
    private var starts: [TaskID: Instant] = [:]
    /// When tasks of an update were seen to have started, or ended.
    private var settled: [TaskID: Instant] = [:]
    /// What of the above was asked for in this turn.
    private var used: Set<TaskID> = []
    /// When the service is to be looked at again.
    private(set) var due: Instant?

    mutating func begin() {
        due = nil
        used = []
    }

    /// Forgets what nobody asked for.
    mutating func end() {
        starts = starts.filter { used.contains($0.key) }
        settled = settled.filter { used.contains($0.key) }
    }

    var isEmpty: Bool { starts.isEmpty && settled.isEmpty && due == nil }

    mutating func wake(at time: Instant) { due = min(due ?? time, time) }

    mutating func start(of task: ServiceTask, after delay: Duration, now: Instant, wallClock: Instant) -> Instant {
        guard delay > .zero else { return now }
        used.insert(task.id)
        if let known = starts[task.id] { return known }
        let start = now + min(max(.zero, task.createdAt + delay - wallClock), delay)
        starts[task.id] = start
        return start
    }

    /// When a task of an update was seen to have started, or ended. Who did not see it takes the task's word for it, as far as that can be.
    mutating func settling(of task: ServiceTask, within most: Duration, isFirstLook: Bool, now: Instant, wallClock: Instant) -> Instant {
        used.insert(task.id)
        if let known = settled[task.id] { return known }
        let ago = min(max(.zero, wallClock - (task.startedAt ?? task.status.at)), most)
        let seen = now + (.zero - (isFirstLook ? ago : .zero))
        settled[task.id] = seen
        return seen
    }
}
