internal import Crypto
internal import X509

/// What a member of the swarm said, so that others of it can tell that it did.
package struct SignedText: Hashable, Sendable {
    package let bytes: [UInt8]
    /// ECDSA P-256 with SHA-256, DER.
    package let signature: [UInt8]
    /// The signer's certificate and those between it and a root.
    package let certificatesPEM: String

    package init(bytes: [UInt8], signature: [UInt8], certificatesPEM: String) {
        self.bytes = bytes
        self.signature = signature
        self.certificatesPEM = certificatesPEM
    }

    /// Longest text of certificates in bytes.
    package static let certificatesMax = 32 << 10
}

extension NodeIdentity {
    /// The node's certificate, as it goes with what it signs.
    package var certificatePEM: String { get throws { try PEM.text(certificate) } }

    /// Signs with the key of the node's certificate. What is signed has to begin with what it is, so that it is never taken for something else.
    package func sign(_ bytes: [UInt8]) throws -> SignedText {
        let signature = try key.value.sign(bytes: bytes, signatureAlgorithm: .ecdsaWithSHA256)
        return SignedText(bytes: bytes, signature: Array(signature.rawRepresentation), certificatesPEM: try certificatePEM)
    }
}

extension TrustRoots {
    /// Whose words they are: of a member with a certificate in force.
    package func signer(of text: SignedText) async throws -> PeerIdentity {
        guard text.certificatesPEM.utf8.count <= SignedText.certificatesMax else { throw IdentityError.untrusted }
        let certificates = try PEM.certificates(text.certificatesPEM)
        guard let leaf = try await verify(certificates).first else { throw IdentityError.untrusted }
        guard let key = P256.Signing.PublicKey(leaf.publicKey) else { throw IdentityError.keyKindUnsupported }
        guard let signature = try? P256.Signing.ECDSASignature(derRepresentation: text.signature),
            key.isValidSignature(signature, for: text.bytes)
        else { throw IdentityError.wrongSignature }
        return try PeerIdentity(certificate: leaf)
    }
}
