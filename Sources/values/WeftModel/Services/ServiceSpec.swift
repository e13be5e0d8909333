/// What the operator said about a service. Field by field what Docker calls ServiceSpec; which of it is honoured, and which refused,
/// says docs/operating/service-spec.md.
package struct ServiceSpec: Hashable, Sendable, Codable {
    package var name: String
    package var labels: [String: String] = [:]
    package var task: TaskSpec
    package var mode = ServiceMode.replicated(1)
    /// Nil: as by default (`UpdateConfig.init`).
    package var update: UpdateConfig?
    package var rollback: UpdateConfig?
    /// Nil where nothing was said; then VIPs, and no ports.
    package var endpoint: ServiceEndpointSpec?

    package init(name: String, task: TaskSpec) {
        self.name = name
        self.task = task
    }
}

/// How many tasks there are to be, and whether they end.
package enum ServiceMode: Hashable, Sendable, Codable {
    case replicated(UInt64)
    /// One on every node that it may run on.
    case global
    /// `total` tasks that end well, at most `concurrent` at a time.
    case replicatedJob(concurrent: UInt64, total: UInt64)
    /// One that ends well on every node that it may run on.
    case globalJob

    package var isJob: Bool {
        switch self {
        case .replicated, .global: false
        case .replicatedJob, .globalJob: true
        }
    }

    package var isGlobal: Bool {
        switch self {
        case .global, .globalJob: true
        case .replicated, .replicatedJob: false
        }
    }
}

/// How tasks are replaced when the service changes.
package struct UpdateConfig: Hashable, Sendable, Codable {
    package enum FailureAction: String, Hashable, Sendable, Codable { case pause, `continue`, rollback }
    package enum Order: String, Hashable, Sendable, Codable {
        case stopFirst = "stop-first"
        case startFirst = "start-first"
    }

    /// At a time; 0: all at once.
    package var parallelism: UInt64 = 1
    /// Between one and the next, in nanoseconds.
    package var delay: Int64 = 0
    package var failureAction = FailureAction.pause
    /// How long after its start a new task's end counts against the update, in nanoseconds.
    package var monitor: Int64 = 5_000_000_000
    /// Of the tasks that were replaced, 0...1.
    package var maxFailureRatio: Double = 0
    package var order = Order.stopFirst

    package init() {}
}

/// How a service is found and reached.
package struct ServiceEndpointSpec: Hashable, Sendable, Codable {
    package enum Mode: String, Hashable, Sendable, Codable { case vip, dnsrr }

    package var mode = Mode.vip
    package var ports: [PortConfig] = []

    package init() {}
}

/// A port of a service that is published.
package struct PortConfig: Hashable, Sendable, Codable {
    package enum Transport: String, Hashable, Sendable, Codable, CaseIterable { case tcp, udp, sctp }
    /// `ingress`: at every node, `host`: at the nodes that have a task.
    package enum Mode: String, Hashable, Sendable, Codable { case ingress, host }

    package var name = ""
    package var transport = Transport.tcp
    /// 1...65535.
    package var target: UInt16
    /// 0: one is chosen, of 30000...32767.
    package var published: UInt16 = 0
    package var mode = Mode.ingress

    package init(target: UInt16) { self.target = target }
}

/// What a task is to be. A task has the one that its service had when it was made.
package struct TaskSpec: Hashable, Sendable, Codable {
    /// Who runs it: a container engine, or Weft itself, as a sandbox.
    package enum Runtime: String, Hashable, Sendable, Codable { case container, sandbox }

    package var runtime = Runtime.container
    package var container: ContainerSpec
    package var reservations = ResourceAmounts()
    package var limits = ResourceAmounts()
    /// Nil: as by default (`RestartPolicy.init`).
    package var restart: RestartPolicy?
    package var placement = Placement()
    package var networks: [TaskNetwork] = []
    /// Nil: as the engine does.
    package var logDriver: LogDriver?
    /// Another number than before replaces the tasks, though nothing else changed.
    package var forceUpdate: UInt64 = 0

    package init(container: ContainerSpec) { self.container = container }
}

/// What only the operators of nodes know of, such as graphics cards: so many of a kind, or one by its name.
package struct GenericResource: Hashable, Sendable, Codable {
    package enum Amount: Hashable, Sendable, Codable {
        case count(Int64)
        case named(String)
    }

    package let kind: String
    package let amount: Amount

    package init(kind: String, _ amount: Amount) {
        self.kind = kind
        self.amount = amount
    }
}

/// Resources that a task needs, or may have at most.
package struct ResourceAmounts: Hashable, Sendable, Codable {
    /// 0: nothing said.
    package var nanoCPUs: Int64 = 0
    /// 0: nothing said.
    package var memoryBytes: Int64 = 0
    /// Processes, a limit only; 0: nothing said.
    package var pids: Int64 = 0
    /// To be reserved only; nil: nothing said.
    package var generic: [GenericResource]?
    package init() {}
}

/// What follows the end of a task.
package struct RestartPolicy: Hashable, Sendable, Codable {
    package enum Condition: String, Hashable, Sendable, Codable, CaseIterable {
        case none, any
        case onFailure = "on-failure"
    }

    package var condition = Condition.any
    /// Between the end of a task and the start of the one in its place, in nanoseconds.
    package var delay: Int64 = 5_000_000_000
    /// 0: as often as needed.
    package var maxAttempts: UInt64 = 0
    /// Time within which attempts are counted, in nanoseconds; 0: all count.
    package var window: Int64 = 0

    package init() {}
}

/// Where tasks may run, and where they rather do.
package struct Placement: Hashable, Sendable, Codable {
    /// As written: `node.labels.disk == ssd`.
    package var constraints: [String] = []
    /// Labels over whose values tasks are spread, the first one's first: `node.labels.zone`.
    package var spreads: [String] = []
    /// 0: as many as come.
    package var maxReplicasPerNode: UInt64 = 0
    /// Nodes of any if empty.
    package var platforms: [Platform] = []

    package init() {}
}

package struct Platform: Hashable, Sendable, Codable {
    /// Empty: any.
    package var architecture: String
    package var os: String

    package init(architecture: String, os: String) {
        self.architecture = architecture
        self.os = os
    }
}

/// A network that a task is on.
package struct TaskNetwork: Hashable, Sendable, Codable {
    /// A network's id, or `host`, `bridge`, `none`.
    package var target: String
    package var aliases: [String] = []
    package var driverOptions: [String: String] = [:]

    package init(target: String) { self.target = target }
}

package struct LogDriver: Hashable, Sendable, Codable {
    package var name: String
    package var options: [String: String]

    package init(name: String, options: [String: String] = [:]) {
        self.name = name
        self.options = options
    }
}
