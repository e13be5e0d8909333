import WeftModel

/// A port number of one transport protocol.
struct PortNumber: Hashable, Comparable, CustomStringConvertible {
    let transport: PortConfig.Transport
    let number: UInt16

    static func < (left: Self, right: Self) -> Bool {
        (left.transport.rawValue, left.number) < (right.transport.rawValue, right.number)
    }

    var description: String { "\(number)/\(transport.rawValue)" }
}

extension PortConfig {
    /// The number it is published under, nil while it has none.
    var number: PortNumber? { published > 0 ? PortNumber(transport: transport, number: published) : nil }
}

/// What tasks take of a node.
struct NodeLoad: Equatable {
    /// Tasks that are to run.
    var tasks = 0
    var nanoCPUs: Int64 = 0
    var memoryBytes: Int64 = 0
    /// Published there alone, by how many tasks.
    var ports: [PortNumber: Int] = [:]

    fileprivate var isNone: Bool { self == NodeLoad() }
}

/// Services and tasks by what else they are looked for. Kept up to date object by object: nothing here is worked out from all of them.
struct ServiceIndex: Sendable {
    private(set) var names: [String: ServiceID] = [:]
    /// Services that have tasks wherever there is a node.
    private(set) var global: Set<ServiceID> = []
    /// Services that want or have a port at every node, and at the nodes of their tasks.
    private(set) var ingressPorts: [PortNumber: Set<ServiceID>] = [:]
    private(set) var hostPorts: [PortNumber: Set<ServiceID>] = [:]
    private(set) var networkServices: [NetworkID: Set<ServiceID>] = [:]

    private(set) var tasks: [ServiceID: Set<TaskID>] = [:]
    private(set) var nodeTasks: [NodeID: Set<TaskID>] = [:]
    /// Tasks that have not ended, by the networks that they are on.
    private(set) var networkTasks: [NetworkID: Set<TaskID>] = [:]
    private(set) var loads: [NodeID: NodeLoad] = [:]
    /// What tasks of a service and a version of its spec have in common.
    private var specs: [ServiceID: [Version: (spec: Shared<TaskSpec>, tasks: Int)]] = [:]
    /// Nodes with tasks that need a secret or a config, by its id, and how many.
    private(set) var fileUsers: [String: [NodeID: Int]] = [:]

    // MARK: Services

    mutating func insert(_ service: Service) {
        names[service.spec.name] = service.id
        if service.spec.mode.isGlobal { global.insert(service.id) }
        for port in service.claims { claim(port) { $0.insert(service.id) } }
        for network in service.spec.task.networks { networkServices[NetworkID(network.target), default: []].insert(service.id) }
    }

    mutating func remove(_ service: Service) {
        if names[service.spec.name] == service.id { names[service.spec.name] = nil }
        global.remove(service.id)
        for port in service.claims { claim(port) { $0.remove(service.id) } }
        for network in service.spec.task.networks { networkServices.remove(service.id, at: NetworkID(network.target)) }
    }

    private mutating func claim(_ port: PortConfig, _ change: (inout Set<ServiceID>) -> Void) {
        guard let number = port.number else { return }
        switch port.mode {
        case .ingress:
            change(&ingressPorts[number, default: []])
            if ingressPorts[number]?.isEmpty ?? false { ingressPorts[number] = nil }
        case .host:
            change(&hostPorts[number, default: []])
            if hostPorts[number]?.isEmpty ?? false { hostPorts[number] = nil }
        }
    }

    // MARK: Tasks

    /// The same task, whose spec lies where that of the others like it does.
    func shared(_ task: ServiceTask) -> ServiceTask {
        guard let known = specs[task.service]?[task.specVersion]?.spec else { return task }
        var task = task
        task.share(known)
        return task
    }

    private mutating func count(_ sign: Int, specOf task: ServiceTask) {
        let known = specs[task.service]?[task.specVersion]
        let count = (known?.tasks ?? 0) + sign
        specs[task.service, default: [:]][task.specVersion] = count > 0 ? (known?.spec ?? task.sharedSpec, count) : nil
        if specs[task.service]?.isEmpty ?? false { specs[task.service] = nil }
    }

    mutating func insert(_ task: ServiceTask) {
        count(1, specOf: task)
        tasks[task.service, default: []].insert(task.id)
        guard !task.status.state.isOver else {
            if let node = task.node { nodeTasks[node, default: []].insert(task.id) }
            return
        }
        for network in task.spec.networks { networkTasks[NetworkID(network.target), default: []].insert(task.id) }
        guard let node = task.node else { return }
        nodeTasks[node, default: []].insert(task.id)
        if task.mayRun { count(task, on: node, 1) }
    }

    mutating func remove(_ task: ServiceTask) {
        count(-1, specOf: task)
        tasks.remove(task.id, at: task.service)
        if let node = task.node { nodeTasks.remove(task.id, at: node) }
        guard !task.status.state.isOver else { return }
        for network in task.spec.networks { networkTasks.remove(task.id, at: NetworkID(network.target)) }
        if let node = task.node, task.mayRun { count(task, on: node, -1) }
    }

    private mutating func count(_ task: ServiceTask, on node: NodeID, _ sign: Int) {
        var load = loads.removeValue(forKey: node) ?? NodeLoad()
        if task.isWanted { load.tasks += sign }
        load.nanoCPUs += Int64(sign) * task.spec.reservations.nanoCPUs
        load.memoryBytes += Int64(sign) * task.spec.reservations.memoryBytes
        for number in task.hostPorts {
            let uses = load.ports[number, default: 0] + sign
            load.ports[number] = uses == 0 ? nil : uses
        }
        if !load.isNone { loads[node] = load }
        for file in task.files {
            let users = fileUsers[file.id, default: [:]][node, default: 0] + sign
            fileUsers[file.id, default: [:]][node] = users == 0 ? nil : users
            if fileUsers[file.id]?.isEmpty ?? false { fileUsers[file.id] = nil }
        }
    }
}

extension Dictionary {
    fileprivate mutating func remove<Element>(_ element: Element, at key: Key) where Value == Set<Element> {
        self[key]?.remove(element)
        if self[key]?.isEmpty ?? false { self[key] = nil }
    }
}

extension Service {
    /// Ports that it asks for, and those that it has.
    fileprivate var claims: Set<PortConfig> { Set(spec.endpoint?.ports ?? []).union(ports) }
}

extension ServiceTask {
    /// There may be a process of it, or may come to be one.
    var mayRun: Bool { status.state >= .assigned && !status.state.isOver }

    /// It is to run, or soon; of a job: to end well.
    var isWanted: Bool { desiredState < .shutdown }

    /// Numbers that it publishes at its node alone.
    var hostPorts: [PortNumber] { ports.filter { $0.mode == .host }.compactMap(\.number) }
}
