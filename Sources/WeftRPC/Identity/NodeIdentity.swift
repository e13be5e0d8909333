internal import Crypto
internal import FoundationEssentials
internal import SwiftASN1
package import WeftModel
internal import X509

/// A node's private key, and the requests it signs.
package struct NodeKey: Sendable {
    let value: Certificate.PrivateKey

    /// Makes a new key.
    package init() { value = Certificate.PrivateKey(P256.Signing.PrivateKey()) }
    init(_ value: Certificate.PrivateKey) { self.value = value }

    /// A certificate signing request, PEM. It names nobody: the authority decides whose certificate it gives.
    package func requestPEM() throws -> String {
        let request = try CertificateSigningRequest(
            version: .v1, subject: DistinguishedName { CommonName("weft") }, privateKey: value,
            attributes: CertificateSigningRequest.Attributes(), signatureAlgorithm: .ecdsaWithSHA256)
        return try request.serializeAsPEM().pemString
    }

    /// What a joiner shows in place of a certificate of the swarm: one it signed itself.
    func selfSigned() throws -> Certificate {
        let name = try DistinguishedName { CommonName("weft-joiner") }
        return try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: value.publicKey,
            notValidBefore: Date.now.addingTimeInterval(-3600), notValidAfter: Date.now.addingTimeInterval(3600),
            issuer: name, subject: name, extensions: Certificate.Extensions(), issuerPrivateKey: value)
    }
}

/// A member's key, certificate and trust roots.
package struct NodeIdentity: Sendable {
    let key: NodeKey
    let certificate: Certificate
    let roots: [Certificate]
    package let peer: PeerIdentity

    package var node: NodeID { peer.node }
    package var role: NodeRole { peer.role }
    package var cluster: ClusterID { peer.cluster }

    /// When the certificate expires.
    package var expiry: Instant { Self.instant(certificate.notValidAfter) }
    /// When the certificate was issued.
    package var issued: Instant {
        Self.instant(certificate.notValidBefore) + .seconds(CertificateAuthority.backdateSeconds)
    }

    init(key: NodeKey, certificate: Certificate, roots: [Certificate]) throws {
        guard certificate.publicKey == key.value.publicKey else { throw IdentityError.keyMismatch }
        self.key = key
        self.certificate = certificate
        self.roots = roots
        peer = try PeerIdentity(certificate: certificate)
    }

    /// Puts together what a manager answered, after checking that it fits.
    init(key: NodeKey, certificatePEM: String, rootCertificatesPEM: String) async throws {
        guard let certificate = try PEM.certificates(certificatePEM).first else {
            throw IdentityError.unreadable(what: "certificate", reason: "empty")
        }
        try self.init(key: key, certificate: certificate, roots: try PEM.certificates(rootCertificatesPEM))
        _ = try await TrustRoots(roots).verify([certificate])
    }

    package var rootCertificatesPEM: String { get throws { try roots.map(PEM.text).joined() } }

    private static func instant(_ date: Date) -> Instant {
        Instant(nanoseconds: Int64(date.timeIntervalSince1970) * 1_000_000_000)
    }

    private static func path(in directory: String) -> String { directory + "/node.pem" }

    /// Writes key, certificate and roots to `node.pem` in the directory, for the owner only. They are one file, so that
    /// a crash never leaves the certificate of another key.
    package func save(to directory: String) throws {
        let text = try key.value.serializeAsPEM().pemString + "\n" + PEM.text(certificate) + rootCertificatesPEM
        try PrivateFile.replace(Self.path(in: directory), with: Array(text.utf8))
    }

    /// Reads what `save` wrote; nil when there is nothing.
    package static func load(from directory: String) throws -> NodeIdentity? {
        guard let bytes = try PrivateFile.read(path(in: directory)) else { return nil }
        let documents: [PEMDocument]
        do { documents = try PEMDocument.parseMultiple(pemString: String(decoding: bytes, as: UTF8.self)) } catch {
            throw IdentityError.unreadable(what: "file \(path(in: directory))", reason: "\(error)")
        }
        guard documents.count >= 3 else {
            throw IdentityError.unreadable(what: "file \(path(in: directory))", reason: "it ends early")
        }
        let certificates = try PEM.certificates(documents.dropFirst().map(\.pemString).joined(separator: "\n"))
        return try NodeIdentity(
            key: NodeKey(PEM.privateKey(documents[0].pemString)), certificate: certificates[0],
            roots: Array(certificates.dropFirst()))
    }

    /// Removes what `save` wrote; no error when there is nothing.
    package static func remove(from directory: String) throws { try PrivateFile.remove(path(in: directory)) }
}
