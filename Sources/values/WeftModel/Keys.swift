// What nodes say of the keys of the protected data path (docs/design/keys.md). Managers pass it on, and can neither make nor change it.

/// Names a statement of a node's: its keys for an epoch, as they were made once. A node that starts anew makes another one.
package struct StatementID: Hashable, Comparable, Sendable, Codable {
    package let epoch: UInt64
    /// Drawn when the keys were made.
    package let incarnation: UInt128

    package init(epoch: UInt64, incarnation: UInt128) {
        self.epoch = epoch
        self.incarnation = incarnation
    }

    package static func < (left: Self, right: Self) -> Bool { (left.epoch, left.incarnation) < (right.epoch, right.incarnation) }

    /// The incarnation as text: no reader of JSON needs to know numbers of 128 bits.
    package var incarnationText: String { String(incarnation, radix: 16) }

    private enum CodingKeys: String, CodingKey { case epoch, incarnation }

    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        guard let incarnation = UInt128(try values.decode(String.self, forKey: .incarnation), radix: 16) else {
            throw DecodingError.dataCorruptedError(forKey: .incarnation, in: values, debugDescription: "no hexadecimal digits")
        }
        self.init(epoch: try values.decode(UInt64.self, forKey: .epoch), incarnation: incarnation)
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(epoch, forKey: .epoch)
        try values.encode(incarnationText, forKey: .incarnation)
    }
}

/// A node's statement as it is passed on. It is never changed: another one is another object.
package struct SignedStatement: StoredValue, AssignedValue {
    package static let kind = StoreKind("key-statement", rank: 70)
    package var audience: Audience { .everyNode }

    /// `NODE/EPOCH/INCARNATION`, the last in hexadecimal digits.
    package var id: String { Self.id(node, statement) }
    package static func id(_ node: NodeID, _ statement: StatementID) -> String {
        "\(node)/\(statement.epoch)/\(statement.incarnationText)"
    }
    package var version: Version
    package let node: NodeID
    package let statement: StatementID
    /// What is signed (`WeftCrypto/KeyStatement`), at most 512 bytes.
    package let signedBytes: [UInt8]
    /// By the key of the node's certificate: ECDSA P-256 with SHA-256, DER.
    package let signature: [UInt8]
    /// The node's certificate and those between it and the swarm's root, PEM.
    package let certificatesPEM: String

    package init(
        version: Version = .none, node: NodeID, statement: StatementID, signedBytes: [UInt8], signature: [UInt8], certificatesPEM: String
    ) {
        self.version = version
        self.node = node
        self.statement = statement
        self.signedBytes = signedBytes
        self.signature = signature
        self.certificatesPEM = certificatesPEM
    }
}

extension SignedStatement {
    /// Most bytes of what is signed, of the signature, and of the certificates.
    package static let signedBytesMax = 512
    package static let signatureBytesMax = 256
    package static let certificateBytesMax = 32 << 10
    /// Of a node's statements so many are kept, the newest: the present one, that before, and one more, as a node may start anew in the
    /// midst of a rotation.
    package static let kept = 3

    /// The statement, whenever the store took it in.
    package func isSame(as other: Self) -> Bool {
        node == other.node && statement == other.statement && signedBytes == other.signedBytes && signature == other.signature
            && certificatesPEM == other.certificatesPEM
    }
}

/// What a node says of itself to all others: by which of its statements it is to be sent to, and of what it has heard.
///
/// Who says it has everything in place to receive, under the statement, from every other node by each statement of theirs up to the version, and
/// sends as what others said up to that version has it.
package struct Readiness: Hashable, Sendable, Codable {
    package var statement: StatementID
    /// Of the store: statements and readinesses up to it.
    package var through: Version

    package init(statement: StatementID, through: Version) {
        self.statement = statement
        self.through = through
    }
}

/// A node's readiness as it is passed on.
package struct KeyReadiness: StoredValue, AssignedValue {
    package static let kind = StoreKind("key-readiness", rank: 71)
    package var audience: Audience { .everyNode }

    /// The node's.
    package let id: NodeID
    package var version: Version
    package var readiness: Readiness

    package init(id: NodeID, version: Version = .none, readiness: Readiness) {
        self.id = id
        self.version = version
        self.readiness = readiness
    }
}

/// The epoch that all nodes are to have keys of, and how it goes on.
package struct KeyEpoch: Hashable, Sendable, Codable {
    package var number: UInt64 = 1
    /// When it began, by the wall clock.
    package var since: Instant
    /// Another is to follow as soon as every node has come to this one.
    package var isNextWanted = false

    package init(number: UInt64 = 1, since: Instant) {
        self.number = number
        self.since = since
    }
}

extension ClusterSpec {
    package static let defaultKeyRotationSeconds: Int64 = 12 * 3600
    package static let keyRotationRange: ClosedRange<Int64> = 60...31_536_000

    /// How long an epoch lasts.
    package var keyRotation: Duration { .seconds(keyRotationSeconds ?? Self.defaultKeyRotationSeconds) }
    package var encryptsByDefault: Bool { defaultEncryption ?? false }
}

extension Cluster {
    package var keyEpoch: UInt64 { keys?.number ?? 1 }
    /// Where nothing was ever rotated the first epoch is as old as the swarm.
    package var keyTerm: KeyEpoch { keys ?? KeyEpoch(since: createdAt) }
}

extension NetworkSpec {
    package static let encryptedOption = "encrypted"
    /// The spec of a new network in a swarm with these settings.
    package func completed(by cluster: ClusterSpec) -> NetworkSpec {
        var spec = self
        spec.encryptedByDefault = cluster.encryptsByDefault ? true : nil
        return spec
    }

    /// Whether packets of the network are encrypted between nodes. As Docker's users write it: the option is there, with any value but `false` or `0`.
    package var isEncrypted: Bool {
        options[Self.encryptedOption].map { !["false", "0"].contains($0.lowercased()) } ?? encryptedByDefault ?? false
    }
}
