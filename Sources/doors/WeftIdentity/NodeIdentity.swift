internal import Crypto
internal import FoundationEssentials
package import NIOSSL
internal import SwiftASN1
internal import WeftLinux
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

    /// For the handshakes of one that has no certificate of the swarm yet.
    package func strangerTLS() throws -> NIOSSLContextConfigurationOverride {
        try NodeCredentials.tls(key: self, certificate: selfSigned())
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
    /// Who signed the certificate; nil when it is none of the roots.
    let issuingRoot: Certificate?
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
        issuingRoot = roots.first {
            $0.subject == certificate.issuer && $0.publicKey.isValidSignature(certificate.signature, for: certificate)
        }
        peer = try PeerIdentity(certificate: certificate)
    }

    /// Puts together what a manager answered, after checking that it fits.
    package init(key: NodeKey, certificatePEM: String, rootCertificatesPEM: String) async throws {
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

    private static let sealedKeyType = "SEALED PRIVATE KEY"
    private static let purpose = "node key"

    /// Writes key, certificate and roots to `node.pem` in the directory, for the owner only. They are one file, so that
    /// a crash never leaves the certificate of another key. With a data key, the node's key is sealed with it.
    package func save(to directory: String, sealing: DataKey? = nil) throws {
        var document = try key.value.serializeAsPEM()
        if let sealing {
            document = PEMDocument(
                type: Self.sealedKeyType,
                derBytes: try sealing.seal(Array(document.pemString.utf8), purpose: Self.purpose))
        }
        let text = try document.pemString + "\n" + PEM.text(certificate) + rootCertificatesPEM
        try FileSystem.writeAtomically(Array(text.utf8), to: Self.path(in: directory))
    }

    /// Reads what `save` wrote; nil when there is nothing.
    package static func load(from directory: String, sealing: DataKey? = nil) throws -> NodeIdentity? {
        guard let documents = try documents(in: directory) else { return nil }
        let certificates = try PEM.certificates(documents.dropFirst().map(\.pemString).joined(separator: "\n"))
        var key = documents[0].pemString
        if documents[0].discriminator == sealedKeyType {
            guard let sealing else {
                throw IdentityError.unreadable(what: "file \(path(in: directory))", reason: "its key is sealed")
            }
            key = String(decoding: try sealing.open(documents[0].derBytes, purpose: purpose), as: UTF8.self)
        }
        return try NodeIdentity(
            key: NodeKey(PEM.privateKey(key)), certificate: certificates[0], roots: Array(certificates.dropFirst()))
    }

    /// Who `save` wrote of, which can be read without the key; nil when there is nothing.
    package static func peer(in directory: String) throws -> PeerIdentity? {
        guard let documents = try documents(in: directory) else { return nil }
        return try PeerIdentity(certificate: Certificate(pemDocument: documents[1]))
    }

    /// Whether the key is sealed in what `save` wrote; false when there is nothing.
    package static func isSealed(in directory: String) throws -> Bool {
        try documents(in: directory)?.first?.discriminator == sealedKeyType
    }

    private static func documents(in directory: String) throws -> [PEMDocument]? {
        guard let bytes = try FileSystem.contents(path(in: directory)) else { return nil }
        let documents: [PEMDocument]
        do { documents = try PEMDocument.parseMultiple(pemString: String(decoding: bytes, as: UTF8.self)) } catch {
            throw IdentityError.unreadable(what: "file \(path(in: directory))", reason: "\(error)")
        }
        guard documents.count >= 3 else {
            throw IdentityError.unreadable(what: "file \(path(in: directory))", reason: "it ends early")
        }
        return documents
    }

    /// Removes what `save` wrote; no error when there is nothing.
    package static func remove(from directory: String) throws { try FileSystem.removeTree(path(in: directory)) }
}
