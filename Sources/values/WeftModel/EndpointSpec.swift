package import WeftNet

/// What is asked of an endpoint: by a person, a runtime, an engine or a task. What becomes of it is an `Endpoint`.
package struct EndpointSpec: Hashable, Sendable, Codable {
    package var network: NetworkID
    /// Nil: the next free one.
    package var ipv4: IPv4Address?
    /// Nil: the next free one where the network has IPv6.
    package var ipv6: IPv6Address?
    /// Nil: derived from the address.
    package var mac: MACAddress?
    /// The container's or sandbox's name. Empty where its owner has it, or for an endpoint that is in no answer.
    package var name: String
    /// Further names on this network.
    package var aliases: [String]
    /// Whose backend it is to be; nil of what is no service's.
    package var task: ServingTask?

    package init(
        network: NetworkID, ipv4: IPv4Address? = nil, ipv6: IPv6Address? = nil, mac: MACAddress? = nil, name: String = "",
        aliases: [String] = [], task: ServingTask? = nil
    ) {
        self.network = network
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.mac = mac
        self.name = name
        self.aliases = aliases
        self.task = task
    }

    /// Records of former versions have no name, or no aliases.
    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        network = try values.decode(NetworkID.self, forKey: .network)
        ipv4 = try values.decodeIfPresent(IPv4Address.self, forKey: .ipv4)
        ipv6 = try values.decodeIfPresent(IPv6Address.self, forKey: .ipv6)
        mac = try values.decodeIfPresent(MACAddress.self, forKey: .mac)
        name = try values.decodeIfPresent(String.self, forKey: .name) ?? ""
        aliases = try values.decodeIfPresent([String].self, forKey: .aliases) ?? []
        task = try values.decodeIfPresent(ServingTask.self, forKey: .task)
    }
}

/// An interface that is asked for: an endpoint, and how it looks inside. In a record both are one object.
package struct InterfaceSpec: Hashable, Sendable, Codable {
    package var endpoint: EndpointSpec
    /// The interface's name inside, unique in its sandbox.
    package var interface: String
    /// Whether the outside may be reached by it.
    package var takesDefaultRoute: Bool
    /// Whatever its maker tells it from others' by.
    package var owner: String

    package init(
        _ endpoint: EndpointSpec, interface: String, takesDefaultRoute: Bool = true, owner: String = ""
    ) {
        self.endpoint = endpoint
        self.interface = interface
        self.takesDefaultRoute = takesDefaultRoute
        self.owner = owner
    }

    private enum CodingKeys: String, CodingKey { case interface, takesDefaultRoute, owner }

    package init(from decoder: any Decoder) throws {
        endpoint = try EndpointSpec(from: decoder)
        let values = try decoder.container(keyedBy: CodingKeys.self)
        interface = try values.decode(String.self, forKey: .interface)
        takesDefaultRoute = try values.decodeIfPresent(Bool.self, forKey: .takesDefaultRoute) ?? true
        owner = try values.decodeIfPresent(String.self, forKey: .owner) ?? ""
    }

    package func encode(to encoder: any Encoder) throws {
        try endpoint.encode(to: encoder)
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(interface, forKey: .interface)
        try values.encode(takesDefaultRoute, forKey: .takesDefaultRoute)
        if !owner.isEmpty { try values.encode(owner, forKey: .owner) }
    }
}

/// An interface in a network namespace that someone else made, as a CNI runtime asks for it.
package struct NamespaceAttachmentRequest: Hashable, Sendable {
    /// The caller's id of the container.
    package let sandbox: SandboxID
    package let namespacePath: String
    package var interface: InterfaceSpec

    package init(sandbox: SandboxID, namespacePath: String, interface: InterfaceSpec) {
        self.sandbox = sandbox
        self.namespacePath = namespacePath
        self.interface = interface
    }
}
