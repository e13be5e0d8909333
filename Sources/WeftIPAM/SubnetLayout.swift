package import WeftModel
package import WeftNet

/// What each address of a network's subnet is for, and in what blocks nodes lease it. Made from a network, checked once.
package struct SubnetLayout: Hashable, Sendable, Codable {
    package let subnet: IPv4Prefix
    package let gateway: IPv4Address
    /// Where addresses are taken from when nobody asks for a particular one.
    package let range: IPv4Prefix
    /// Auxiliary addresses by name.
    package let auxiliary: [String: IPv4Address]
    private let reserved: [IPv4Address]

    /// Checks what the user said about a subnet and picks the gateway, by default the first host address.
    package init(subnet: IPv4Prefix, ipam: IPAMConfig<IPv4Address>) throws(IPAMError) {
        try Self.checkUsable(subnet)
        let hosts = subnet.hosts
        let auxiliary = ipam.auxiliaryAddresses
        var taken: Set<IPv4Address> = []
        if let gateway = ipam.gateway { taken.insert(gateway) }
        for (name, address) in auxiliary.sorted(by: { $0.key < $1.key }) {
            guard hosts.contains(address.rawValue) else {
                throw .auxiliaryUnusable(name: name, address, subnet: subnet)
            }
            guard taken.insert(address).inserted else { throw .auxiliaryTaken(name: name, address) }
        }
        if let gateway = ipam.gateway {
            guard hosts.contains(gateway.rawValue) else { throw .gatewayUnusable(gateway, subnet: subnet) }
            self.gateway = gateway
        } else {
            guard let first = hosts.lazy.map({ IPv4Address(rawValue: $0) }).first(where: { !taken.contains($0) }) else {
                throw .noAddressForHosts(subnet)
            }
            gateway = first
        }
        range = ipam.range ?? subnet
        guard subnet.contains(range) else { throw .rangeOutsideSubnet(range: range, subnet: subnet) }
        self.subnet = subnet
        self.auxiliary = auxiliary
        reserved = Set([subnet.network, subnet.last, gateway] + auxiliary.values).sorted()
        guard hostCount(in: range) > 0 else { throw .noAddressForHosts(subnet) }
    }

    /// The layout of an existing network.
    package init(_ network: Network) throws(IPAMError) {
        var ipam = network.spec.ipam
        ipam.gateway = network.gateway
        try self.init(subnet: network.subnet, ipam: ipam)
    }

    /// Address space with a meaning of its own (RFC 6890).
    static let special: [(prefix: IPv4Prefix, reason: String)] = [
        ("0.0.0.0/8", "0.0.0.0/8 means \"this network\""), ("127.0.0.0/8", "127.0.0.0/8 is loopback"),
        ("169.254.0.0/16", "169.254.0.0/16 is link-local, and the resolver's"),
        ("224.0.0.0/4", "224.0.0.0/4 is multicast"), ("240.0.0.0/4", "240.0.0.0/4 is reserved"),
    ].compactMap { text, reason in IPv4Prefix(text).map { ($0, reason) } }

    /// Refuses subnets in which containers could not talk: too small or too wide ones, and special address space.
    package static func checkUsable(_ subnet: IPv4Prefix) throws(IPAMError) {
        guard (8...30).contains(subnet.length) else {
            throw .subnetUnusable(subnet, reason: "its length must be between /8 and /30")
        }
        for entry in special where entry.prefix.overlaps(subnet) {
            throw .subnetUnusable(subnet, reason: entry.reason)
        }
    }

    /// Length of the blocks that `nodes` nodes lease: /29 of a /24, /26 of a /16; smaller where there would be fewer than
    /// four blocks a node.
    package func blockLength(nodes: Int) -> Int {
        var bits = 5
        while bits < 32, 1 << bits < 4 * max(1, nodes) { bits += 1 }
        return min(32, max(26, range.length + bits))
    }

    /// What keeps an address from being an endpoint's; nil for an ordinary one.
    package func purpose(of address: IPv4Address) -> String? {
        if address == gateway { return "gateway" }
        if address == subnet.network { return "network address" }
        if address == subnet.last { return "broadcast address" }
        let names = auxiliary.filter { $0.value == address }.keys.sorted()
        return names.first.map { "auxiliary address \($0)" }
    }

    /// Refuses addresses that no endpoint of this network may have.
    package func checkAssignable(_ address: IPv4Address) throws(IPAMError) {
        guard subnet.contains(address) else { throw .addressOutsideSubnet(address, subnet: subnet) }
        if let purpose = purpose(of: address) { throw .addressReserved(address, purpose: purpose) }
    }

    /// True for addresses that an endpoint of this network may have.
    package func isAssignable(_ address: IPv4Address) -> Bool {
        subnet.contains(address) && !reserved.contains(address)
    }

    /// How many addresses of `block` endpoints may have.
    package func hostCount(in block: IPv4Prefix) -> Int {
        guard let shared = subnet.contains(block) ? block : block.contains(subnet) ? subnet : nil else { return 0 }
        return Int(shared.count) - reserved.count(where: shared.contains)
    }
}
