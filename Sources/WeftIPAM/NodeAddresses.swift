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
    package private(set) var blocks: [AnyIPPrefix] = []
    package private(set) var used: Set<IPAddress> = []
    /// Freed addresses, and when they may be used again. None is in use.
    package private(set) var resting: [IPAddress: Instant] = [:]
    /// No rest ends before this.
    private var firstRestEnd: Instant?
    /// The address given out last: the search goes on behind it.
    package private(set) var cursor: IPAddress?
    /// How many addresses of each block are in use or resting, and how many it has for endpoints, by the block's place.
    private var busy: [Int] = []
    private var sizes: [Int] = []

    package init(layout: SubnetLayout) { self.layout = layout }

    package mutating func setBlocks(_ blocks: some Sequence<AnyIPPrefix>) {
        let sorted = blocks.sorted()
        guard sorted != self.blocks else { return }
        self.blocks = sorted
        sizes = sorted.map { layout.hostCount(in: $0) }
        busy = Array(repeating: 0, count: sorted.count)
        for address in used { count(address, 1) }
        for address in resting.keys { count(address, 1) }
    }

    /// Notes an address that is in use already, after a restart.
    package mutating func restoreUse(of address: IPAddress) { use(address) }

    /// Notes an address that is resting already, after a restart.
    package mutating func restoreRest(of address: IPAddress, until end: Instant) {
        guard !used.contains(address) else { return }
        rest(address, until: end)
    }

    private mutating func use(_ address: IPAddress) {
        let rested = resting.removeValue(forKey: address) != nil
        if used.insert(address).inserted, !rested { count(address, 1) }
    }

    private mutating func rest(_ address: IPAddress, until end: Instant) {
        let wasUsed = used.remove(address) != nil
        if resting.updateValue(end, forKey: address) == nil, !wasUsed { count(address, 1) }
        firstRestEnd = min(firstRestEnd ?? end, end)
    }

    private mutating func count(_ address: IPAddress, _ change: Int) {
        if let place = place(ofBlockHolding: address) { busy[place] += change }
    }

    /// Binary search for the last block that starts at or before the address.
    private func place(ofBlockHolding address: IPAddress) -> Int? {
        var low = 0
        var high = blocks.count
        while low < high {
            let middle = (low + high) / 2
            if blocks[middle].network <= address { low = middle + 1 } else { high = middle }
        }
        return low > 0 && blocks[low - 1].contains(address) ? low - 1 : nil
    }

    /// Whether one of the blocks holds the address.
    package func isLeased(_ address: IPAddress) -> Bool { place(ofBlockHolding: address) != nil }

    /// Takes the next free address of the blocks. `held`: addresses that some interface of the host still has.
    package mutating func allocate(now: Instant, held: Set<IPAddress> = []) throws(IPAMError) -> IPAddress {
        expireRests(now: now)
        let address = try next(held: held)
        use(address)
        cursor = address
        return address
    }

    /// The address that `allocate` would give out, if no rest ends before.
    package func next(held: Set<IPAddress> = []) throws(IPAMError) -> IPAddress {
        let start = cursor?.bits ?? 0
        guard let address = firstFree(from: start, held: held) ?? firstFree(from: 0, held: held) else {
            throw .noFreeAddress
        }
        return address
    }

    private func firstFree(from start: UInt128, held: Set<IPAddress>) -> IPAddress? {
        for (place, block) in blocks.enumerated() where block.last.bits >= start && busy[place] < sizes[place] {
            for bits in max(start, block.network.bits)...block.last.bits {
                if let address = block.network.with(bits: bits), !used.contains(address), resting[address] == nil,
                    !held.contains(address), layout.isAssignable(address)
                {
                    return address
                }
            }
        }
        return nil
    }

    /// Takes one particular address. It may be resting: who names an address means this one, and it is the same node's.
    package mutating func claim(_ address: IPAddress, held: Set<IPAddress> = []) throws(IPAMError) {
        try checkFree(address, held: held)
        use(address)
    }

    /// Throws what `claim` would.
    package func checkFree(_ address: IPAddress, held: Set<IPAddress> = []) throws(IPAMError) {
        try layout.checkAssignable(address)
        guard !used.contains(address) else { throw .addressInUse(address) }
        guard isLeased(address) else { throw .addressNotLeased(address) }
        guard !held.contains(address) else { throw .addressHeld(address) }
    }

    /// Gives an address back; it rests from `now` on.
    package mutating func release(_ address: IPAddress, now: Instant) {
        guard used.contains(address) else { return }
        rest(address, until: now + Self.rest)
    }

    /// Lets addresses that have rested long enough be used again, and returns them.
    @discardableResult
    package mutating func expireRests(now: Instant) -> [IPAddress] {
        guard let firstRestEnd, firstRestEnd <= now else { return [] }
        let rested = resting.filter { $0.value <= now }.map(\.key)
        for address in rested {
            resting[address] = nil
            count(address, -1)
        }
        self.firstRestEnd = resting.values.min()
        return rested
    }

    /// How many addresses are neither in use nor resting.
    package func freeCount() -> Int { sizes.reduce(0, +) - busy.reduce(0, +) }

    /// Blocks that can go back: no address in them is used, resting or held. One idle block stays, the widest,
    /// unless blocks are single addresses.
    package func returnableBlocks(held: Set<IPAddress> = []) -> [AnyIPPrefix] {
        guard blocks.count > 1 || blocks.contains(where: \.isSingle) else { return [] }
        let idle = blocks.indices.filter { busy[$0] == 0 }.map { blocks[$0] }
            .filter { block in !held.contains(where: block.contains) }
        guard let kept = idle.min(by: { ($0.length, $0) < ($1.length, $1) }), !kept.isSingle else { return idle }
        return idle.filter { $0 != kept }
    }
}
