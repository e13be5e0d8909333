package import WeftDatapath
package import WeftModel

/// What data path and names are made from: all of it, or what is different from before.
package struct ViewChange: Sendable {
    /// What is named here is all there is: networks, peers, services and endpoints that are not are gone.
    package var isWhole = false
    /// Nil: as before, or not known yet.
    package var dataPathPort: UInt16?
    /// Each as it is now, nil where it is gone.
    package var networks: [NetworkID: Network?] = [:]
    package var peers: [NodeID: Peer?] = [:]
    package var services: [ServiceID: ServiceView?] = [:]
    package var endpoints: [EndpointID: Part] = [:]

    /// One endpoint as it is now.
    package struct Part: Sendable {
        /// Nil when it is gone.
        package var endpoint: Endpoint?
        /// Of this node's.
        package var attachment: SandboxAttachment?
        /// Why one of this node's has no attachment: a sentence.
        package var problem: String?

        package init(endpoint: Endpoint?, attachment: SandboxAttachment? = nil, problem: String? = nil) {
            self.endpoint = endpoint
            self.attachment = attachment
            self.problem = problem
        }
    }

    package init() {}

    package var isEmpty: Bool {
        !isWhole && dataPathPort == nil && networks.isEmpty && peers.isEmpty && services.isEmpty && endpoints.isEmpty
    }

    /// Lays a later change over this one.
    package mutating func merge(_ later: ViewChange) {
        guard !later.isWhole else {
            let port = dataPathPort
            self = later
            dataPathPort = later.dataPathPort ?? port
            return
        }
        dataPathPort = later.dataPathPort ?? dataPathPort
        networks.merge(later.networks) { _, new in new }
        peers.merge(later.peers) { _, new in new }
        services.merge(later.services) { _, new in new }
        endpoints.merge(later.endpoints) { _, new in new }
    }
}
