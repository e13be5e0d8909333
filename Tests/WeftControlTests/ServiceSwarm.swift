import Testing
import WeftControl
import WeftModel
import WeftNet

extension Swarm {
    /// A swarm whose nodes have an engine, and workers that are ready: w1, w2, …
    static func withWorkers(_ count: Int, change: (inout NodeDescription) -> Void = { _ in }) throws -> Swarm {
        var swarm = try Swarm()
        for number in 1...count { try swarm.addWorker(number, change) }
        return swarm
    }

    @discardableResult
    mutating func addWorker(_ number: Int, _ change: (inout NodeDescription) -> Void = { _ in }) throws -> NodeID {
        let id = try admit("w\(number)")
        connect(id)
        try helloWithEngine(id, change)
        return id
    }

    mutating func helloWithEngine(_ node: NodeID, _ change: (inout NodeDescription) -> Void = { _ in }) throws {
        var description = Self.description("host-\(node)")
        description.engineVersion = "28.0"
        description.nanoCPUs = 8_000_000_000
        description.memoryBytes = 16 << 30
        change(&description)
        let number = Int(node.rawValue.dropFirst()) ?? 0
        say(
            .hello(
                description, dataPathAddress: try address("172.30.\(number / 250).\(2 + number % 250)"), appliedRevision: .none,
                endpoints: []),
            as: node)
    }

    /// Time passes, and nodes that have a session are heard.
    mutating func live(_ seconds: Int) {
        for _ in 0..<seconds {
            for node in replica.nodes where isConnected(node.id) { say(.heartbeat(appliedRevision: .none), as: node.id) }
            pass(.seconds(1))
        }
    }

    mutating func comeBack(_ node: NodeID) throws {
        connect(node)
        try helloWithEngine(node)
    }

    mutating func serve(_ name: String, _ mode: ServiceMode = .replicated(1), _ change: (inout ServiceSpec) -> Void = { _ in }) throws
        -> Service
    {
        var spec = ServiceSpec(name: name, task: TaskSpec(container: ContainerSpec(image: "app:1")))
        spec.mode = mode
        change(&spec)
        guard case .service(let service) = try run(.createService(spec)) else { throw Unexpected(what: "reply") }
        return service
    }

    func service(_ id: ServiceID) throws -> Service { try #require(replica[Service.self, id]) }

    @discardableResult
    mutating func update(_ id: ServiceID, _ change: (inout ServiceSpec) -> Void) throws -> Service {
        let service = try service(id)
        var spec = service.spec
        change(&spec)
        guard case .service(let updated) = try run(.updateService(id, version: service.version, spec)) else {
            throw Unexpected(what: "reply")
        }
        return updated
    }

    mutating func setNode(_ id: NodeID, _ change: (inout NodeSpec) -> Void) throws {
        let node = try #require(replica.node(id))
        var spec = node.spec
        change(&spec)
        _ = try run(.updateNode(id, version: node.version, spec))
    }

    func tasks(_ service: ServiceID) -> [ServiceTask] {
        replica.all(ServiceTask.self).filter { $0.service == service }.sorted {
            ($0.slot, $0.createdAt, $0.id) < ($1.slot, $1.createdAt, $1.id)
        }
    }

    /// Those that are to run.
    func wanted(_ service: ServiceID) -> [ServiceTask] { tasks(service).filter { $0.desiredState < .shutdown } }

    /// The node says this of the task.
    mutating func report(_ task: ServiceTask, _ state: TaskState, problem: String? = nil) throws {
        var status = TaskStatus(state: state, at: now, message: state.name)
        status.problem = problem
        say(.tasksChanged([TaskReport(task: task.id, status: status)]), as: try #require(task.node))
    }

    /// Nodes that are there do what is wanted of their tasks, until nothing changes any more.
    mutating func obey(except idle: Set<NodeID> = []) throws {
        for _ in 0..<100 {
            var changed = false
            for task in replica.all(ServiceTask.self) {
                guard let node = task.node, isConnected(node), !idle.contains(node), let state = task.next else { continue }
                try report(task, state)
                changed = true
            }
            if !changed { return }
        }
        throw Unexpected(what: "tasks change without end")
    }
}

extension ServiceTask {
    /// What a node that does what it is told says next.
    var next: TaskState? {
        guard status.state >= .assigned, status.state <= .running else { return nil }
        switch desiredState {
        case .ready: return status.state < .ready ? .ready : nil
        case .running: return status.state < .running ? .running : nil
        case .complete: return status.state < .running ? .running : .complete
        case .shutdown, .remove: return .shutdown
        default: return nil
        }
    }
}
