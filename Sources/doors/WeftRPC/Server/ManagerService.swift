package import WeftIdentity
package import WeftModel
package import WeftNet

/// What a member is told that shows an address.
package struct AddressReply: Sendable, Hashable {
    /// The member's data path address, as the swarm has it.
    package var dataPathAddress: IPv4Address?
    /// Addresses of this manager that the member may call from others of its own.
    package var managerAddresses: [IPv4Address]

    package init(dataPathAddress: IPv4Address?, managerAddresses: [IPv4Address]) {
        self.dataPathAddress = dataPathAddress
        self.managerAddresses = managerAddresses
    }
}

/// What stands behind a `ManagerServer`. Errors other than `Refusal` reach the caller as internal errors, with their
/// description.
package protocol ManagerService: Sendable {
    /// The certificate whose digest is in the join tokens. Anybody may ask.
    func rootCertificatePEM() async throws -> String
    /// Lets a node in whose token holds `secret`, with a role that follows from it. `remoteAddress` is `address:port`.
    func join(secret: String, csrPEM: String, as availability: NodeAvailability, remoteAddress: String) async throws -> JoinGrant
    /// A new certificate for a member, PEM; and the trust roots of the moment, concatenated.
    func renew(_ peer: PeerIdentity, csrPEM: String) async throws -> (
        certificatePEM: String, rootCertificatesPEM: String
    )
    /// A member called from an address, and thereby showed that it answers there.
    func addressShown(_ address: IPv4Address, by peer: PeerIdentity) async throws -> AddressReply
    /// False for a node that was removed: none of its calls is answered. Asked on every call.
    func isMember(_ node: NodeID) -> Bool
    /// Serves one session until it returns, which ends the session, or until the task is cancelled, for the node is
    /// gone or the session was closed. A node that comes again may have its new session before the old one is over.
    func session(_ session: NodeSession, incoming: NodeMessages) async throws
    /// Serves a node's stream of its tasks' output, as a session.
    func logs(_ stream: NodeLogStream, incoming: NodeLogMessages) async throws
}

/// The manager's end of a session.
package final class NodeSession: Sendable {
    package let peer: PeerIdentity
    /// `address:port` that the node's connection comes from.
    package let remoteAddress: String
    let outbox: Outbox<ManagerMessage>

    init(peer: PeerIdentity, remoteAddress: String, queueLimit: Int) {
        self.peer = peer
        self.remoteAddress = remoteAddress
        outbox = Outbox(limit: queueLimit)
    }

    package var node: NodeID { peer.node }

    /// Queues a message, without waiting. When the node does not keep up the session is closed.
    package func send(_ message: ManagerMessage) throws(SessionError) { try outbox.send(message) }

    /// Tells the node why, and ends the session.
    package func close(reason: String) { outbox.close(last: .goodbye(reason: reason)) }
}
