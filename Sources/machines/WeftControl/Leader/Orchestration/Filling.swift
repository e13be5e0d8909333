import WeftModel

/// Which places are to have a task, and which have one too many.
extension ServiceTurn {
    // MARK: Slots

    mutating func fillSlots(of service: Service, upTo count: UInt64, random: inout some RandomNumberGenerator) {
        var kept: [Place] = []
        var vacant: [Place] = []
        for place in tasks.sortedPlaces where tasks.newest(at: place) != nil {
            if isOccupied(place, of: service) { kept.append(place) } else { vacant.append(place) }
        }
        let count = Int(clamping: count)
        if kept.count > count {
            forgetSome(of: surplus(kept, over: count) + vacant)
            return
        }
        let missing = count - kept.count
        for place in vacant.dropFirst(missing) { forget(place) }
        fill(vacant.prefix(missing), missing, of: service, random: &random)
    }

    /// As many as one transaction takes: what is written brings about the next turn, and with it the rest.
    private mutating func fill(
        _ vacant: ArraySlice<Place>, _ missing: Int, of service: Service, random: inout some RandomNumberGenerator
    ) {
        let missing = min(missing, ManagerCore.changesMax)
        let free = (1...).lazy.map { Place.slot($0) }.filter { [tasks] in tasks.newest(at: $0) == nil }
        for place in vacant.prefix(missing) + free.prefix(max(0, missing - vacant.count)) { make(service, at: place, random: &random) }
    }

    /// There is a task that is to run, or the last one ended and nothing of the same spec is to follow.
    private func isOccupied(_ place: Place, of service: Service) -> Bool {
        if !tasks.wanted(at: place).isEmpty { return true }
        guard let newest = tasks.newest(at: place), newest.specVersion == service.specVersion else { return false }
        return !mayFollow(newest)
    }

    /// Those that go when there are too many: first what does not run, then from nodes that have most of the service, the last slots first.
    private func surplus(_ places: [Place], over count: Int) -> [Place] {
        struct Candidate {
            let place: Place
            let runs: Bool
            /// How many of the service its node has besides, in lower slots.
            let depth: Int
        }
        var depths: [NodeID: Int] = [:]
        let candidates = places.map { place in
            let wanted = tasks.wanted(at: place)
            guard let running = wanted.first(where: { $0.status.state == .running }), let node = running.node else {
                return Candidate(place: place, runs: false, depth: 0)
            }
            let depth = depths[node, default: 0]
            depths[node] = depth + 1
            return Candidate(place: place, runs: true, depth: depth)
        }
        let sorted = candidates.sorted { left, right in
            if left.runs != right.runs { return left.runs }
            return (left.depth, left.place) < (right.depth, right.place)
        }
        return sorted.dropFirst(count).map(\.place)
    }

    /// A removed service's tasks go.
    mutating func forgetAll() { forgetSome(of: tasks.sortedPlaces) }

    /// As many as one transaction takes: what is written brings about the next turn, and with it the rest.
    private mutating func forgetSome(of places: [Place]) {
        var left = ManagerCore.changesMax
        for place in places where left > 0 {
            left -= (tasks.places[place] ?? []).count { $0.desiredState < .remove }
            forget(place)
        }
    }

    private mutating func forget(_ place: Place) {
        for task in tasks.places[place] ?? [] { tasks.want(.remove, of: task) }
    }

    // MARK: Jobs

    mutating func fillJob(
        of service: Service, concurrent: UInt64, total: UInt64, random: inout some RandomNumberGenerator
    ) {
        forgetFormerIterations(of: service)
        var (done, running) = (0, 0)
        var vacant: [Place] = []
        for place in tasks.sortedPlaces {
            guard let newest = tasks.newest(at: place) else { continue }
            if case .slot(let number) = place, number > total {
                forget(place)
            } else if isDone(place) {
                dropRivals(at: place)
                done += 1
            } else if !tasks.wanted(at: place).isEmpty {
                running += 1
            } else if mayFollow(newest) {
                vacant.append(place)
            } else {
                done += 1
            }
        }
        let total = Int(clamping: total)
        let missing = max(0, min(Int(clamping: concurrent) - running, total - done - running))
        fill(vacant.prefix(missing), missing, of: service, random: &random)
    }

    private mutating func forgetFormerIterations(of service: Service) {
        for task in Array(tasks.all) where task.jobIteration != service.jobIteration { tasks.want(.remove, of: task) }
    }

    /// A task that was thought lost ended well: what was to do its work is not needed.
    private mutating func dropRivals(at place: Place) {
        for task in tasks.wanted(at: place) where !task.status.state.isOver { tasks.want(.shutdown, of: task) }
    }

    private func isDone(_ place: Place) -> Bool {
        (tasks.places[place] ?? []).contains { $0.desiredState != .remove && $0.jobIteration != nil && $0.status.state == .complete }
    }

    // MARK: Nodes

    mutating func fillNodes(of service: Service, in round: borrowing Round, random: inout some RandomNumberGenerator) {
        let isJob = service.spec.mode.isJob
        if isJob { forgetFormerIterations(of: service) }
        for place in tasks.sortedPlaces {
            if case .node(let id) = place, round.tables.nodes[id] == nil { forget(place) }
        }
        let constraints = service.spec.task.placement.constraints.compactMap { try? Constraint($0) }
        for node in round.tables.sortedNodes where node.takesTasks && node.suits(service.spec.task, constraints) {
            let place = Place.node(node.id)
            if isJob, isDone(place) {
                dropRivals(at: place)
                continue
            }
            if !isOccupied(place, of: service) { make(service, at: place, random: &random) }
        }
    }

    // MARK: Restarts

    /// Whether the policy lets another task follow one that ended, or that lost its node.
    func mayFollow(_ task: ServiceTask) -> Bool {
        let policy = task.policy
        if task.jobIteration != nil, task.status.state == .complete { return false }
        switch policy.condition {
        case .none: return false
        case .onFailure where task.status.state == .complete: return false
        case .onFailure, .any: break
        }
        guard policy.maxAttempts > 0, task.endedByItself else { return true }
        let former = (tasks.places[task.place] ?? []).filter { other in
            other.id != task.id && other.specVersion == task.specVersion && other.jobIteration == task.jobIteration
                && other.endedByItself && other.desiredState != .remove
                && (policy.window == 0 || task.status.at - other.status.at <= .nanoseconds(policy.window))
        }
        return UInt64(former.count) < policy.maxAttempts
    }
}
