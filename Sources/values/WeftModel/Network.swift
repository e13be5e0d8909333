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

extension IPAMConfig {
    private func map<Other: IPAddressProtocol>(
        address: (Address) -> Other, prefix: (IPPrefix<Address>) -> IPPrefix<Other>
    ) -> IPAMConfig<Other> {
        IPAMConfig<Other>(
            subnet: subnet.map(prefix), range: range.map(prefix), gateway: gateway.map(address),
            auxiliaryAddresses: auxiliaryAddresses.mapValues(address))
    }
}

extension IPAMConfig<IPv4Address> {
    package var erased: IPAMConfig<IPAddress> { map(address: IPAddress.v4, prefix: AnyIPPrefix.v4) }
}

extension IPAMConfig<IPv6Address> {
    package var erased: IPAMConfig<IPAddress> { map(address: IPAddress.v6, prefix: AnyIPPrefix.v6) }
}

extension IPAMConfig<IPAddress> {
    /// What is of IPv4 in it.
    package var v4: IPAMConfig<IPv4Address> {
        IPAMConfig<IPv4Address>(
            subnet: subnet?.v4, range: range?.v4, gateway: gateway?.v4,
            auxiliaryAddresses: auxiliaryAddresses.compactMapValues(\.v4))
    }

    /// What is of IPv6 in it.
    package var v6: IPAMConfig<IPv6Address> {
        IPAMConfig<IPv6Address>(
            subnet: subnet?.v6, range: range?.v6, gateway: gateway?.v6,
            auxiliaryAddresses: auxiliaryAddresses.compactMapValues(\.v6))
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
    /// The swarm's default when it was made, for a network whose options say nothing of it. It is none of them, as clients compare those with what
    /// they asked for (docker-compose makes a network anew that has others).
    package var encryptedByDefault: Bool?
    package init(name: String) { self.name = name }

    package var ipv6: Bool { ipam6 != nil }

    /// Names that mean an engine's own networks wherever a network is named.
    package static let predefinedNames: Set = ["bridge", "host", "none", "default"]
    /// Those of them that the swarm shows, as Docker's does: a service's containers may be on each node's own.
    package static let enginesForServices: Set = ["bridge", "host"]
}

/// An overlay network: the spec, and what the allocator gave it.
package struct Network: StoredValue, AssignedValue {
    package static let kind = StoreKind("network", rank: 30)
    package var audience: Audience { .everyNode }

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

/// Names one family's subnet of a network.
package struct SubnetID: Hashable, Sendable, Comparable, CustomStringConvertible {
    package let network: NetworkID
    package let family: IPAddress.Family

    package init(_ network: NetworkID, _ family: IPAddress.Family) {
        self.network = network
        self.family = family
    }

    package static func < (left: Self, right: Self) -> Bool {
        (left.network, left.family) < (right.network, right.family)
    }

    package var description: String { "\(family) of network \(network)" }
}

extension Network {
    /// The subnets it has, IPv4's first.
    package var subnets: [SubnetID] {
        IPAddress.Family.allCases.filter { subnet($0) != nil }.map { SubnetID(id, $0) }
    }

    package func subnet(_ family: IPAddress.Family) -> AnyIPPrefix? {
        switch family {
        case .v4: .v4(subnet)
        case .v6: subnet6.map(AnyIPPrefix.v6)
        }
    }

    package func gateway(_ family: IPAddress.Family) -> IPAddress? {
        switch family {
        case .v4: .v4(gateway)
        case .v6: gateway6.map(IPAddress.v6)
        }
    }
}

/// A block of a network's subnet that one node allocates from without asking (DESIGN, Addresses).
package struct AddressLease: StoredValue, AssignedValue {
    package static let kind = StoreKind("lease", rank: 40)
    package var audience: Audience { .node(node) }
    /// What a node gives addresses from must be on its disk before it does.
    package static var rows: String? { nil }

    /// `network/block`, unique in the store.
    package var id: String { "\(network)/\(block)" }
    package let network: NetworkID
    package let block: AnyIPPrefix
    package let node: NodeID
    package var version: Version
    package init(network: NetworkID, block: AnyIPPrefix, node: NodeID, version: Version = .none) {
        self.network = network
        self.block = block
        self.node = node
        self.version = version
    }

    package var subnet: SubnetID { SubnetID(network, block.family) }
}
