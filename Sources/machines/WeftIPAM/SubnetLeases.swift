package import WeftModel
package import WeftNet

/// Which node leases which block of one network's subnet. Blocks never overlap.
package struct SubnetLeases: Sendable {
    package let layout: SubnetLayout
    package private(set) var owners: [AnyIPPrefix: NodeID] = [:]
    /// How many addresses for endpoints each node leases of the layout's range.
    package private(set) var capacities: [NodeID: Int] = [:]
    private var leased = 0

    package init(layout: SubnetLayout) { self.layout = layout }

    package mutating func insert(_ block: AnyIPPrefix, node: NodeID) {
        remove(block)
        owners[block] = node
        count(block, node, 1)
    }

    package mutating func remove(_ block: AnyIPPrefix) {
        if let node = owners.removeValue(forKey: block) { count(block, node, -1) }
    }

    private mutating func count(_ block: AnyIPPrefix, _ node: NodeID, _ sign: Int) {
        guard layout.range.contains(block) else { return }
        let hosts = layout.hostCount(in: block)
        leased += sign * hosts
        let capacity = (capacities[node] ?? 0) + sign * hosts
        capacities[node] = capacity == 0 ? nil : capacity
    }

    /// The block that holds an address, and who leases it.
    package func lease(holding address: IPAddress) -> (block: AnyIPPrefix, node: NodeID)? {
        // Blocks are few sizes only: look each up instead of walking all of them.
        for length in stride(from: layout.subnet.width, through: layout.subnet.length, by: -1) {
            if let block = AnyIPPrefix(address, length: length), let node = owners[block] { return (block, node) }
        }
        return nil
    }

    /// A node's blocks, sorted.
    package func blocks(of node: NodeID) -> [AnyIPPrefix] { owners.filter { $0.value == node }.keys.sorted() }

    /// The lowest free block for one of `nodes` nodes that holds an address for an endpoint. Where no whole block is
    /// left, a smaller one between leases.
    ///
    /// Without a range of the user's, the upper half of the subnet goes first: the addresses that people choose
    /// themselves lie low, and one inside another node's block has to be asked back from that node.
    package func freeBlock(nodes: Int) -> AnyIPPrefix? {
        guard leased < layout.hostCount(in: layout.range) else { return nil }
        let taken = Array(owners.keys)
        let whole = layout.blockLength(nodes: nodes)
        if layout.range == layout.subnet, let upper = layout.subnet.subprefix(length: layout.subnet.length + 1, index: 1),
            whole >= upper.length, let block = firstFree(whole, in: upper, taken)
        {
            return block
        }
        for length in whole...layout.subnet.width {
            if let block = firstFree(length, in: layout.range, taken) { return block }
        }
        return nil
    }

    /// The highest address that nobody leases. Addresses that are leased one by one are taken from the end of the range, where the blocks
    /// of nodes come last: so they lie together, and leave blocks whole.
    package func lastFreeAddress() -> IPAddress? {
        func before(_ address: IPAddress) -> IPAddress? { address.bits > 0 ? address.with(bits: address.bits - 1) : nil }
        var candidate: IPAddress? = layout.range.last
        while let address = candidate, layout.range.contains(address) {
            if let block = lease(holding: address)?.block {
                candidate = before(block.network)
            } else if layout.isAssignable(address) {
                return address
            } else {
                candidate = before(address)
            }
        }
        return nil
    }

    private func firstFree(_ length: Int, in space: AnyIPPrefix, _ taken: [AnyIPPrefix]) -> AnyIPPrefix? {
        PrefixSearch.firstFree(length: length, in: space, avoiding: taken) { layout.hostCount(in: $0) > 0 }
    }

    /// Whether every one of `nodes` nodes could still lease a whole block. Blocks of one address are never given
    /// out ahead of need: an idle node would keep the last address from a busy one.
    package func hasBlockForEach(nodes: Int) -> Bool {
        let length = layout.blockLength(nodes: nodes)
        return length < layout.subnet.width
            && PrefixSearch.countFree(length: length, in: layout.range, avoiding: Array(owners.keys), limit: nodes)
                >= nodes
    }
}
