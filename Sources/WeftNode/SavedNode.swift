package import WeftModel
package import WeftNet

/// What a node must know after a restart, with or without a manager. Written as one, or `own` before `view`.
package struct SavedNode: Hashable, Sendable, Codable {
    /// What is the node's own truth. Must never be older than what the node did.
    package var own = Own()
    /// What the manager said, as a full set; its `leases` are in `own`. May be older than `own`.
    package var view = Assignments(isFull: true, baseRevision: .none, revision: .none)

    package init() {}

    package struct Own: Hashable, Sendable, Codable {
        package var endpoints: [Endpoint] = []
        package var leases: [AddressLease] = []
        /// `AddressLease.id` of leases that the node gave back, though the manager may not know yet.
        package var returned: [String] = []
        package var resting: [Resting] = []
        /// The manager may have freed what this node leases: nothing may be attached any more.
        package var isLeaving = false
        package init() {}
    }

    /// A freed address that is not to be used again before `until`.
    package struct Resting: Hashable, Sendable, Codable {
        package let network: NetworkID
        package let address: IPv4Address
        package let until: Instant
        package init(network: NetworkID, address: IPv4Address, until: Instant) {
            self.network = network
            self.address = address
            self.until = until
        }
    }
}
