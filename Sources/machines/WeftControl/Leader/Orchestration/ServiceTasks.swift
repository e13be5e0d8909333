import WeftModel

/// Where tasks follow each other, of which one at a time is to run: a slot, or a node of a global service.
enum Place: Hashable, Comparable {
    case slot(UInt64)
    case node(NodeID)
}

extension ServiceTask {
    var place: Place { slot > 0 ? .slot(slot) : .node(node ?? NodeID("")) }

    /// It ended, or failed to begin, without being told to.
    var endedByItself: Bool { [.complete, .failed, .rejected].contains(status.state) }

    var policy: RestartPolicy { spec.restart ?? RestartPolicy() }
}

/// The tasks of one service in one turn: what they are, and what they are to be.
///
/// Nothing is written but by `write`, so that a task that changes several times in a turn is one change.
struct ServiceTasks {
    /// Oldest first.
    private(set) var places: [Place: [ServiceTask]] = [:]
    private var changed: Set<TaskID> = []
    private var removed: Set<TaskID> = []

    init(of service: ServiceID, in tables: borrowing IndexedTables) {
        let table = tables.tasks
        for id in tables.found.tasks[service] ?? [] {
            if let task = table[id] { places[task.place, default: []].append(task) }
        }
        for place in places.keys { places[place]?.sort { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) } }
    }

    var all: some Sequence<ServiceTask> { places.values.lazy.joined() }
    /// In an order that is the same wherever it is asked for.
    var sortedPlaces: [Place] { places.keys.sorted() }
    var isEmpty: Bool { places.isEmpty }

    func wanted(at place: Place) -> [ServiceTask] { places[place]?.filter(\.isWanted) ?? [] }

    /// The newest that is not to be forgotten.
    func newest(at place: Place) -> ServiceTask? { places[place]?.last { $0.desiredState != .remove } }

    // MARK: Changes

    mutating func add(_ task: ServiceTask) {
        places[task.place, default: []].append(task)
        changed.insert(task.id)
    }

    mutating func change(_ task: ServiceTask, _ body: (inout ServiceTask) -> Void) {
        guard let index = places[task.place]?.firstIndex(where: { $0.id == task.id }), var new = places[task.place]?[index] else { return }
        body(&new)
        if new.place != task.place {
            preconditionFailure("a task stays in its place")
        }
        places[task.place]?[index] = new
        changed.insert(task.id)
    }

    /// A desired state only rises.
    mutating func want(_ state: TaskState, of task: ServiceTask, problem: String? = nil) {
        guard task.desiredState < state else { return }
        change(task) {
            $0.desiredState = state
            if let problem { $0.status.problem = problem }
        }
    }

    mutating func delete(_ task: ServiceTask) {
        places[task.place]?.removeAll { $0.id == task.id }
        if places[task.place]?.isEmpty ?? false { places[task.place] = nil }
        removed.insert(task.id)
    }

    /// Writes what changed, but for tasks that `isLeft` says to leave for later.
    mutating func write(to round: inout Round, except isLeft: (ServiceTask) -> Bool = { _ in false }) {
        for id in removed.sorted() { round.draft.delete(ServiceTask.key(id)) }
        removed = []
        guard !changed.isEmpty else { return }
        for place in sortedPlaces {
            for (index, task) in (places[place] ?? []).enumerated() where changed.contains(task.id) && !isLeft(task) {
                write(index, at: place, to: &round)
            }
        }
    }

    mutating func write(_ task: TaskID, at place: Place, to round: inout Round) {
        if let index = places[place]?.firstIndex(where: { $0.id == task }) { write(index, at: place, to: &round) }
    }

    private mutating func write(_ index: Int, at place: Place, to round: inout Round) {
        guard var task = places[place]?[index] else { return }
        changed.remove(task.id)
        task.updatedAt = round.wallClock
        places[place]?[index] = task
        round.draft.put(task)
    }
}
