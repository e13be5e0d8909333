package enum TaskTag: Identified {}
package typealias TaskID = Identifier<TaskTag>

/// Where a task is on its way. It goes from one to a later one and never back; what comes after a task that ended is another task.
package enum TaskState: Int, Hashable, Sendable, Codable, Comparable, CaseIterable {
    /// There is nothing but the record.
    case new = 0
    /// Addresses and ports are there; it waits for a node.
    case pending = 64
    /// It has a node.
    case assigned = 192
    /// The node knows.
    case accepted = 256
    /// The node gets the image, makes the container.
    case preparing = 320
    case ready = 384
    case starting = 448
    /// In use: healthy, if there is a health check.
    case running = 512
    /// Ended well.
    case complete = 576
    /// Ended because it was to.
    case shutdown = 640
    case failed = 704
    /// The node could not run it.
    case rejected = 768
    /// Only wanted, never observed: its record is to go once it has ended.
    case remove = 800
    /// Its node is gone for long.
    case orphaned = 832

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    /// Nothing of it runs, nor will.
    package var isOver: Bool { self > .running }

    /// As in the Engine API.
    package var name: String { String(describing: self) }
    package init?(name: String) {
        guard let state = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = state
    }
}

/// What a node saw of a task.
package struct TaskStatus: Hashable, Sendable, Codable {
    package var state: TaskState
    package var at: Instant
    /// What happened, in a few words.
    package var message: String
    /// Why it did not go on: a sentence.
    package var problem: String?
    /// The engine's id of the container, or the sandbox's.
    package var container: String?
    /// Its first process, as the host sees it.
    package var pid: Int?
    package var exitCode: Int?
    /// Published in `host` mode, each with its number.
    package var ports: [PortConfig] = []

    package init(state: TaskState, at: Instant, message: String) {
        self.state = state
        self.at = at
        self.message = message
    }
}

/// One run of what a service is to do, on one node. Its addresses are its endpoints'.
package struct ServiceTask: StoredValue, AssignedValue {
    package static let kind = StoreKind("task", rank: 60)
    /// Credentials for a registry.
    package static let hasSecrets = true
    /// Its node's, once it is to run there: a global service's task has its node before it is known to fit.
    package var audience: Audience {
        guard let node, status.state >= .assigned else { return .managers }
        return .node(node)
    }

    /// What its node saw of it that node need not be told, but for its end: who lost what it kept must not begin the task anew, and
    /// one that was given up ends.
    package func isNews(since old: ServiceTask) -> Bool {
        if status.state.isOver, status.state != old.status.state { return true }
        var seen = self
        seen.version = old.version
        seen.updatedAt = old.updatedAt
        seen.status = old.status
        seen.startedAt = old.startedAt
        return seen != old
    }

    package let id: TaskID
    package var version: Version
    package let createdAt: Instant
    package var updatedAt: Instant
    package let service: ServiceID
    /// 1…replicas, in whose place at most one task is wanted running; 0 of a global service, whose nodes are its slots.
    package let slot: UInt64
    package var node: NodeID?
    /// As the service's was when it was made, or as a later one that asks the same of it.
    package var spec: TaskSpec { _read { yield sharedSpec.value } }
    /// Where `spec` lies. Tasks of a service have it alike.
    package private(set) var sharedSpec: Shared<TaskSpec>
    /// Whose `spec` is so: `Service.specVersion`.
    package private(set) var specVersion: Version
    /// `Service.jobIteration` it was made in.
    package let jobIteration: UInt64?
    /// What containers and endpoints are called by.
    package let serviceName: String
    package let serviceLabels: [String: String]
    package let mode: ServiceEndpointSpec.Mode
    /// All of the service's, so that the node knows what to wait for and publish.
    package var ports: [PortConfig]
    package var desiredState: TaskState
    package var status: TaskStatus
    /// When its node first saw it running, by that node's clock.
    package var startedAt: Instant?

    package init(
        id: TaskID, createdAt: Instant, of service: Service, slot: UInt64, node: NodeID?, desiredState: TaskState,
        status: TaskStatus
    ) {
        self.id = id
        version = .none
        self.createdAt = createdAt
        updatedAt = createdAt
        self.service = service.id
        self.slot = slot
        self.node = node
        sharedSpec = Shared(service.spec.task)
        specVersion = service.specVersion
        jobIteration = service.spec.mode.isJob ? service.jobIteration : nil
        serviceName = service.spec.name
        serviceLabels = service.spec.labels
        mode = service.spec.endpoint?.mode ?? .vip
        ports = service.ports
        self.desiredState = desiredState
        self.status = status
    }

    /// Where another task has the same spec, this one has it there too.
    package mutating func share(_ other: Shared<TaskSpec>) { if other == sharedSpec { sharedSpec = other } }

    private enum CodingKeys: String, CodingKey {
        case id, version, createdAt, updatedAt, service, slot, node, specVersion, jobIteration, serviceName, serviceLabels, mode, ports
        case desiredState, status, startedAt
        case sharedSpec = "spec"
    }

    /// A newer spec, or an earlier one again, asks nothing else of it than where it may be, and how its image is got.
    package mutating func adopt(_ newer: TaskSpec, of version: Version) {
        sharedSpec.value.placement = newer.placement
        sharedSpec.value.container.registryCredentials = newer.container.registryCredentials
        specVersion = version
    }

    package static func kept(_ delta: Delta<ServiceTask>) -> Delta<ServiceTask> {
        var kept = delta
        for index in kept.put.indices where kept.put[index].spec.container.registryCredentials != nil {
            kept.put[index].sharedSpec.value.container.registryCredentials = Secret("")
        }
        return kept
    }

    /// Its image is still to be got, with credentials that a manager must say again.
    package var lacksCredentials: Bool { status.state < .ready && spec.container.registryCredentials?.exposed.isEmpty == true }

    /// `web.2.<id>`, of a global service `web.<node>.<id>`: what Docker calls a task's container.
    package var name: String {
        "\(serviceName).\(slot == 0 ? node?.rawValue ?? "" : String(slot)).\(id)"
    }
}

/// What a node tells its manager of one of its tasks.
package struct TaskReport: Hashable, Sendable {
    package var task: TaskID
    package var status: TaskStatus

    package init(task: TaskID, status: TaskStatus) {
        self.task = task
        self.status = status
    }
}

/// Whose backend an endpoint is.
package struct ServingTask: Hashable, Sendable, Codable {
    package enum Rotation: String, Hashable, Sendable, Codable {
        /// Not ready yet.
        case waiting
        case serving
        /// About to stop: new connections go elsewhere.
        case draining
    }

    package var service: ServiceID
    package var task: TaskID
    package var slot: UInt64
    package var rotation: Rotation

    package init(service: ServiceID, task: TaskID, slot: UInt64, rotation: Rotation = .waiting) {
        self.service = service
        self.task = task
        self.slot = slot
        self.rotation = rotation
    }
}
