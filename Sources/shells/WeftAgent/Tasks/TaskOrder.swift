package import WeftModel
package import WeftNode

/// A task that is to be made, with all that it needs of its surroundings.
package struct TaskOrder: Sendable {
    package let task: ServiceTask
    package let files: [TaskFile]
    package let node: TaskNode
    /// In the spec's order; the one of published ports last.
    package let networks: [Network]

    package init(task: ServiceTask, files: [TaskFile], node: TaskNode, networks: [Network]) {
        self.task = task
        self.files = files
        self.node = node
        self.networks = networks
    }

    /// Its endpoints-to-be, nobody's backends yet.
    package var endpoints: [EndpointSpec] {
        let serving = ServingTask(service: task.service, task: task.id, slot: task.slot)
        return networks.map { EndpointSpec(network: $0.id, task: serving) }
    }
}

/// The node, as templates tell of it.
package struct TaskNode: Hashable, Sendable {
    package var id: NodeID
    package var hostname: String
    package var architecture: String

    package init(id: NodeID, hostname: String, architecture: String) {
        self.id = id
        self.hostname = hostname
        self.architecture = architecture
    }
}

extension TaskOrder {
    /// What the agent knows of it. Throws `TaskFailure` where a network is not, or no longer.
    init(_ task: ServiceTask, _ files: [TaskFile], by machine: NodeMachine) throws {
        var networks: [Network] = []
        for target in task.spec.networks.map(\.target) where !Self.isLocal(target) {
            guard let network = machine.network(NetworkID(target)) else {
                throw TaskFailure("network \(target) not found")
            }
            networks.append(network)
        }
        if task.ports.contains(where: { $0.mode == .ingress }) {
            guard let ingress = machine.networks.first(where: \.spec.ingress) else {
                throw TaskFailure("there is no ingress network, by which ports are published")
            }
            if !networks.contains(where: { $0.id == ingress.id }) { networks.append(ingress) }
        }
        let description = machine.nodeDescription
        self.init(
            task: task, files: files,
            node: TaskNode(
                id: machine.id, hostname: description.hostname, architecture: description.architecture),
            networks: networks)
    }

    /// A network of each host's own.
    private static func isLocal(_ target: String) -> Bool { ["host", "bridge", "none"].contains(target) }
}
