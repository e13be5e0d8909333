package import WeftNet

/// Cuts subnets out of address pools.
package enum SubnetPool {
    /// The lowest subnet of `length` in the pools, in the order given, that overlaps nothing in `avoiding`.
    /// Prefers one that also avoids `resting` (subnets given back a moment ago), and takes one of those only when nothing
    /// else is left.
    package static func choose(
        pools: [AnyIPPrefix], length: Int, avoiding: [AnyIPPrefix], resting: [AnyIPPrefix] = []
    ) throws(IPAMError) -> AnyIPPrefix {
        let taken = avoiding + SubnetLayout.special.map(\.prefix)
        for avoided in resting.isEmpty ? [taken] : [taken + resting, taken] {
            for pool in pools {
                if let subnet = PrefixSearch.firstFree(length: length, in: pool, avoiding: avoided) { return subnet }
            }
        }
        throw .poolsExhausted(pools: pools, length: length)
    }
}

/// Hands out VXLAN network identifiers.
package enum VNIPool {
    /// The lowest identifier from 4096 up that is neither used nor, as long as others are left, resting.
    package static func lowestFree(used: Set<VNI>, resting: Set<VNI> = []) throws(IPAMError) -> VNI {
        for avoided in resting.isEmpty ? [used] : [used.union(resting), used] {
            var value = VNI.firstAutomatic
            while let vni = VNI(value) {
                if !avoided.contains(vni) { return vni }
                value += 1
            }
        }
        throw .vnisExhausted
    }
}
