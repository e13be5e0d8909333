package import WeftModel
package import WeftNet

/// Names a workload on its node, for as long as its record is there.
package struct WorkloadID: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    package let rawValue: String
    package init(_ rawValue: String) { self.rawValue = rawValue }
    package var description: String { rawValue }
    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    package init(from decoder: any Decoder) throws {
        rawValue = try decoder.singleValueContainer().decode(String.self)
    }
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }
}

/// What is attached to networks on this node, as its record has it: a sandbox, a container of an engine, a
/// namespace of a runtime.
package struct Workload: Hashable, Sendable, Codable, Identifiable {
    /// Who makes what is attached, and tells of its end.
    package enum Kind: String, Hashable, Sendable, Codable, CaseIterable {
        /// A sandbox of Weft's own, whose namespace ends with its processes.
        case sandbox
        /// A container of an engine that takes no network driver: weftd makes the namespace, the engine
        /// starts the container in it.
        case prepared
        /// A namespace that a runtime made, as those that call CNI plugins do. The workload is there as long
        /// as it has interfaces.
        case foreign
    }

    /// The namespace of a runtime.
    package struct Foreign: Hashable, Sendable, Codable {
        package let path: String
        /// Paths are used again, cookies are not before the next boot.
        package let cookie: UInt64
        package init(path: String, cookie: UInt64) {
            self.path = path
            self.cookie = cookie
        }
    }

    /// What a container of an engine is besides its interfaces; of a sandbox its ports count alone.
    package struct Prepared: Hashable, Sendable, Codable {
        package var hostname: String?
        package var ports: [WantedPort]
        package var upstreams: [IPv4Address]
        /// The engine may start it again by itself.
        package var restarts: Bool
        /// The ports as they are published now.
        package var published: [PublishedPort]
    }

    package let id: WorkloadID
    package let kind: Kind
    /// Whose the endpoints are; nil until the engine has created its container.
    package var sandbox: SandboxID?
    /// What its endpoints are called; a runtime's interfaces have names of their own.
    package var name: String
    /// In the order of asking; no interface twice, no network twice.
    package var interfaces: [InterfaceSpec]
    /// To be removed as soon as it has ended.
    package var removesItself = false
    /// Of the kind that has it.
    package var foreign: Foreign?
    package var prepared: Prepared?

    package init(
        id: WorkloadID, kind: Kind, sandbox: SandboxID? = nil, name: String = "",
        interfaces: [InterfaceSpec] = []
    ) {
        self.id = id
        self.kind = kind
        self.sandbox = sandbox
        self.name = name
        self.interfaces = interfaces
    }

    /// A runtime's container.
    package init(_ sandbox: SandboxID, in namespace: Foreign, interfaces: [InterfaceSpec]) {
        self.init(id: WorkloadID(sandbox.rawValue), kind: .foreign, sandbox: sandbox, interfaces: interfaces)
        foreign = namespace
    }

    /// A container of an engine.
    package init(_ container: PreparedContainer) {
        self.init(
            id: WorkloadID(container.token), kind: .prepared, sandbox: container.container,
            name: container.name,
            interfaces: container.attachments)
        prepared = Prepared(
            hostname: container.hostname, ports: container.ports, upstreams: container.upstreams,
            restarts: container.restarts,
            published: container.published)
    }

    /// The container of an engine, nil for other kinds.
    package var preparedContainer: PreparedContainer? {
        guard kind == .prepared, let prepared else { return nil }
        var container = PreparedContainer(
            token: id.rawValue, name: name, hostname: prepared.hostname, attachments: interfaces,
            ports: prepared.ports,
            upstreams: prepared.upstreams, restarts: prepared.restarts)
        container.container = sandbox
        container.published = prepared.published
        return container
    }

    /// Ports of the host's that are to lead to it.
    package mutating func publish(_ ports: [WantedPort]) {
        prepared = Prepared(hostname: nil, ports: ports, upstreams: [], restarts: false, published: [])
    }

    /// The first name of the kind ethN that no interface has.
    package var freeInterface: String {
        let taken = Set(interfaces.map(\.interface))
        return (0...taken.count).lazy.map { "eth\($0)" }.first { !taken.contains($0) } ?? "eth\(taken.count)"
    }

    /// What the endpoint of an interface is to be, with the names that it has besides those asked for.
    package func endpoint(of interface: InterfaceSpec) -> EndpointSpec {
        var endpoint = interface.endpoint
        switch kind {
        case .sandbox:
            endpoint.name = name
            endpoint.aliases += sandbox.map { [String($0.rawValue.prefix(12))] } ?? []
        case .prepared:
            endpoint.name = name
            endpoint.aliases = preparedContainer?.aliases(on: interface.endpoint) ?? []
        case .foreign: break
        }
        return endpoint
    }
}
