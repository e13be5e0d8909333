internal import Crypto
internal import FoundationEssentials
internal import SwiftASN1
package import WeftModel
internal import X509

/// The swarm's own certificate authority: one root that signs node certificates directly. What Weft makes is ECDSA P-256.
package struct CertificateAuthority: Sendable {
    let root: Certificate
    private let key: Certificate.PrivateKey
    package let rootCertificatePEM: String
    package let privateKeyPEM: Secret

    private static let rootLifetimeSeconds: Int64 = 20 * 365 * 24 * 3600
    /// Certificates begin this long before they are issued, because hosts' clocks differ.
    static let backdateSeconds: Int64 = 3600

    /// Makes a new root.
    package static func make(now: Instant) throws -> CertificateAuthority {
        let key = Certificate.PrivateKey(P256.Signing.PrivateKey())
        let name = try DistinguishedName { CommonName("weft-ca") }
        let root = try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: key.publicKey,
            notValidBefore: date(now, offset: -backdateSeconds), notValidAfter: date(now, offset: rootLifetimeSeconds),
            issuer: name, subject: name,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(keyCertSign: true, cRLSign: true))
                SubjectKeyIdentifier(hash: key.publicKey)
            }, issuerPrivateKey: key)
        return try CertificateAuthority(root: root, key: key)
    }

    /// Takes up what `rootCertificatePEM` and `privateKeyPEM` gave.
    package init(rootCertificatePEM: String, privateKeyPEM: Secret) throws {
        let roots = try PEM.certificates(rootCertificatePEM)
        guard let root = roots.first else { throw IdentityError.unreadable(what: "root certificate", reason: "empty") }
        let key = try PEM.authorityKey(privateKeyPEM.exposed)
        guard key.publicKey == root.publicKey else { throw IdentityError.keyMismatch }
        try self.init(root: root, key: key)
    }

    private init(root: Certificate, key: Certificate.PrivateKey) throws {
        self.root = root
        self.key = key
        rootCertificatePEM = try PEM.text(root)
        privateKeyPEM = Secret(try key.serializeAsPEM().pemString)
    }

    /// Takes up a root that the operator brings, to replace `current`.
    package static func given(
        certificatePEM: String, privateKeyPEM: Secret, replacing current: String, now: Instant
    ) throws(RootRefusal) -> CertificateAuthority {
        let roots: [Certificate]
        do { roots = try PEM.certificates(certificatePEM) } catch { throw .certificateUnreadable }
        guard let root = roots.first else { throw .certificateUnreadable }
        guard roots.count == 1 else { throw .severalCertificates }
        let key: Certificate.PrivateKey
        do { key = try PEM.authorityKey(privateKeyPEM.exposed) } catch { throw .keyUnreadable }
        guard key.publicKey == root.publicKey else { throw .keyMismatch }
        guard root.issuer == root.subject, root.publicKey.isValidSignature(root.signature, for: root),
            case .isCertificateAuthority? = try? root.extensions.basicConstraints
        else { throw .noRoot }
        guard root.notValidBefore <= date(now, offset: 0), root.notValidAfter > date(now, offset: givenLifetimeSeconds)
        else { throw .expiresSoon }
        let old = try? PEM.certificates(current).first
        guard old != root else { return try unchecked(root, key) }
        guard old?.publicKey != root.publicKey else { throw .sameKey }
        return try unchecked(root, key)
    }

    private static func unchecked(
        _ root: Certificate, _ key: Certificate.PrivateKey
    ) throws(RootRefusal) -> CertificateAuthority {
        do { return try CertificateAuthority(root: root, key: key) } catch { throw .certificateUnreadable }
    }

    /// A root that is brought must be good for so long yet.
    private static let givenLifetimeSeconds: Int64 = 365 * 24 * 3600

    /// As the swarm's settings take it.
    package var rootAuthority: RootAuthority {
        get throws {
            RootAuthority(
                certificatePEM: rootCertificatePEM, issuer: try CertificateIssuer(root), privateKeyPEM: privateKeyPEM)
        }
    }

    /// The digest by which joiners know the root.
    package var rootDigest: String { get throws { try PEM.digest(root) } }

    /// The same of a root whose key is not at hand.
    package static func digest(ofRootPEM text: String) throws -> String {
        guard let root = try PEM.certificates(text).first else {
            throw IdentityError.unreadable(what: "root certificate", reason: "empty")
        }
        return try PEM.digest(root)
    }

    /// Signs a node's request. Of the request only the key counts; who the node is, the caller says. PEM.
    package func sign(
        csrPEM: String, node: NodeID, role: NodeRole, cluster: ClusterID, lifetimeSeconds: Int64, now: Instant
    ) throws -> String {
        let request: CertificateSigningRequest
        do { request = try CertificateSigningRequest(pemEncoded: csrPEM) } catch {
            throw IdentityError.unreadable(what: "certificate request", reason: "\(error)")
        }
        guard P256.Signing.PublicKey(request.publicKey) != nil else { throw IdentityError.keyKindUnsupported }
        guard request.publicKey.isValidSignature(request.signature, for: request) else {
            throw IdentityError.signatureInvalid
        }
        let identity = PeerIdentity(node: node, role: role, cluster: cluster)
        return try PEM.text(issue(request.publicKey, identity, lifetimeSeconds: lifetimeSeconds, now: now))
    }

    /// Makes key and certificate of the first manager, which has nobody to ask.
    package func makeIdentity(
        node: NodeID, role: NodeRole, cluster: ClusterID, lifetimeSeconds: Int64, now: Instant
    ) throws -> NodeIdentity {
        let key = NodeKey()
        let peer = PeerIdentity(node: node, role: role, cluster: cluster)
        let certificate = try issue(key.value.publicKey, peer, lifetimeSeconds: lifetimeSeconds, now: now)
        return try NodeIdentity(key: key, certificate: certificate, roots: [root])
    }

    private func issue(
        _ publicKey: Certificate.PublicKey, _ peer: PeerIdentity, lifetimeSeconds: Int64, now: Instant
    ) throws -> Certificate {
        // A leaf that outlives its root would fail before it says so.
        let end = min(
            Self.date(now, offset: max(1, min(lifetimeSeconds, Self.rootLifetimeSeconds))), root.notValidAfter)
        return try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: publicKey,
            notValidBefore: Self.date(now, offset: -Self.backdateSeconds), notValidAfter: end,
            issuer: root.subject, subject: try peer.subject(),
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(KeyUsage(digitalSignature: true))
                try ExtendedKeyUsage([.serverAuth, .clientAuth])
                SubjectAlternativeNames([.dnsName(peer.role.certificateUnit), .dnsName("weft")])
                SubjectKeyIdentifier(hash: publicKey)
            }, issuerPrivateKey: key)
    }

    private static func date(_ instant: Instant, offset: Int64) -> Date {
        Date(timeIntervalSince1970: Double(instant.nanoseconds / 1_000_000_000) + Double(offset))
    }
}

/// Why a root that the operator brings cannot be the swarm's.
package enum RootRefusal: Error, Hashable, CustomStringConvertible {
    case certificateUnreadable
    case severalCertificates
    case keyUnreadable
    case keyMismatch
    case noRoot
    case expiresSoon
    case sameKey

    package var description: String {
        switch self {
        case .certificateUnreadable: "could not parse the desired CA certificate"
        case .severalCertificates: "the desired CA certificate cannot contain multiple certificates"
        case .keyUnreadable: "could not parse the desired CA key: give an unencrypted RSA or ECDSA key, PEM"
        case .keyMismatch: "certificate key mismatch"
        case .noRoot: "the desired CA certificate must be a self-signed CA certificate"
        case .expiresSoon: "CA certificate expires too soon"
        case .sameKey: "Cannot update to a cert with an identical key"
        }
    }
}
