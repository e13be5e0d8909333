internal import Crypto
internal import SwiftASN1
internal import X509

/// Certificates and keys as text.
enum PEM {
    /// All certificates in the text, in order; at most 16.
    static func certificates(_ text: String) throws -> [Certificate] {
        do {
            let documents = try PEMDocument.parseMultiple(pemString: text)
            guard documents.count <= 16 else {
                throw IdentityError.unreadable(what: "certificate", reason: "\(documents.count) in one text")
            }
            return try documents.map { try Certificate(pemDocument: $0) }
        } catch let error as IdentityError {
            throw error
        } catch {
            throw IdentityError.unreadable(what: "certificate", reason: "\(error)")
        }
    }

    static func privateKey(_ text: String) throws -> Certificate.PrivateKey {
        do { return Certificate.PrivateKey(try P256.Signing.PrivateKey(pemRepresentation: text)) } catch {
            throw IdentityError.unreadable(what: "private key", reason: "\(error)")
        }
    }

    /// An operator's own authority may have another kind of key.
    static func authorityKey(_ text: String) throws -> Certificate.PrivateKey {
        do { return try Certificate.PrivateKey(pemEncoded: text) } catch {
            throw IdentityError.unreadable(what: "private key", reason: "\(error)")
        }
    }

    static func text(_ certificate: Certificate) throws -> String { try certificate.serializeAsPEM().pemString + "\n" }

    static func der(_ certificate: Certificate) throws -> [UInt8] {
        var serializer = DER.Serializer()
        try serializer.serialize(certificate)
        return serializer.serializedBytes
    }

    static func digest(_ certificate: Certificate) throws -> String { JoinToken.digest(ofDER: try der(certificate)) }
}
