package import WeftNet

/// One subnet as the user asked for it.
package struct IPAMConfig<Address: IPAddressProtocol>: Hashable, Sendable, Codable {
    /// Nil: cut from the swarm's pools.
    package var subnet: IPPrefix<Address>?
    /// Part of the subnet that endpoints get addresses from.
    package var range: IPPrefix<Address>?
    package var gateway: Address?
    /// Addresses kept free for something outside Weft, by name.
    package var auxiliaryAddresses: [String: Address]
    package init(
        subnet: IPPrefix<Address>? = nil, range: IPPrefix<Address>? = nil, gateway: Address? = nil,
        auxiliaryAddresses: [String: Address] = [:]
    ) {
        self.subnet = subnet
        self.range = range
        self.gateway = gateway
        self.auxiliaryAddresses = auxiliaryAddresses
    }
}

/// What the user said about an overlay network.
package struct NetworkSpec: Hashable, Sendable, Codable {
    package var name: String
    package var labels: [String: String] = [:]
    /// Containers and sandboxes may be attached by hand, not only by services.
    package var attachable = false
    /// No way out of the network.
    package var isInternal = false
    /// The network that carries the ingress mesh.
    package var ingress = false
    package var ipam = IPAMConfig<IPv4Address>()
    /// The IPv6 subnet beside the IPv4 one; nil: the network has no IPv6.
    package var ipam6: IPAMConfig<IPv6Address>?
    /// Driver options as given, `com.docker.network.driver.mtu` among them.
    package var options: [String: String] = [:]
    package init(name: String) { self.name = name }

    package var ipv6: Bool { ipam6 != nil }
}

/// An overlay network: the spec, and what the allocator gave it.
package struct Network: Hashable, Sendable, Codable, Identifiable {
    package let id: NetworkID
    package var version: Version
    package let createdAt: Instant
    package var updatedAt: Instant
    package var spec: NetworkSpec
    package let vni: VNI
    package let subnet: IPv4Prefix
    /// The gateway's address; no packet reaches it, it is answered in the data plane.
    package let gateway: IPv4Address
    /// Both or neither: a network has IPv6 from its creation on, or never.
    package let subnet6: IPv6Prefix?
    package let gateway6: IPv6Address?

    package init(
        id: NetworkID, version: Version = .none, createdAt: Instant, spec: NetworkSpec, vni: VNI, subnet: IPv4Prefix,
        gateway: IPv4Address, subnet6: IPv6Prefix? = nil, gateway6: IPv6Address? = nil
    ) {
        self.id = id
        self.version = version
        self.createdAt = createdAt
        self.updatedAt = createdAt
        self.spec = spec
        self.vni = vni
        self.subnet = subnet
        self.gateway = gateway
        self.subnet6 = subnet6
        self.gateway6 = gateway6
    }
}

/// A block of a network's subnet that one node allocates from without asking (DESIGN, Addresses).
package struct AddressLease: Hashable, Sendable, Codable, Identifiable {
    /// `network/block`, unique in the store.
    package var id: String { "\(network)/\(block)" }
    package let network: NetworkID
    package let block: IPv4Prefix
    package let node: NodeID
    package var version: Version
    package init(network: NetworkID, block: IPv4Prefix, node: NodeID, version: Version = .none) {
        self.network = network
        self.block = block
        self.node = node
        self.version = version
    }
}
