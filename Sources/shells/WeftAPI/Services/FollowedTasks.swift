import WeftModel

/// Tasks whose output is followed: of each run that there is or comes, what is read of it, and how far.
struct FollowedTasks: Sendable {
    private enum Reading {
        case underWay
        /// It broke off, and goes on from there when its node is back.
        case lost(LogPosition)
        case done
    }

    /// One run of a task: a node that restarts a task without its manager makes another container for it.
    private struct Run: Hashable {
        let task: TaskID
        let container: String
    }

    private struct Told: Equatable {
        let loss: LogUnavailable
        let position: LogPosition
    }

    private let options: LogOptions
    private var readings: [Run: Reading] = [:]
    /// What was said last of a run that is not to be had, and how far it was read then.
    private var told: [Run: Told] = [:]
    private var hasLooked = false

    init(_ options: LogOptions) { self.options = options }

    /// Nothing is read at the moment.
    var isIdle: Bool {
        readings.values.allSatisfy { if case .underWay = $0 { false } else { true } }
    }
    /// Runs that are remembered.
    var count: Int { readings.count }

    /// Takes note of the tasks as they are, and returns what is to be read from now on, and from where.
    mutating func look(at tasks: [ServiceTask]) -> [(ServiceTask, LogPosition)] {
        var begun: [(ServiceTask, LogPosition)] = []
        var there: Set<Run> = []
        for task in tasks.sorted(by: { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) }) {
            guard let run = Self.run(of: task) else { continue }
            there.insert(run)
            switch readings[run] {
            case nil:
                // Of what comes later nothing was there when the last lines were asked for.
                var options = options
                if hasLooked { options.tail = nil }
                begun.append((task, LogPosition(options)))
            case .lost(let position)? where !task.status.state.isOver: begun.append((task, position))
            case .underWay?, .done?, .lost?: continue
            }
            readings[run] = .underWay
        }
        hasLooked = true
        // What is gone comes back no more; what is read of it ends by itself.
        readings = readings.filter { run, reading in
            if case .underWay = reading { return true }
            return there.contains(run)
        }
        told = told.filter { readings[$0.key] != nil }
        return begun
    }

    mutating func ended(_ task: ServiceTask) {
        guard let run = Self.run(of: task) else { return }
        readings[run] = .done
        told[run] = nil
    }

    /// True: that is to be said, and was not yet.
    mutating func lost(_ task: ServiceTask, _ position: LogPosition, _ loss: LogUnavailable) -> Bool {
        guard let run = Self.run(of: task) else { return false }
        readings[run] = .lost(position)
        let now = Told(loss: loss, position: position.settled)
        defer { told[run] = now }
        return told[run] != now
    }

    private static func run(of task: ServiceTask) -> Run? {
        guard task.node != nil, let container = task.status.container else { return nil }
        return Run(task: task.id, container: container)
    }
}
