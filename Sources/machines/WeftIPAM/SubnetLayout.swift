package import WeftModel
package import WeftNet

/// What each address of a network's subnet is for, and in what blocks nodes lease it. Made from a network, checked once.
package struct SubnetLayout: Hashable, Sendable, Codable {
    package let subnet: AnyIPPrefix
    package let gateway: IPAddress
    /// Where addresses are taken from when nobody asks for a particular one.
    package let range: AnyIPPrefix
    /// Auxiliary addresses by name.
    package let auxiliary: [String: IPAddress]
    private let reserved: [IPAddress]

    /// Checks what the user said about a subnet and picks the gateway, by default the first host address.
    package init(subnet: AnyIPPrefix, ipam: IPAMConfig<IPAddress>) throws(IPAMError) {
        try Self.checkUsable(subnet)
        let hosts = subnet.hosts
        let auxiliary = ipam.auxiliaryAddresses
        var taken: Set<IPAddress> = []
        if let gateway = ipam.gateway { taken.insert(gateway) }
        for (name, address) in auxiliary.sorted(by: { $0.key < $1.key }) {
            guard hosts.contains(address) else {
                throw .auxiliaryUnusable(name: name, address, subnet: subnet)
            }
            guard taken.insert(address).inserted else { throw .auxiliaryTaken(name: name, address) }
        }
        if let gateway = ipam.gateway {
            guard hosts.contains(gateway) else { throw .gatewayUnusable(gateway, subnet: subnet) }
            self.gateway = gateway
        } else {
            var first = hosts.lowerBound
            while taken.contains(first), let next = first.advanced(by: 1) { first = next }
            guard hosts.contains(first) else { throw .noAddressForHosts(subnet) }
            gateway = first
        }
        range = ipam.range ?? subnet
        guard subnet.contains(range) else { throw .rangeOutsideSubnet(range: range, subnet: subnet) }
        self.subnet = subnet
        self.auxiliary = auxiliary
        let broadcast = subnet.family == .v4 ? [subnet.last] : []
        reserved = Set([subnet.network, gateway] + broadcast + auxiliary.values).sorted()
        guard hostCount(in: range) > 0 else { throw .noAddressForHosts(subnet) }
    }

    /// The layout of one family's subnet of an existing network; nil where it has none.
    package init?(_ network: Network, _ family: IPAddress.Family) throws(IPAMError) {
        guard let subnet = network.subnet(family) else { return nil }
        var ipam = family == .v4 ? network.spec.ipam.erased : network.spec.ipam6?.erased ?? IPAMConfig()
        ipam.gateway = network.gateway(family)
        try self.init(subnet: subnet, ipam: ipam)
    }

    /// Address space with a meaning of its own (RFC 6890).
    static let special: [(prefix: AnyIPPrefix, reason: String)] = [
        ("0.0.0.0/8", "0.0.0.0/8 means \"this network\""), ("127.0.0.0/8", "127.0.0.0/8 is loopback"),
        ("169.254.0.0/16", "169.254.0.0/16 is link-local, and the resolver's"),
        ("224.0.0.0/4", "224.0.0.0/4 is multicast"), ("240.0.0.0/4", "240.0.0.0/4 is reserved"),
        ("::/8", "::/8 is loopback, and IPv4 in other clothes"), ("fe80::/10", "fe80::/10 is link-local"),
        ("ff00::/8", "ff00::/8 is multicast"),
    ].compactMap { text, reason in AnyIPPrefix(text).map { ($0, reason) } }

    /// How long a subnet may be: IPv4's need a few hosts, IPv6's are cut from a site's /48.
    package static func lengths(_ family: IPAddress.Family) -> ClosedRange<Int> { family == .v4 ? 8...30 : 48...120 }

    /// Refuses subnets in which containers could not talk: too small or too wide ones, and special address space.
    package static func checkUsable(_ subnet: AnyIPPrefix) throws(IPAMError) {
        let lengths = Self.lengths(subnet.family)
        guard lengths.contains(subnet.length) else {
            throw .subnetUnusable(
                subnet, reason: "its length must be between /\(lengths.lowerBound) and /\(lengths.upperBound)")
        }
        for entry in special where entry.prefix.overlaps(subnet) {
            throw .subnetUnusable(subnet, reason: entry.reason)
        }
    }

    /// Length of the blocks that `nodes` nodes lease: /29 of a /24, at most 64 addresses; smaller where there would be fewer
    /// than four blocks a node.
    package func blockLength(nodes: Int) -> Int {
        var bits = 5
        while bits < 32, 1 << bits < 4 * max(1, nodes) { bits += 1 }
        return min(subnet.width, max(subnet.width - 6, range.length + bits))
    }

    /// What keeps an address from being an endpoint's; nil for an ordinary one.
    package func purpose(of address: IPAddress) -> String? {
        if address == gateway { return "gateway" }
        if address == subnet.network { return subnet.family == .v4 ? "network address" : "subnet-router anycast address" }
        if address == subnet.last, subnet.family == .v4 { return "broadcast address" }
        let names = auxiliary.filter { $0.value == address }.keys.sorted()
        return names.first.map { "auxiliary address \($0)" }
    }

    /// Refuses addresses that no endpoint of this network may have.
    package func checkAssignable(_ address: IPAddress) throws(IPAMError) {
        guard subnet.contains(address) else { throw .addressOutsideSubnet(address, subnet: subnet) }
        if let purpose = purpose(of: address) { throw .addressReserved(address, purpose: purpose) }
    }

    /// True for addresses that an endpoint of this network may have.
    package func isAssignable(_ address: IPAddress) -> Bool {
        subnet.contains(address) && !reserved.contains(address)
    }

    /// How many addresses of `block` endpoints may have; of more than 2^32, that many.
    package func hostCount(in block: AnyIPPrefix) -> Int {
        guard let shared = subnet.contains(block) ? block : block.contains(subnet) ? subnet : nil else { return 0 }
        return 1 << min(32, shared.width - shared.length) - reserved.count(where: shared.contains)
    }
}
