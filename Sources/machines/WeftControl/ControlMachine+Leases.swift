import WeftIPAM
import WeftModel
import WeftNet

/// Blocks of subnets that nodes allocate from.
extension ControlMachine {
    private var nodeCount: Int { state.nodes.count }

    /// Gives a node its first block of every subnet, as long as all nodes could have one.
    mutating func grantFirstBlocks(to node: NodeID) {
        var leased: Set<SubnetID> = []
        for lease in state.leases.values where lease.node == node { leased.insert(lease.subnet) }
        for subnet in networks.flatMap(\.subnets) where !leased.contains(subnet) { grantFirstBlock(of: subnet, to: node) }
    }

    mutating func grantFirstBlock(of subnet: SubnetID, to node: NodeID) {
        guard let leases = state.subnetLeases[subnet], leases.hasBlockForEach(nodes: nodeCount),
            let block = leases.freeBlock(nodes: nodeCount)
        else { return }
        state.put(AddressLease(network: subnet.network, block: block, node: node))
    }

    mutating func leaseRequested(
        _ number: RequestNumber, subnet: SubnetID, address: IPAddress?, isSpare: Bool, by node: NodeID, now: Instant
    ) {
        guard let session = sessions[node]?.id else { return }
        do throws(ControlError) {
            if try lease(subnet, address: address, to: node) {
                effects.append(.send(node, session, .leaseGranted(number)))
            } else if isSpare {
                throw ControlError(.unavailable, "no block of the subnet is free")
            } else if asks.count(where: { $0.node == node && $0.session == session }) >= Self.asksPerNode {
                throw ControlError(
                    .unavailable, "\(Self.asksPerNode) requests of this node wait for addresses of full subnets already: try again")
            } else {
                asks.append(
                    AddressAsk(node: node, session: session, number: number, subnet: subnet, address: address, since: now))
                asksAreDue = true
            }
        } catch {
            effects.append(.send(node, session, .leaseRefused(number, reason: error.message)))
        }
    }

    /// Leases a free block to a node, or the address named; false when all, or that one, is leased to others.
    mutating func lease(_ subnet: SubnetID, address: IPAddress?, to node: NodeID) throws(ControlError) -> Bool {
        let id = subnet.network
        guard let network = state.networks[id] else { throw ControlError(.notFound, "network \(id) not found") }
        guard let leases = state.subnetLeases[subnet] else {
            throw ControlError(.invalid, "network \(network.spec.name) has no \(subnet.family)")
        }
        guard let address else {
            guard let block = leases.freeBlock(nodes: nodeCount) else { return false }
            state.put(AddressLease(network: id, block: block, node: node))
            return true
        }
        do throws(IPAMError) { try leases.layout.checkAssignable(address) } catch {
            throw ControlError(.invalid, error.description)
        }
        if let lease = leases.lease(holding: address) { return lease.node == node }
        state.put(AddressLease(network: id, block: AnyIPPrefix(host: address), node: node))
        return true
    }

    /// Takes blocks back that their node does not use. Whatever is in use by what the manager knows stays leased.
    mutating func leasesReturned(_ ids: [String], by node: NodeID) {
        for id in Set(ids).sorted() {
            guard let lease = state.leases[id], lease.node == node else { continue }
            takeBack(lease.block, from: lease)
        }
    }

    /// Takes a part of a lease back; its node keeps the rest, in smaller blocks. The node may use what it returned only once
    /// the lease is another or of another version than the one that it returned it from.
    mutating func takeBack(_ prefix: AnyIPPrefix, from lease: AddressLease) {
        guard !state.isUsed(prefix, of: lease.network) else {
            effects.append(
                .note("node \(lease.node) returned \(prefix) of its block \(lease.block) with an endpoint in it; it stays leased"))
            state.put(lease)
            return
        }
        state.delete(AddressLease.key(lease.id))
        restingLeases[lease.id] = nil
        guard let layout = state.subnetLeases[lease.subnet]?.layout else { return }
        for rest in lease.block.subtracting([prefix]) where layout.hostCount(in: rest) > 0 {
            state.put(AddressLease(network: lease.network, block: rest, node: lease.node))
        }
        asksAreDue = true
    }
}
