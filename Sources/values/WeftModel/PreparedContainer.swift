package import WeftNet

/// A container of an engine that takes no network driver: its network namespace is made and filled by weftd, and the engine
/// is told to start it there.
package struct PreparedContainer: Hashable, Sendable, Codable {
    /// Names the namespace and the record: the engine's own id comes only once the container is created.
    package let token: String
    /// The engine's id, nil until the container is created.
    package var container: SandboxID?
    package var name: String
    package var hostname: String?
    /// In the order of their interfaces.
    package var attachments: [InterfaceSpec]
    package var ports: [WantedPort]
    /// Servers that names of nobody in the swarm are asked of; the host's when empty.
    package var upstreams: [IPv4Address]
    /// The engine may start it again by itself.
    package var restarts: Bool
    /// The ports as they are published now; empty while the container does not run.
    package var published: [PublishedPort] = []

    package init(
        token: String, name: String, hostname: String? = nil, attachments: [InterfaceSpec], ports: [WantedPort] = [],
        upstreams: [IPv4Address] = [], restarts: Bool = false
    ) {
        self.token = token
        self.name = name
        self.hostname = hostname
        self.attachments = attachments
        self.ports = ports
        self.upstreams = upstreams
        self.restarts = restarts
    }

    /// The first name of the kind ethN that no attachment has.
    package var freeInterface: String {
        let taken = Set(attachments.map(\.interface))
        return (0...taken.count).lazy.map { "eth\($0)" }.first { !taken.contains($0) } ?? "eth\(taken.count)"
    }

    /// What names resolve to the container besides its own.
    package func aliases(on attachment: EndpointSpec) -> [String] {
        var seen: Set = [name]
        let short = container.map { [String($0.rawValue.prefix(12))] } ?? []
        return (attachment.aliases + [hostname].compactMap { $0 } + short).filter { seen.insert($0).inserted }
    }
}

package enum PortProtocol: String, Hashable, Sendable, Codable, CaseIterable { case tcp, udp, sctp }

/// A port of a container that the host's clients shall reach.
package struct WantedPort: Hashable, Sendable, Codable {
    package let `protocol`: PortProtocol
    package let containerPort: UInt16
    /// The host's address to publish on, nil for all.
    package let hostAddress: IPv4Address?
    /// Any of these; nil: any free one.
    package let hostPorts: ClosedRange<UInt16>?

    package init(
        protocol: PortProtocol, containerPort: UInt16, hostAddress: IPv4Address? = nil, hostPorts: ClosedRange<UInt16>? = nil
    ) {
        self.protocol = `protocol`
        self.containerPort = containerPort
        self.hostAddress = hostAddress
        self.hostPorts = hostPorts
    }
}

/// A port of this host and where it leads.
package struct PublishedPort: Hashable, Sendable, Codable {
    package let wanted: WantedPort
    package let hostPort: UInt16
    package let target: IPv4Address

    package init(wanted: WantedPort, hostPort: UInt16, target: IPv4Address) {
        self.wanted = wanted
        self.hostPort = hostPort
        self.target = target
    }

    /// Both would take packets of one address, port and protocol.
    package func collides(with other: PublishedPort) -> Bool {
        hostPort == other.hostPort && wanted.protocol == other.wanted.protocol
            && (wanted.hostAddress == nil || other.wanted.hostAddress == nil || wanted.hostAddress == other.wanted.hostAddress)
    }
}
