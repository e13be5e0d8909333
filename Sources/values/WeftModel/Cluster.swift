// The words of the swarm as values: cluster, node, network, endpoint, lease; what goes over a session between node and manager;
// what a store keeps. They hold what was said (specs) and what is known (status), and decide nothing: rules are the machines'.
// How large anything may be stands in `Bounds`.
package import WeftNet

/// What the operator said about the whole swarm.
package struct ClusterSpec: Hashable, Sendable, Codable {
    package var name = "default"
    package var labels: [String: String] = [:]
    /// Pools that networks without `--subnet` are cut from.
    package var addressPools: [IPv4Prefix]
    /// Length of the subnets cut from them, 1...30.
    package var subnetLength: Int
    /// UDP port of VXLAN on every node, 1024...49151 (as Docker's `--data-path-port`).
    package var dataPathPort: UInt16
    /// Life of a node certificate, in seconds; 0: as long as by default.
    package var certificateLifetimeSeconds = defaultCertificateLifetimeSeconds
    /// Time between a node's heartbeats, in seconds, 0 for the default; three missed ones make the node `down`.
    package var heartbeatSeconds: Int64 = 5
    /// Nil: as by default. So with what follows: a store may be older than the setting.
    package var raft: RaftSettings?
    package var taskHistoryRetentionLimit: Int64?
    /// Docker's `ForceRotate`: another number than before asks for a new root.
    package var rootGeneration: UInt64?
    /// Whether a manager needs the unlock key after a restart.
    package var locksManagers: Bool?
    /// Whether new overlay networks are encrypted that do not say whether they are.
    package var defaultEncryption: Bool?
    /// Time between epochs of the data path's keys.
    package var keyRotationSeconds: Int64?

    package static let defaultCertificateLifetimeSeconds: Int64 = 90 * 24 * 3600
    package static let defaultTaskHistoryRetentionLimit: Int64 = 5

    package init(
        addressPools: [IPv4Prefix] = [IPv4Prefix(IPv4Address(rawValue: 10 << 24), length: 8).unsafelyUnwrapped],
        subnetLength: Int = 24, dataPathPort: UInt16 = Constants.dataPathPort
    ) {
        self.addressPools = addressPools
        self.subnetLength = subnetLength
        self.dataPathPort = dataPathPort
    }
}

/// How several managers' store keeps its log. A single manager's store has none.
package struct RaftSettings: Hashable, Sendable, Codable {
    package var snapshotInterval: UInt64 = 10_000
    package var keepOldSnapshots: UInt64 = 0
    package var logEntriesForSlowFollowers: UInt64 = 500
    package var electionTick: Int64 = 10
    package var heartbeatTick: Int64 = 1
    package init() {}
}

/// Who signs: distinguished name and SubjectPublicKeyInfo (RFC 5280, 4.1.2.7), both DER.
package struct CertificateIssuer: Hashable, Sendable, Codable {
    package var subject: [UInt8]
    package var publicKey: [UInt8]

    package init(subject: [UInt8], publicKey: [UInt8]) {
        self.subject = subject
        self.publicKey = publicKey
    }
}

/// A root with its private key, made or given to become the swarm's.
package struct RootAuthority: Hashable, Sendable {
    package var certificatePEM: String
    package var issuer: CertificateIssuer
    package var privateKeyPEM: Secret

    package init(certificatePEM: String, issuer: CertificateIssuer, privateKeyPEM: Secret) {
        self.certificatePEM = certificatePEM
        self.issuer = issuer
        self.privateKeyPEM = privateKeyPEM
    }
}

/// The way from one root to the next. Join tokens name the old root until it is done.
package struct RootRotation: Hashable, Sendable, Codable {
    /// Workers first: a node that is away trusts the old root alone, and must find a manager that shows it.
    package enum Stage: String, Hashable, Sendable, Codable { case workers, managers }

    /// The root to come, PEM; the one in use when a rotation is taken back.
    package var certificatePEM: String
    package var issuer: CertificateIssuer
    package var stage = Stage.workers
    /// Roots of rotations that this one replaced: nodes may still have their certificates.
    package var retiring: [String] = []

    package init(certificatePEM: String, issuer: CertificateIssuer) {
        self.certificatePEM = certificatePEM
        self.issuer = issuer
    }
}

