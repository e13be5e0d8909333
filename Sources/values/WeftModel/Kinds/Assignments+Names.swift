extension Assignments {
    package var networks: [Network] {
        get { self[Network.self].put }
        _modify { yield &self[Network.self].put }
    }
    package var removedNetworks: [NetworkID] {
        get { self[Network.self].removed }
        _modify { yield &self[Network.self].removed }
    }
    package var peers: [Peer] {
        get { self[Peer.self].put }
        _modify { yield &self[Peer.self].put }
    }
    package var removedPeers: [NodeID] {
        get { self[Peer.self].removed }
        _modify { yield &self[Peer.self].removed }
    }
    /// Endpoints of all nodes, the receiver's own among them.
    package var endpoints: [Endpoint] {
        get { self[Endpoint.self].put }
        _modify { yield &self[Endpoint.self].put }
    }
    package var removedEndpoints: [EndpointID] {
        get { self[Endpoint.self].removed }
        _modify { yield &self[Endpoint.self].removed }
    }
    /// The receiver's own leases.
    package var leases: [AddressLease] {
        get { self[AddressLease.self].put }
        _modify { yield &self[AddressLease.self].put }
    }
    /// `AddressLease.id` of leases the receiver holds no longer.
    package var removedLeases: [String] {
        get { self[AddressLease.self].removed }
        _modify { yield &self[AddressLease.self].removed }
    }
}
