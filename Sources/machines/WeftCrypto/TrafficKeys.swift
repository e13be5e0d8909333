package import Crypto
internal import WeftModel

/// The key of one direction between two nodes, for ESP.
package struct TrafficKey: Equatable, Sendable {
    /// What the receiver knows the key by. It may be that of another of its keys by chance: then the receiver states anew.
    package let spi: UInt32
    /// AES key of 16 or 32 bytes, then the salt of 4 (RFC 4106, section 8.1).
    package let material: [UInt8]
}

/// Both keys between two nodes, of both their statements: C(2e, 0s, ECC DH) of NIST SP 800-56A Rev. 3 over X25519, with HKDF-SHA256 (RFC 5869).
package struct TrafficKeys: Equatable, Sendable {
    package let outbound: TrafficKey
    package let inbound: TrafficKey

    package enum Refusal: Error, Equatable, Sendable {
        /// A statement of another swarm, or of this node itself.
        case wrongParty
        /// The public key is no point that leads to a secret (RFC 7748, section 6.1).
        case weakKey
    }

    /// - Parameters:
    ///   - key: the private one of `mine`.
    ///   - theirs: whose signature has been verified.
    package init(_ key: Curve25519.KeyAgreement.PrivateKey, mine: KeyStatement, theirs: KeyStatement) throws(Refusal) {
        guard mine.cluster == theirs.cluster, mine.node != theirs.node, Array(key.publicKey.rawRepresentation) == mine.publicKey else {
            throw .wrongParty
        }
        let secret: SharedSecret
        do {
            secret = try key.sharedSecretFromKeyAgreement(with: Curve25519.KeyAgreement.PublicKey(rawRepresentation: theirs.publicKey))
        } catch { throw .weakKey }
        guard secret.withUnsafeBytes({ $0.contains { $0 != 0 } }) else { throw .weakKey }
        let (first, second) = (mine.signedBytes, theirs.signedBytes)
        var hash = SHA256()
        hash.update(data: first.lexicographicallyPrecedes(second) ? first : second)
        hash.update(data: first.lexicographicallyPrecedes(second) ? second : first)
        let salt = Array(hash.finalize())
        let length = (mine.isLong || theirs.isLong ? 32 : 16) + 4
        func derive(from: KeyStatement, to: KeyStatement) -> TrafficKey {
            var info = Array("weft esp v1".utf8)
            for node in [from.node, to.node] { info += [0] + Array(node.rawValue.utf8) }
            let key = secret.hkdfDerivedSymmetricKey(using: SHA256.self, salt: salt, sharedInfo: info, outputByteCount: length + 4)
            return key.withUnsafeBytes { bytes in
                let number = bytes[length...].reduce(0) { $0 << 8 | UInt32($1) }
                // Up to 255 they are reserved (RFC 4303, section 2.1).
                return TrafficKey(spi: number < 256 ? number + 256 : number, material: Array(bytes[..<length]))
            }
        }
        outbound = derive(from: mine, to: theirs)
        inbound = derive(from: theirs, to: mine)
    }
}