/// The swarm. There is one object of this kind in the store.
package struct Cluster: StoredValue {
    package static let kind = StoreKind("cluster", rank: 0)
    package static let hasSecrets = true
    package var audience: Audience { .everyNode }

    package let id: ClusterID
    package var version: Version
    package let createdAt: Instant
    package var updatedAt: Instant
    package var spec: ClusterSpec
    /// The root certificate, PEM.
    package var rootCertificatePEM: String
    /// Secret halves of the join tokens; the digest half is derived from the root certificate.
    package var workerTokenSecret: Secret
    package var managerTokenSecret: Secret
    /// Under way while there is one.
    package var rootRotation: RootRotation?
    /// `SWMKEY-1-…`, while managers are locked.
    package var unlockKey: Secret?
    /// Nil: the first epoch, of which no keys were ever asked anew.
    package var keys: KeyEpoch?

    package init(
        id: ClusterID, version: Version = .none, createdAt: Instant, spec: ClusterSpec, rootCertificatePEM: String,
        workerTokenSecret: Secret, managerTokenSecret: Secret
    ) {
        self.id = id
        self.version = version
        self.createdAt = createdAt
        self.updatedAt = createdAt
        self.spec = spec
        self.rootCertificatePEM = rootCertificatePEM
        self.workerTokenSecret = workerTokenSecret
        self.managerTokenSecret = managerTokenSecret
    }
}

extension ClusterID {
    /// The swarm's own unique local addresses (RFC 4193), from which networks with IPv6 and without a subnet get theirs.
    ///
    /// The global id is the cluster's id modulo 2^40: 25 characters of base 36 are drawn at random, and 36^25 is a multiple
    /// of it, so that it is as random as section 3.2 wants it and needs no place in the store.
    package var uniqueLocalPrefix: IPv6Prefix {
        let number = rawValue.reduce(UInt64(0)) { $0 &* 36 &+ (UInt64(String($1), radix: 36) ?? 0) }
        let globalID = UInt128(number & (1 << 40 - 1))
        return IPv6Prefix(IPv6Address(rawValue: 0xfd << 120 | globalID << 80), length: 48).unsafelyUnwrapped
    }
}

extension Cluster {
    package func assigned(to receiver: Receiver) -> ClusterView? {
        ClusterView(
            id: id, dataPathPort: spec.dataPathPort, heartbeatSeconds: ClusterView.heartbeat(of: spec),
            rootCertificatesPEM: trustRoots(for: receiver.role), keyEpoch: keyEpoch)
    }
}

extension Cluster {
    /// The root that the certificate of a node is to be from.
    package func wantedRoot(for role: NodeRole) -> String {
        guard let rotation = rootRotation, role == .worker || rotation.stage == .managers else {
            return rootCertificatePEM
        }
        return rotation.certificatePEM
    }

    /// All roots that are trusted, the one that the node's certificate is to be from first.
    package func trustRoots(for role: NodeRole) -> String {
        let wanted = wantedRoot(for: role)
        var roots = [wanted]
        for root in [rootCertificatePEM, rootRotation?.certificatePEM].compactMap(\.self) + (rootRotation?.retiring ?? [])
        where !roots.contains(root) {
            roots.append(root)
        }
        return roots.joined()
    }
}

extension ClusterView {
    /// Seconds between heartbeats; a spec that says nothing (0) gets 5, as Docker's.
    package static func heartbeat(of spec: ClusterSpec?) -> Int64 {
        guard let seconds = spec?.heartbeatSeconds, seconds > 0 else { return 5 }
        return seconds
    }
}

/// Text that must not reach a log: it has no description of its content.
package struct Secret: Hashable, Sendable, Codable, CustomStringConvertible, CustomReflectable {
    /// The content, to be used and not to be shown.
    package let exposed: String
    package init(_ exposed: String) { self.exposed = exposed }

    package init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        exposed = try (decoder.userInfo[.secretSeal] as? SecretSeal)?.open(text) ?? text
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode((encoder.userInfo[.secretSeal] as? SecretSeal)?.seal(exposed) ?? exposed)
    }

    package var description: String { "<secret>" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
