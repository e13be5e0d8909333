import Testing
import WeftControl
import WeftModel
import WeftNet

/// Services, nodes and a manager to whom anything may happen, under a seed.
struct ServiceWorld {
    var swarm: Swarm
    var random: Swarm.Steps
    /// What nodes have, whoever knows of it.
    private var truth: [TaskID: TaskState] = [:]
    /// Reports that are on their way.
    private var reports: [(node: NodeID, report: TaskReport)] = []
    private var connected: Set<NodeID> = []
    private var seen: [TaskID: (state: TaskState, desired: TaskState)] = [:]
    private let nodes: [NodeID]
    private let networks: [Network]
    private var names = 0
    private(set) var trail: [String] = []

    init(seed: UInt64) throws {
        random = Swarm.Steps(state: seed &* 0x9E37_79B9_7F4A_7C15 | 1)
        var spec = ClusterSpec()
        spec.taskHistoryRetentionLimit = [5, 1, 0][Int(seed % 3)]
        swarm = try Swarm(spec: spec)
        nodes = (1...4).map { NodeID("w\($0)") }
        networks = [try swarm.create("one"), try swarm.create("two") { $0.ipam6 = IPAMConfig(subnet: IPv6Prefix("fd00:9::/64")) }]
        for (index, node) in nodes.enumerated() {
            try swarm.addWorker(index + 1)
            connected.insert(node)
            try swarm.setNode(node) { $0.labels["zone"] = index % 2 == 0 ? "a" : "b" }
        }
    }

