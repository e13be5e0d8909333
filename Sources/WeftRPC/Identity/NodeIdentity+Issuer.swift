internal import SwiftASN1
internal import X509

/// Who signed a node's certificate, as `docker node inspect` shows it.
package struct IssuerDescription: Sendable, Hashable {
    /// Trust roots, concatenated.
    package let rootsPEM: String
    /// The distinguished name, DER.
    package let subject: [UInt8]
    /// SubjectPublicKeyInfo (RFC 5280, 4.1.2.7), DER.
    package let publicKey: [UInt8]
}

extension NodeIdentity {
    package var issuer: IssuerDescription? {
        get throws {
            guard let root = roots.first else { return nil }
            var subject = DER.Serializer()
            try subject.serialize(root.subject)
            let key = try root.publicKey.serializeAsPEM().derBytes
            return IssuerDescription(
                rootsPEM: try rootCertificatesPEM, subject: subject.serializedBytes, publicKey: Array(key))
        }
    }
}
