package import WeftModel
package import WeftNet

/// One node's allocator for one network: gives out addresses of the blocks the node leases, without asking anybody.
///
/// Addresses are given out serially, and a freed one rests, so that nothing that still remembers its last user
/// (neighbour caches, connection tracking, resolvers) meets a new one under it.
package struct NodeAddresses: Hashable, Sendable {
    /// How long a freed address rests.
    package static let rest: Duration = .seconds(60)

    package let layout: SubnetLayout
    /// Sorted; they do not overlap.
    package private(set) var blocks: [IPv4Prefix] = []
    package private(set) var used: Set<IPv4Address> = []
    /// Freed addresses, and when they may be used again.
    package private(set) var resting: [IPv4Address: Instant] = [:]
    /// The address given out last: the search goes on behind it.
    package private(set) var cursor: IPv4Address?

    package init(layout: SubnetLayout) { self.layout = layout }

    package mutating func setBlocks(_ blocks: some Sequence<IPv4Prefix>) { self.blocks = blocks.sorted() }

    /// Notes an address that is in use already, after a restart.
    package mutating func restoreUse(of address: IPv4Address) {
        used.insert(address)
        resting[address] = nil
    }

    /// Notes an address that is resting already, after a restart.
    package mutating func restoreRest(of address: IPv4Address, until end: Instant) { resting[address] = end }

    /// Takes the next free address of the blocks. `held`: addresses that some interface of the host still has.
    package mutating func allocate(now: Instant, held: Set<IPv4Address> = []) throws(IPAMError) -> IPv4Address {
        expireRests(now: now)
        let start = cursor.map(\.rawValue) ?? 0
        guard let address = firstFree(from: start, held: held) ?? firstFree(from: 0, held: held) else {
            throw .noFreeAddress
        }
        used.insert(address)
        cursor = address
        return address
    }

    private func firstFree(from start: UInt32, held: Set<IPv4Address>) -> IPv4Address? {
        for block in blocks where block.last.rawValue >= start {
            for value in max(start, block.network.rawValue)...block.last.rawValue {
                let address = IPv4Address(rawValue: value)
                if !used.contains(address), resting[address] == nil, !held.contains(address),
                    layout.isAssignable(address)
                {
                    return address
                }
            }
        }
        return nil
    }

    /// Takes one particular address. It may be resting: who names an address means this one, and it is the same node's.
    package mutating func claim(_ address: IPv4Address, held: Set<IPv4Address> = []) throws(IPAMError) {
        try layout.checkAssignable(address)
        guard !used.contains(address) else { throw .addressInUse(address) }
        guard blocks.contains(where: { $0.contains(address) }) else { throw .addressNotLeased(address) }
        guard !held.contains(address) else { throw .addressHeld(address) }
        resting[address] = nil
        used.insert(address)
    }

    /// Gives an address back; it rests from `now` on.
    package mutating func release(_ address: IPv4Address, now: Instant) {
        guard used.remove(address) != nil else { return }
        resting[address] = now + Self.rest
    }

    /// Lets addresses that have rested long enough be used again.
    package mutating func expireRests(now: Instant) {
        // Most of the time there is nothing to do, and nothing should be copied.
        if resting.values.contains(where: { $0 <= now }) { resting = resting.filter { $0.value > now } }
    }

    /// How many addresses `allocate` could give out now.
    package func freeCount(held: Set<IPv4Address> = []) -> Int {
        let busy = used.union(resting.keys).union(held)
        return blocks.reduce(0) { sum, block in
            sum + layout.hostCount(in: block) - busy.count { block.contains($0) && layout.isAssignable($0) }
        }
    }

    /// Blocks that can go back: no address in them is used, resting or held. One idle block stays, the widest,
    /// unless blocks are single addresses.
    package func returnableBlocks(held: Set<IPv4Address> = []) -> [IPv4Prefix] {
        guard blocks.count > 1 || blocks.contains(where: { $0.length == 32 }) else { return [] }
        let busy = used.union(resting.keys).union(held)
        let idle = blocks.filter { block in !busy.contains(where: block.contains) }
        guard let kept = idle.min(by: { ($0.length, $0) < ($1.length, $1) }), kept.length < 32 else { return idle }
        return idle.filter { $0 != kept }
    }
}
