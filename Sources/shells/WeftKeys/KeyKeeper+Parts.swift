package import WeftIdentity
import WeftLinux
package import WeftTunnelClient
package import WeftTunnelWire

/// The process that encrypts, as far as `KeyKeeper` has to do with it. Calls block.
package protocol KeyTunnel: Sendable {
    associatedtype Session: TunnelSession
    /// Takes up the process that runs, with the keys that it has, or starts one.
    func open() throws -> Session
    /// Ends it; there need not be one.
    func end() throws
}

/// A connection to it.
package protocol TunnelSession: Sendable {
    /// The process's number.
    var process: Int32 { get }
    /// Throws when it is gone, or does not answer.
    func ask(_ request: TunnelRequest) throws -> TunnelReply
    /// Returns when it is gone, or after `close`.
    @concurrent func ended() async
    func close()
}

/// Who this node is to others, and who they are.
package protocol KeyIdentity: Sendable {
    /// What goes with what is signed now.
    var certificatePEM: String { get throws }
    func sign(_ bytes: [UInt8]) throws -> SignedText
    /// Throws when it is not the words of a member of the swarm.
    func signer(of text: SignedText) async throws -> PeerIdentity
}

extension TunnelConnection: TunnelSession {}

extension TunnelProcess: KeyTunnel {}

extension NodeCredentials: KeyIdentity {
    package var certificatePEM: String { get throws { try identity.certificatePEM } }
    package func sign(_ bytes: [UInt8]) throws -> SignedText { try identity.sign(bytes) }
    package func signer(of text: SignedText) async throws -> PeerIdentity { try await trust.signer(of: text) }
}
