package import NIOCore
package import NIOSSL
internal import SwiftASN1
internal import Synchronization
package import WeftModel
internal import X509

/// The roots that certificates of the swarm lead to; they may change while connections are open.
package final class TrustRoots: Sendable {
    private let roots: Mutex<[Certificate]>

    init(_ roots: [Certificate]) { self.roots = Mutex(roots) }

    /// The roots in a text.
    package convenience init(pem: String) throws { self.init(try PEM.certificates(pem)) }

    var current: [Certificate] { roots.withLock { $0 } }
    func replace(with new: [Certificate]) { roots.withLock { $0 = new } }

    /// The chain from the first certificate to a root, both included.
    func verify(_ certificates: [Certificate]) async throws -> [Certificate] {
        guard let leaf = certificates.first else { throw IdentityError.untrusted }
        var verifier = Verifier(rootCertificates: CertificateStore(current)) { RFC5280Policy() }
        switch await verifier.validate(leaf: leaf, intermediates: CertificateStore(certificates.dropFirst())) {
        case .validCertificate(let chain): return Array(chain)
        case .couldNotValidate: throw IdentityError.untrusted
        }
    }

    /// As `verify`, of certificates in a text.
    package func verify(pem: String) async throws { _ = try await verify(PEM.certificates(pem)) }

    package typealias Callback = @Sendable ([NIOSSLCertificate], EventLoopPromise<NIOSSLVerificationResultWithMetadata>) -> Void

    /// For a server: members are verified; who shows a certificate signed by itself is let in without an identity. Another
    /// swarm's members are refused, though their root may be the same.
    package func verifyingClients(of cluster: ClusterID) -> Callback {
        { certificates, promise in
            promise.completeWithTask {
                let chain = try Self.parse(certificates)
                if let only = chain.first, chain.count == 1, only.issuer == only.subject {
                    return .certificateVerified(VerificationMetadata(nil))
                }
                guard let leaf = chain.first, try PeerIdentity(certificate: leaf).cluster == cluster else { return .failed }
                return try await self.accept(chain)
            }
        }
    }

    /// For a client: the server must be a manager of the swarm; nil for one that is about to learn which it joins.
    package func verifyingManager(of cluster: ClusterID?) -> Callback {
        { certificates, promise in
            promise.completeWithTask {
                let chain = try Self.parse(certificates)
                guard let leaf = chain.first else { return .failed }
                let peer = try PeerIdentity(certificate: leaf)
                guard peer.role == .manager, cluster == nil || peer.cluster == cluster else { return .failed }
                return try await self.accept(chain)
            }
        }
    }

    /// For a joiner that has yet to learn the root: it may hear anything, and must say nothing secret.
    package static func acceptingAnyone() -> Callback {
        { _, promise in promise.succeed(.certificateVerified(VerificationMetadata(nil))) }
    }

    private func accept(_ certificates: [Certificate]) async throws -> NIOSSLVerificationResultWithMetadata {
        let chain = try await verify(certificates)
        let converted = try chain.map { try NIOSSLCertificate(bytes: PEM.der($0), format: .der) }
        return .certificateVerified(VerificationMetadata(ValidatedCertificateChain(converted)))
    }

    private static func parse(_ certificates: [NIOSSLCertificate]) throws -> [Certificate] {
        guard certificates.count <= 8 else { throw IdentityError.untrusted }
        return try certificates.map { try Certificate(derEncoded: $0.toDERBytes()) }
    }
}