    private mutating func pick<Value>(_ values: [Value]) -> Value? { values.randomElement(using: &random) }
    private mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }
    var services: [Service] { swarm.replica.all(Service.self) }
    var tasks: [ServiceTask] { swarm.replica.all(ServiceTask.self) }

    // MARK: What happens

    mutating func step() throws {
        switch Int.random(in: 0..<20, using: &random) {
        case 0, 1: if services.count < 5 { try create() }
        case 2, 3: try change()
        case 4: try remove()
        case 5: try setAvailability()
        case 6: disconnect()
        case 7, 8: try reconnect()
        case 9: failSomething()
        case 10: restart()
        case 11, 12: pass(Int.random(in: 1...12, using: &random))
        default: try work(few: true)
        }
        try check()
    }

    private mutating func create() throws {
        names += 1
        let mode: ServiceMode =
            switch Int.random(in: 0..<6, using: &random) {
            case 0: .global
            case 1: .replicatedJob(concurrent: 2, total: 4)
            case 2: .globalJob
            default: .replicated(UInt64.random(in: 0...6, using: &random))
            }
        var spec = ServiceSpec(name: "s\(names)", task: TaskSpec(container: ContainerSpec(image: "good")))
        spec.mode = mode
        if chance(30) { spec.task.placement.constraints = [chance(50) ? "node.labels.zone == a" : "node.labels.zone != a"] }
        if chance(30) { spec.task.reservations.memoryBytes = 1 << 30 }
        spec.task.networks = networks.filter { _ in chance(50) }.map { TaskNetwork(target: $0.id.rawValue) }
        if !mode.isJob {
            spec.update = try config()
            spec.rollback = try config()
            if chance(30) {
                spec.endpoint = ServiceEndpointSpec()
                spec.endpoint?.ports = [PortConfig(target: 80)]
                spec.endpoint?.ports[0].mode = chance(50) ? .ingress : .host
                if spec.endpoint?.ports[0].mode == .host {
                    spec.endpoint?.ports[0].published = 9000 + UInt16(names)
                    // The new task could not have the port while the old one has it.
                    spec.update?.order = .stopFirst
                    spec.rollback?.order = .stopFirst
                }
            }
        }
        trail.append("create \(spec.name) \(spec.mode)")
        _ = try swarm.run(.createService(spec))
    }

    private mutating func config() throws -> UpdateConfig {
        var config = UpdateConfig()
        config.parallelism = UInt64.random(in: 0...3, using: &random)
        config.delay = chance(50) ? 0 : 3_000_000_000
        config.monitor = chance(50) ? 0 : 4_000_000_000
        config.failureAction = try #require(pick([.pause, .continue, .rollback]))
        config.order = chance(50) ? .stopFirst : .startFirst
        return config
    }

    private mutating func change() throws {
        guard let service = pick(services) else { return }
        var spec: ServiceSpec? = service.spec
        switch Int.random(in: 0..<6, using: &random) {
        case 4: spec?.task.placement.constraints = try #require(pick([[], ["node.labels.zone == a"], ["node.labels.zone != a"]]))
        case 5:
            spec?.labels["a"] = String(Int.random(in: 0...9, using: &random))
            // With a port at the node the new task could not be beside the old one.
            if service.spec.endpoint?.ports.contains(where: { $0.mode == .host }) != true { spec?.update?.order = chance(50) ? .stopFirst : .startFirst }
        case 0: if case .replicated = service.spec.mode { spec?.mode = .replicated(UInt64.random(in: 0...6, using: &random)) }
        case 1: spec?.task.container.image = chance(30) ? "bad" : "good"
        case 2: spec?.task.forceUpdate += 1
        default: if service.previousSpec != nil { spec = nil }
        }
        trail.append("update \(service.spec.name) to \(spec.map { "\($0.mode) \($0.task.container.image) \($0.task.placement.constraints)" } ?? "the one before")")
        _ = try swarm.run(.updateService(service.id, version: service.version, spec))
    }

    private mutating func remove() throws {
        guard chance(40), let service = pick(services) else { return }
        trail.append("remove \(service.spec.name)")
        _ = try swarm.run(.removeService(service.id))
    }

    private mutating func setAvailability() throws {
        guard let node = pick(nodes), let availability = pick([NodeAvailability.active, .active, .pause, .drain]) else { return }
        trail.append("\(node) \(availability)")
        try swarm.setNode(node) { $0.availability = availability }
    }

    private mutating func disconnect() {
        guard let node = pick(connected.sorted()) else { return }
        trail.append("\(node) loses its session")
        swarm.disconnect(node)
        connected.remove(node)
        reports.removeAll { $0.node == node }
    }

    private mutating func reconnect() throws {
        guard let node = pick(nodes.filter { !connected.contains($0) }) else { return }
        trail.append("\(node) is back")
        try swarm.comeBack(node)
        connected.insert(node)
        let own = tasks.filter { $0.node == node && truth[$0.id] != nil }
        for task in own { report(task, on: node) }
    }

    private mutating func failSomething() {
        guard let task = pick(tasks.filter { truth[$0.id] == .running }), let node = task.node else { return }
        trail.append("\(task.name) fails")
        truth[task.id] = .failed
        report(task, on: node)
    }

    private mutating func restart() {
        guard chance(50) else { return }
        trail.append("another manager")
        swarm.restart()
        connected = []
        reports = []
    }

    private mutating func pass(_ seconds: Int) {
        for _ in 0..<seconds {
            for node in connected.sorted() { swarm.say(.heartbeat(appliedRevision: .none), as: node) }
            swarm.pass(.seconds(1))
        }
    }

    // MARK: Nodes

    private mutating func report(_ task: ServiceTask, on node: NodeID) {
        guard let state = truth[task.id], connected.contains(node) else { return }
        reports.append((node, TaskReport(task: task.id, status: TaskStatus(state: state, at: swarm.now, message: state.name))))
    }

    /// Nodes do some of what they are told, and some of what they say arrives, in any order.
    mutating func work(few: Bool) throws {
        for task in tasks {
            guard let node = task.node, connected.contains(node), !few || chance(60) else { continue }
            var known = task
            known.status.state = max(task.status.state, truth[task.id] ?? .new)
            guard var next = known.next else {
                if let state = truth[task.id], state > task.status.state, !few { report(task, on: node) }
                continue
            }
            if next == .running, task.spec.container.image == "bad" { next = .failed }
            truth[task.id] = next
            report(task, on: node)
        }
        for _ in 0..<(few ? reports.count / 2 : reports.count) {
            let next = reports.remove(at: Int.random(in: 0..<reports.count, using: &random))
            swarm.say(.tasksChanged([next.report]), as: next.node)
            try check()
        }
    }

    /// Everything is well for long enough.
    mutating func heal() throws {
        for node in nodes {
            if !connected.contains(node) {
                try swarm.comeBack(node)
                connected.insert(node)
            }
            try swarm.setNode(node) { $0.availability = .active }
        }
        for _ in 0..<60 {
            try work(few: false)
            pass(2)
        }
        try check()
    }

    // MARK: What always holds

    private struct Broken: Error { let what: String }

    private func demand(_ holds: Bool, _ what: @autoclosure () -> String) throws {
        if !holds { throw Broken(what: what() + " after: " + trail.suffix(25).joined(separator: "; ")) }
    }

    mutating func check() throws {
        let tasks = tasks
        for task in tasks {
            if let before = seen[task.id] {
                try demand(before.state <= task.status.state, "\(task.name) went from \(before.state) to \(task.status.state)")
                try demand(before.desired <= task.desiredState, "\(task.name) was wanted \(before.desired), and is \(task.desiredState)")
            }
            seen[task.id] = (task.status.state, task.desiredState)
        }
        try checkPlaces(tasks)
        try checkNodes(tasks)
        try checkAddresses()
    }

    private func checkPlaces(_ tasks: [ServiceTask]) throws {
        for service in services {
            let wanted = tasks.filter { $0.service == service.id && $0.desiredState < .shutdown && !$0.status.state.isOver }
            let places = Dictionary(grouping: wanted) { $0.slot > 0 ? String($0.slot) : $0.node?.rawValue ?? "" }
            let isOverlapping = [service.spec.update, service.spec.rollback, service.previousSpec?.update].contains {
                $0?.order == .startFirst
            }
            if !isOverlapping {
                try demand(places.values.allSatisfy { $0.count == 1 }, "\(service.spec.name) has a place with two tasks")
            }
            switch service.spec.mode {
            case .replicated(let count): try demand(places.count <= count, "\(service.spec.name) has \(places.count) places of \(count)")
            case .replicatedJob(let concurrent, _): try demand(places.count <= concurrent, "\(service.spec.name) runs \(places.count)")
            case .global, .globalJob: try demand(places.count <= nodes.count, "\(service.spec.name) is on \(places.count) nodes")
            }
        }
    }

    private func checkNodes(_ tasks: [ServiceTask]) throws {
        for node in nodes {
            let record = try #require(swarm.replica.node(node))
            let own = tasks.filter { $0.node == node && $0.status.state >= .assigned && !$0.status.state.isOver }
            let memory = own.reduce(0) { $0 + $1.spec.reservations.memoryBytes }
            try demand(memory <= record.description?.memoryBytes ?? 0, "\(node) has more than it can have")
            let ports = own.flatMap(\.ports).filter { $0.mode == .host }.map(\.published)
            try demand(Set(ports).count == ports.count, "\(node) has a port twice")
            for task in own where task.desiredState < .shutdown {
                for constraint in task.spec.placement.constraints {
                    let isIn = record.spec.labels["zone"] == "a"
                    try demand(isIn == constraint.contains("=="), "\(task.name) is on \(node), which is not for it")
                }
                try demand(record.spec.availability != .drain && record.state != .down, "\(task.name) stays on \(node)")
            }
        }
    }

    private func checkAddresses() throws {
        let leases = swarm.replica.leases
        var addresses: Set<String> = []
        for service in services {
            for address in service.addresses {
                let network = try #require(swarm.replica.network(address.network))
                try demand(network.subnet.contains(address.ipv4), "\(address.ipv4) is not of \(network.subnet)")
                try demand((network.subnet6 == nil) == (address.ipv6 == nil), "\(service.spec.name) lacks a family")
                for text in ["\(address.ipv4)"] + (address.ipv6.map { ["\($0)"] } ?? []) {
                    try demand(addresses.insert("\(address.network) \(text)").inserted, "\(text) is given twice")
                    try demand(
                        leases.contains { $0.node.rawValue == service.id.rawValue && "\($0.block.network)" == text && $0.block.isSingle },
                        "\(text) is not leased")
                }
            }
        }
    }

    // MARK: What comes of it

    func demandConvergence() throws {
        for service in services {
            let own = tasks.filter { $0.service == service.id && $0.desiredState < .shutdown }
            let places = nodes.filter { node in
                service.spec.task.placement.constraints.allSatisfy { constraint in
                    (swarm.replica.node(node)?.spec.labels["zone"] == "a") == constraint.contains("==")
                }
            }
            let expected: Int
            switch service.spec.mode {
            case .replicated(let count):
                let isAlone = service.spec.endpoint?.ports.contains { $0.mode == .host } ?? false
                expected = min(Int(count), isAlone ? places.count : .max)
            case .global, .globalJob: expected = places.count
            case .replicatedJob(_, let total): expected = Int(total)
            }
            try demand(service.problem == nil, "\(service.spec.name): \(service.problem ?? "")")
            if service.spec.task.container.image == "bad" { continue }
            if service.updateStatus.map({ [.paused, .rollbackPaused].contains($0.state) }) ?? false { continue }
            func story() -> String {
                let all = tasks.filter { $0.service == service.id }.map {
                    "\($0.slot) on \($0.node?.rawValue ?? "-"): \($0.desiredState)/\($0.status.state) \(truth[$0.id].map(\.name) ?? "") \($0.status.problem ?? "")"
                }
                return "\(all), nodes \(swarm.replica.nodes.map { "\($0.id) \($0.state) \(swarm.isConnected($0.id))" })"
            }
            let ready =
                service.spec.mode.isJob
                ? Set(
                    tasks.filter { $0.service == service.id && $0.status.state == .complete }.map {
                        "\($0.slot) \($0.slot == 0 ? $0.node?.rawValue ?? "" : "")"
                    }
                ).count
                : own.count { $0.status.state == .running }
            try demand(
                ready == expected,
                "\(service.spec.name) (\(service.spec.mode)) has \(ready) of \(expected): \(story())")
            try demand(
                own.allSatisfy { $0.status.state == .pending || $0.specVersion == service.specVersion || service.spec.mode.isJob },
                "\(service.spec.name) has old tasks")
            // An update waits for a place that has lost its task and finds no node for the next.
            if let state = service.updateStatus?.state, !own.contains(where: { $0.status.state == .pending }) {
                try demand([.completed, .rollbackCompleted].contains(state), "\(service.spec.name) is still \(state): \(story())")
            }
        }
    }

    mutating func removeEverything() throws {
        for service in services { _ = try swarm.run(.removeService(service.id)) }
        try heal()
        try demand(tasks.isEmpty, "tasks are left: \(tasks.map(\.name))")
        let members = Set(swarm.replica.nodes.map(\.id))
        try demand(swarm.replica.leases.allSatisfy { members.contains($0.node) }, "leases are left")
    }
}
