import WeftIPAM
package import WeftModel
import WeftNet

/// How a swarm begins.
package enum Bootstrap {
    /// The first commit of a new swarm: its settings, its first manager, and the ingress network.
    ///
    /// - Parameter hasIPv6: the manager's host has it, and so is the ingress network to.
    package static func transaction(
        cluster: Cluster, manager: Node, hasIPv6: Bool = false, now: Instant, random: inout some RandomNumberGenerator
    ) throws(ControlError) -> Transaction {
        try check(cluster.spec)
        try Settings.check(cluster.spec)
        var spec = NetworkSpec(name: "ingress")
        spec.ingress = true
        if hasIPv6 { spec.ipam6 = IPAMConfig() }
        let ingress = try Allocation.allocate(
            spec.completed(by: cluster.spec), cluster: cluster, networks: [], nodes: [manager], now: now, random: &random)
        return Transaction([
            .put(StoredObject(cluster), expecting: .none), .put(StoredObject(manager), expecting: .none),
            .put(StoredObject(ingress), expecting: .none),
        ])
    }

    /// Refuses settings that no network could be made with.
    static func check(_ spec: ClusterSpec) throws(ControlError) {
        guard !spec.addressPools.isEmpty else { throw ControlError(.invalid, "a swarm needs an address pool") }
        let lengths = SubnetLayout.lengths(.v4)
        guard lengths.contains(spec.subnetLength) else {
            throw ControlError(
                .invalid,
                "invalid subnet size /\(spec.subnetLength): it must be between /\(lengths.lowerBound) and /\(lengths.upperBound)")
        }
        for (index, pool) in spec.addressPools.enumerated() {
            guard pool.length <= spec.subnetLength else {
                throw ControlError(
                    .invalid,
                    "the address pool \(pool) is smaller than one subnet (/\(spec.subnetLength)): give a larger pool, or "
                        + "a smaller --default-addr-pool-mask-length")
            }
            if let other = spec.addressPools[..<index].first(where: { $0.overlaps(pool) }) {
                throw ControlError(.invalid, "the address pools \(other) and \(pool) overlap")
            }
        }
        guard (1024...49151).contains(spec.dataPathPort) else {
            throw ControlError(
                .invalid, "invalid data path port \(spec.dataPathPort): it must be between 1024 and 49151")
        }
    }
}
