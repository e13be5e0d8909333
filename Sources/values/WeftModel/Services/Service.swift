package import WeftNet

package enum ServiceTag: Identified {}
package typealias ServiceID = Identifier<ServiceTag>

/// A service: the spec, and what the allocator and the updater know of it.
package struct Service: StoredValue {
    package static let kind = StoreKind("service", rank: 35)
    /// Credentials for a registry, in both specs.
    package static let hasSecrets = true
    package var audience: Audience { .everyNode }

    package let id: ServiceID
    package var version: Version
    package let createdAt: Instant
    package var updatedAt: Instant
    package var spec: ServiceSpec
    /// What `rollback` goes back to.
    package var previousSpec: ServiceSpec?
    /// When `spec.task` last changed, as the version of then; tasks with an older one are to be replaced.
    package var specVersion: Version
    package var previousSpecVersion: Version?
    /// One for each of its networks, and one on the ingress network if a port is published there; none with `dnsrr`, or where
    /// there was no address yet.
    package var addresses: [VirtualAddress] = []
    /// Those of the spec, each with its number; while they are not all to be had, what it had before.
    package var ports: [PortConfig] = []
    /// Why addresses or ports are missing: a sentence.
    package var problem: String?
    package var updateStatus: UpdateStatus?
    /// Which run of a job it is: an update begins another.
    package var jobIteration: UInt64 = 0
    package var jobStartedAt: Instant?

    package init(id: ServiceID, version: Version = .none, createdAt: Instant, spec: ServiceSpec) {
        self.id = id
        self.version = version
        self.createdAt = createdAt
        self.updatedAt = createdAt
        self.spec = spec
        self.specVersion = version
    }
}

/// A service's address on one network.
package struct VirtualAddress: Hashable, Sendable, Codable {
    package var network: NetworkID
    package var ipv4: IPv4Address
    /// Nil on networks without IPv6.
    package var ipv6: IPv6Address?

    package init(network: NetworkID, ipv4: IPv4Address, ipv6: IPv6Address? = nil) {
        self.network = network
        self.ipv4 = ipv4
        self.ipv6 = ipv6
    }
}

/// How far an update or a rollback is.
package struct UpdateStatus: Hashable, Sendable, Codable {
    package enum State: String, Hashable, Sendable, Codable {
        case updating, paused, completed
        case rollbackStarted = "rollback_started"
        case rollbackPaused = "rollback_paused"
        case rollbackCompleted = "rollback_completed"
    }

    package var state: State
    package var startedAt: Instant
    package var completedAt: Instant?
    package var message: String

    package init(state: State, startedAt: Instant, message: String) {
        self.state = state
        self.startedAt = startedAt
        self.message = message
    }
}

/// What every node knows of a service: how it is found.
package struct ServiceView: AssignedValue {
    package static let kind = Service.kind

    package let id: ServiceID
    package var name: String
    package var mode: ServiceEndpointSpec.Mode
    package var networks: [TaskNetwork]
    package var addresses: [VirtualAddress]
    /// Those that are published at every node.
    package var ports: [PortConfig]
    /// How connections are spread, and where its ports are published for whom.
    package var labels: [String: String]

    package init(_ service: Service) {
        id = service.id
        name = service.spec.name
        mode = service.spec.endpoint?.mode ?? .vip
        networks = service.spec.task.networks
        addresses = service.addresses
        ports = service.ports.filter { $0.mode == .ingress }
        labels = service.spec.labels.filter { $0.key.hasPrefix(Self.labelPrefix) || $0.key.hasPrefix(IngressLabels.prefix) }
    }

    /// Labels of a service that say how it is balanced.
    package static let labelPrefix = "weft.balance."
}

extension Service {
    package func assigned(to receiver: Receiver) -> ServiceView? { ServiceView(self) }
    /// How far an update is, and much of the spec, is the managers' alone.
    package func isNews(since old: Service) -> Bool { ServiceView(self) != ServiceView(old) }
    package var mode: ServiceMode { spec.mode }
}
