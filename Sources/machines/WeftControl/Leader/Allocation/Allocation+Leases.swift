import WeftIPAM
import WeftModel
import WeftNet

/// Blocks of subnets that nodes allocate from.
extension Allocation {
    /// Gives a node its first block of every subnet, as long as all nodes could have one.
    static func grantFirstBlocks(to node: NodeID, in round: inout Round) {
        var leased: Set<SubnetID> = []
        for lease in round.tables.leases.values where lease.node == node { leased.insert(lease.subnet) }
        for subnet in round.tables.sortedNetworks.flatMap(\.subnets) where !leased.contains(subnet) {
            grantFirstBlock(of: subnet, to: node, in: &round)
        }
    }

    /// Gives every connected node its first block of a network.
    static func grantFirstBlocks(of network: Network, in round: inout Round) {
        for (node, session) in round.dispatcher.sessions.sorted(by: { $0.key < $1.key }) where session.isOpen {
            for subnet in network.subnets where round.tables.subnetLeases[subnet]?.blocks(of: node).isEmpty ?? false {
                grantFirstBlock(of: subnet, to: node, in: &round)
            }
        }
    }

    private static func grantFirstBlock(of subnet: SubnetID, to node: NodeID, in round: inout Round) {
        let nodes = round.tables.nodes.count
        guard let leases = round.tables.subnetLeases[subnet], leases.hasBlockForEach(nodes: nodes),
            let block = leases.freeBlock(nodes: nodes)
        else { return }
        round.draft.put(AddressLease(network: subnet.network, block: block, node: node))
    }

    mutating func leaseRequested(
        _ number: RequestNumber, subnet: SubnetID, address: IPAddress?, isSpare: Bool, by node: NodeID,
        in round: inout Round
    ) {
        guard let session = round.dispatcher.sessions[node]?.id else { return }
        do throws(ControlError) {
            if try Self.lease(subnet, address: address, to: node, in: &round) {
                round.send(node, session, .leaseGranted(number))
            } else if isSpare {
                throw ControlError(.unavailable, "no block of the subnet is free")
            } else if asks.count(where: { $0.node == node && $0.session == session }) >= Self.asksPerNode {
                throw ControlError(
                    .unavailable, "\(Self.asksPerNode) requests of this node wait for addresses of full subnets already: try again")
            } else {
                asks.append(
                    AddressAsk(
                        node: node, session: session, number: number, subnet: subnet, address: address, since: round.now))
                asksAreDue = true
            }
        } catch {
            round.send(node, session, .leaseRefused(number, reason: error.message))
        }
    }

    /// Leases a free block to a node, or the address named; false when all, or that one, is leased to others.
    static func lease(
        _ subnet: SubnetID, address: IPAddress?, to node: NodeID, in round: inout Round
    ) throws(ControlError) -> Bool {
        let id = subnet.network
        guard let network = round.tables.networks[id] else { throw ControlError(.notFound, "network \(id) not found") }
        guard let leases = round.tables.subnetLeases[subnet] else {
            throw ControlError(.invalid, "network \(network.spec.name) has no \(subnet.family)")
        }
        guard let address else {
            guard let block = leases.freeBlock(nodes: round.tables.nodes.count) else { return false }
            round.draft.put(AddressLease(network: id, block: block, node: node))
            return true
        }
        do throws(IPAMError) { try leases.layout.checkAssignable(address) } catch {
            throw ControlError(.invalid, error.description)
        }
        if let lease = leases.lease(holding: address) { return lease.node == node }
        round.draft.put(AddressLease(network: id, block: AnyIPPrefix(host: address), node: node))
        return true
    }

    /// Takes blocks back that their node does not use. Whatever is in use by what the manager knows stays leased.
    static func leasesReturned(_ ids: [String], by node: NodeID, in round: inout Round) {
        for id in Set(ids).sorted() {
            guard let lease = round.tables.leases[id], lease.node == node else { continue }
            takeBack(lease.block, from: lease, in: &round)
        }
    }

    /// Takes a part of a lease back; its node keeps the rest, in smaller blocks. The node may use what it returned only once
    /// the lease is another or of another version than the one that it returned it from.
    static func takeBack(_ prefix: AnyIPPrefix, from lease: AddressLease, in round: inout Round) {
        guard !round.tables.isUsed(prefix, of: lease.network) else {
            round.note("node \(lease.node) returned \(prefix) of its block \(lease.block) with an endpoint in it; it stays leased")
            round.draft.put(lease)
            return
        }
        round.draft.delete(AddressLease.key(lease.id))
        guard let layout = round.tables.subnetLeases[lease.subnet]?.layout else { return }
        for rest in lease.block.subtracting([prefix]) where layout.hostCount(in: rest) > 0 {
            round.draft.put(AddressLease(network: lease.network, block: rest, node: lease.node))
        }
    }
}
