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
    /// Life of a node certificate, in seconds.
    package var certificateLifetimeSeconds: Int64 = 90 * 24 * 3600
    /// Time between a node's heartbeats, in seconds; three missed ones make the node `down`.
    package var heartbeatSeconds: Int64 = 5

    package init(
        addressPools: [IPv4Prefix] = [IPv4Prefix(IPv4Address(rawValue: 10 << 24), length: 8).unsafelyUnwrapped],
        subnetLength: Int = 24, dataPathPort: UInt16 = 4789
    ) {
        self.addressPools = addressPools
        self.subnetLength = subnetLength
        self.dataPathPort = dataPathPort
    }
}

/// The swarm. There is one object of this kind in the store.
package struct Cluster: Hashable, Sendable, Codable, Identifiable {
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

/// Text that must not reach a log: it has no description of its content.
package struct Secret: Hashable, Sendable, Codable, CustomStringConvertible, CustomReflectable {
    /// The content, to be used and not to be shown.
    package let exposed: String
    package init(_ exposed: String) { self.exposed = exposed }

    package init(from decoder: any Decoder) throws {
        exposed = try decoder.singleValueContainer().decode(String.self)
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(exposed)
    }

    package var description: String { "<secret>" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
