package import WeftDatapath
package import WeftModel

/// What data path and names are made from: all of it, or what is different from before.
package struct ViewChange: Sendable {
    /// What concerns every endpoint. With it, `endpoints` are all there are.
    package var whole: Whole?
    package var endpoints: [EndpointID: Part] = [:]

    package struct Whole: Sendable {
        /// Nil until a manager has said it.
        package var dataPathPort: UInt16?
        package var networks: [Network]
        package var peers: [Peer]

        package init(dataPathPort: UInt16?, networks: [Network], peers: [Peer]) {
            self.dataPathPort = dataPathPort
            self.networks = networks
            self.peers = peers
        }
    }

    /// One endpoint as it is now.
    package struct Part: Sendable {
        /// Nil when it is gone, or nothing is known of its network or node.
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

    package var isEmpty: Bool { whole == nil && endpoints.isEmpty }

    /// Lays a later change over this one.
    package mutating func merge(_ later: ViewChange) {
        if later.whole != nil {
            self = later
        } else {
            endpoints.merge(later.endpoints) { _, new in new }
        }
    }
}
