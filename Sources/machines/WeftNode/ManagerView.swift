import WeftModel
import WeftNet

/// What the manager said: the cluster, and everybody's networks, peers and endpoints.
struct ManagerView: Sendable {
    /// Where this knowledge ends.
    var revision: Version = .none
    var cluster: ClusterView?
    var networks: [NetworkID: Network] = [:]
    var peers: [NodeID: Peer] = [:]
    /// Endpoints as the manager knows them, this node's among them.
    var endpoints = EndpointTable()
    var leases: [String: AddressLease] = [:]

    /// Lays a set over what is known; false when it does not fit.
    mutating func apply(_ assignments: Assignments) -> Bool {
        guard assignments.isFull || assignments.baseRevision == revision && revision != .none else { return false }
        overlay(assignments)
        return true
    }

    /// Lays a set over what is known, whatever that was.
    mutating func overlay(_ assignments: Assignments) {
        if assignments.isFull { self = ManagerView() }
        revision = assignments.revision
        cluster = assignments.cluster ?? cluster
        for id in assignments.removedNetworks { networks[id] = nil }
        for id in assignments.removedPeers { peers[id] = nil }
        for id in assignments.removedEndpoints { endpoints[id] = nil }
        for id in assignments.removedLeases { leases[id] = nil }
        for network in assignments.networks { networks[network.id] = network }
        for peer in assignments.peers { peers[peer.id] = peer }
        for endpoint in assignments.endpoints { endpoints[endpoint.id] = endpoint }
        for lease in assignments.leases { leases[lease.id] = lease }
    }

    /// Everything but the leases, sorted.
    var assignments: Assignments {
        var all = Assignments(isFull: true, baseRevision: .none, revision: revision)
        all.cluster = cluster
        all.networks = networks.values.sorted { $0.id < $1.id }
        all.peers = peers.values.sorted { $0.id < $1.id }
        all.endpoints = endpoints.values.sorted { $0.id < $1.id }
        return all
    }
}
