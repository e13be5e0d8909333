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
        state.put(.lease(AddressLease(network: subnet.network, block: block, node: node)))
    }

    mutating func leaseRequested(_ number: RequestNumber, subnet: SubnetID, address: IPAddress?, by node: NodeID) {
        guard let session = sessions[node]?.id else { return }
        do throws(ControlError) {
            try lease(subnet, address: address, to: node)
            effects.append(.send(node, session, .leaseGranted(number)))
        } catch {
            effects.append(.send(node, session, .leaseRefused(number, reason: error.message)))
        }
    }

    private mutating func lease(_ subnet: SubnetID, address: IPAddress?, to node: NodeID) throws(ControlError) {
        let id = subnet.network
        guard let network = state.networks[id] else { throw ControlError(.notFound, "network \(id) not found") }
        guard let leases = state.subnetLeases[subnet] else {
            throw ControlError(.invalid, "network \(network.spec.name) has no \(subnet.family)")
        }
        guard let address else {
            guard let block = leases.freeBlock(nodes: nodeCount) else {
                throw ControlError(
                    .unavailable,
                    "all addresses of \(leases.layout.range) are in use by this or leased by other nodes: detach something, or "
                        + "create the network anew with a larger --subnet")
            }
            state.put(.lease(AddressLease(network: id, block: block, node: node)))
            return
        }
        do throws(IPAMError) { try leases.layout.checkAssignable(address) } catch {
            throw ControlError(.invalid, error.description)
        }
        if let user = state.addressUsers[id]?[address], let endpoint = state.endpoints[user], endpoint.node != node {
            let host = state.nodes[endpoint.node]?.label ?? endpoint.node.rawValue
            throw ControlError(
                .conflict, "the address \(address) is in use by endpoint \(endpoint.name) on node \(host)")
        }
        if let lease = leases.lease(holding: address) {
            if lease.node == node { return }
            let host = state.nodes[lease.node]?.label ?? lease.node.rawValue
            throw ControlError(
                .conflict,
                "the address \(address) of network \(network.spec.name) lies in the block \(lease.block) that node \(host) "
                    + "allocates from: attach there, or choose an address outside of that block (--ip-range keeps a part of "
                    + "the subnet for chosen addresses)")
        }
        state.put(.lease(AddressLease(network: id, block: AnyIPPrefix(host: address), node: node)))
    }

    /// Takes blocks back that their node does not use. Whatever is in use by what the manager knows stays leased.
    mutating func leasesReturned(_ ids: [String], by node: NodeID) {
        for id in Set(ids).sorted() {
            guard let lease = state.leases[id], lease.node == node else { continue }
            let users = state.addressUsers[lease.network] ?? [:]
            if users.keys.contains(where: lease.block.contains) {
                effects.append(
                    .note("node \(node) returned the block \(lease.block) with an endpoint in it; it stays leased"))
                continue
            }
            state.delete(StoreKey(kind: .lease, id: id))
        }
    }
}
