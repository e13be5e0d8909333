internal import SwiftASN1
package import WeftModel
internal import X509

extension CertificateIssuer {
    init(_ root: Certificate) throws {
        var subject = DER.Serializer()
        try subject.serialize(root.subject)
        self.init(subject: subject.serializedBytes, publicKey: Array(try root.publicKey.serializeAsPEM().derBytes))
    }

    /// The issuer that the first certificate of a text is.
    package init(rootCertificatePEM: String) throws {
        guard let root = try PEM.certificates(rootCertificatePEM).first else {
            throw IdentityError.unreadable(what: "root certificate", reason: "empty")
        }
        try self.init(root)
    }
}

extension NodeIdentity {
    /// As the node reports it.
    package var trust: TrustInformation? {
        get throws {
            guard let issuingRoot else { return nil }
            return TrustInformation(rootsPEM: try rootCertificatesPEM, issuer: try CertificateIssuer(issuingRoot))
        }
    }

    /// False while a root is being replaced and the node's certificate is of another than the first.
    package var isOfWantedRoot: Bool { issuingRoot == roots.first }
}
