// Which address is whose: pools into subnets and VNIs into networks for the manager, blocks of a subnet for nodes, single addresses
// for endpoints. Works on addresses of either family. Its users keep what it decides: it has no store, and is told what is taken.
package import WeftModel
package import WeftNet

/// One node's allocator for one network: gives out addresses of the blocks the node leases, without asking anybody.
///
/// Addresses are given out serially, and a freed one rests, so that what still remembers its last user (connection tracking,
/// resolvers) seldom meets a new one under it. Rest is a preference: where nothing else is free, the address that has rested
/// longest is given out.
package struct NodeAddresses: Hashable, Sendable {
    /// How long others are preferred to a freed address.
    package static let rest: Duration = .seconds(60)

    package let layout: SubnetLayout
    /// Sorted; they do not overlap.
    package private(set) var blocks: [AnyIPPrefix] = []
    package private(set) var used: Set<IPAddress> = []
    /// Freed addresses, and when their rest ends. None is in use.
    package private(set) var resting: [IPAddress: Instant] = [:]
    /// Rests by their ends, the first from `restsDone` on. Ends that `resting` does not have any more are passed over.
    private var restEnds: [RestEnd] = []
    private var restsDone = 0
    /// The address given out last: the search goes on behind it.
    package private(set) var cursor: IPAddress?
    /// How many addresses of each block are in use, are resting, and are there for endpoints, by the block's place.
    private var counts: [Counts] = []

    private struct RestEnd: Hashable {
        let address: IPAddress
        let end: Instant
    }

    private struct Counts: Hashable {
        var used = 0
        var resting = 0
        let size: Int
        var free: Int { size - used }
        var fresh: Int { free - resting }
    }

    package init(layout: SubnetLayout) { self.layout = layout }

    package mutating func setBlocks(_ blocks: some Sequence<AnyIPPrefix>) {
        let sorted = blocks.sorted()
        guard sorted != self.blocks else { return }
        self.blocks = sorted
        counts = sorted.map { Counts(size: layout.hostCount(in: $0)) }
        for address in used { countUsed(address, 1) }
        for address in resting.keys { countResting(address, 1) }
    }

    /// Notes an address that is in use already, after a restart.
    package mutating func restoreUse(of address: IPAddress) { use(address) }

    /// Notes an address that is resting already, after a restart.
    package mutating func restoreRest(of address: IPAddress, until end: Instant) {
        guard !used.contains(address) else { return }
        rest(address, until: end)
    }

    private mutating func use(_ address: IPAddress) {
        if resting.removeValue(forKey: address) != nil { countResting(address, -1) }
        if used.insert(address).inserted { countUsed(address, 1) }
    }

    private mutating func rest(_ address: IPAddress, until end: Instant) {
        if used.remove(address) != nil { countUsed(address, -1) }
        if resting.updateValue(end, forKey: address) == nil { countResting(address, 1) }
        // Nearly always the newest: clocks go forward.
        var place = restEnds.count
        while place > restsDone, restEnds[place - 1].end > end { place -= 1 }
        restEnds.insert(RestEnd(address: address, end: end), at: place)
    }

    private mutating func countUsed(_ address: IPAddress, _ change: Int) {
        if let place = place(ofBlockHolding: address) { counts[place].used += change }
    }

    private mutating func countResting(_ address: IPAddress, _ change: Int) {
        if let place = place(ofBlockHolding: address) { counts[place].resting += change }
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
        if resting[address] == nil { cursor = address }
        use(address)
        return address
    }

    /// The address that `allocate` would give out, if no rest ends before.
    package func next(held: Set<IPAddress> = []) throws(IPAMError) -> IPAddress {
        guard let address = fresh(held: held) ?? longestResting(held: held) else { throw .noFreeAddress }
        return address
    }

    /// The next address that is neither in use nor resting.
    package func fresh(held: Set<IPAddress> = []) -> IPAddress? {
        firstFresh(from: cursor?.bits ?? 0, held: held) ?? firstFresh(from: 0, held: held)
    }

    /// The address of the blocks that has rested longest.
    package func longestResting(held: Set<IPAddress> = []) -> IPAddress? {
        restEnds[restsDone...].first { rest in
            resting[rest.address] == rest.end && layout.range.contains(rest.address) && isLeased(rest.address)
                && !held.contains(rest.address) && layout.isAssignable(rest.address)
        }?.address
    }

    private func firstFresh(from start: UInt128, held: Set<IPAddress>) -> IPAddress? {
        for (place, block) in blocks.enumerated() where block.last.bits >= start && counts[place].fresh > 0 && layout.range.contains(block)
        {
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

    /// Takes one particular address. It may be resting: who names an address means this one.
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

    /// Ends the rests that are over, and returns their addresses.
    @discardableResult
    package mutating func expireRests(now: Instant) -> [IPAddress] {
        var rested: [IPAddress] = []
        while restsDone < restEnds.count, restEnds[restsDone].end <= now || isVoid(restEnds[restsDone]) {
            let rest = restEnds[restsDone]
            restsDone += 1
            guard !isVoid(rest) else { continue }
            resting[rest.address] = nil
            countResting(rest.address, -1)
            rested.append(rest.address)
        }
        if restsDone > 16, restsDone * 2 > restEnds.count {
            restEnds.removeFirst(restsDone)
            restsDone = 0
        }
        return rested
    }

    /// The address was used, or rested anew, since.
    private func isVoid(_ rest: RestEnd) -> Bool { resting[rest.address] != rest.end }

    /// How many addresses are neither in use nor resting.
    package func freshCount() -> Int { counts.reduce(0) { $0 + $1.fresh } }

    /// Blocks that can go back: no address in them is used, resting or held. One idle block stays, the widest,
    /// unless blocks are single addresses.
    package func returnableBlocks(held: Set<IPAddress> = []) -> [AnyIPPrefix] {
        guard blocks.count > 1 || blocks.contains(where: \.isSingle) else { return [] }
        let idle = blocks.indices.filter { counts[$0].used + counts[$0].resting == 0 }.map { blocks[$0] }
            .filter { block in !held.contains(where: block.contains) }
        guard let kept = idle.min(by: { ($0.length, $0) < ($1.length, $1) }), !kept.isSingle else { return idle }
        return idle.filter { $0 != kept }
    }
}

// MARK: For others

extension NodeAddresses {
    /// What another node may have of these blocks.
    package enum Spare: Hashable, Sendable {
        case prefix(AnyIPPrefix)
        /// What is free is still held by interfaces that are about to go.
        case later
        case none
    }

    /// A part of a block in which nothing is used or held: at most half of what is free, if that is more than one address,
    /// and rather what does not rest. Blocks that `isFrozen` says so of are left alone.
    package func spare(held: Set<IPAddress>, isFrozen: (AnyIPPrefix) -> Bool) -> Spare {
        let places = blocks.indices.filter { counts[$0].free > 0 && layout.range.contains(blocks[$0]) }
        guard !places.isEmpty else { return .none }
        let free = places.reduce(0) { $0 + counts[$1].free }
        // The block with most to give that does not rest.
        let candidates = places.filter { !isFrozen(blocks[$0]) }
            .sorted { (counts[$0].fresh, counts[$0].free) > (counts[$1].fresh, counts[$1].free) }
        for place in candidates {
            if let prefix = bestFree(in: blocks[place], atMost: max(1, free / 2), held: held) { return .prefix(prefix) }
        }
        return .later
    }

    /// The prefix without a used or held address that has most addresses that do not rest, but no more of all than `atMost`.
    private func bestFree(in block: AnyIPPrefix, atMost: Int, held: Set<IPAddress>) -> AnyIPPrefix? {
        var best: (prefix: AnyIPPrefix, size: Int, resting: Int)?
        /// Whether all of it is free.
        func visit(_ prefix: AnyIPPrefix) -> (size: Int, resting: Int)? {
            let found: (size: Int, resting: Int)?
            if prefix.isSingle {
                let address = prefix.network
                let isBusy = used.contains(address) || held.contains(address)
                found = isBusy ? nil : (layout.isAssignable(address) ? 1 : 0, resting[address] == nil ? 0 : 1)
            } else {
                let halves = prefix.halves.map(visit)
                if let left = halves[0], let right = halves[1] {
                    found = (left.size + right.size, left.resting + right.resting)
                } else {
                    found = nil
                }
            }
            if let found, found.size > 0, found.size <= atMost,
                best.map({ ($0.size - $0.resting, $0.size) < (found.size - found.resting, found.size) }) ?? true
            {
                best = (prefix, found.size, found.resting)
            }
            return found
        }
        _ = visit(block)
        return best?.prefix
    }
}
