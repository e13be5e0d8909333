internal import Crypto
package import WeftModel

/// What lets a node into a swarm: the digest by which it knows the swarm's root certificate, and a secret by which the
/// swarm knows the role it may have. Written `SWMTKN-1-<digest>-<secret>`, as Docker writes it.
package struct JoinToken: Sendable, Hashable {
    /// SHA-256 of the root certificate's DER, 50 digits of base 36.
    package let rootDigest: String
    package let secret: Secret

    static let digestLength = 50
    static let secretLength = 25

    package init(rootDigest: String, secret: Secret) {
        self.rootDigest = rootDigest
        self.secret = secret
    }

    /// Reads a token; the error says which part of it is wrong.
    package init(parsing text: String) throws(JoinTokenError) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts[0] == "SWMTKN" else { throw .prefix }
        guard parts.count > 1, parts[1] == "1" else { throw .version(parts.count > 1 ? String(parts[1]) : "") }
        guard parts.count == 4 else { throw .parts(parts.count) }
        guard parts[2].utf8.count == Self.digestLength, Base36.isDigits(parts[2]) else { throw .digest }
        guard parts[3].utf8.count == Self.secretLength, Base36.isDigits(parts[3]) else { throw .secret }
        self.init(rootDigest: String(parts[2]), secret: Secret(String(parts[3])))
    }

    /// The token's text, secret and all.
    package var exposed: String { "SWMTKN-1-\(rootDigest)-\(secret.exposed)" }

    /// A new secret half.
    package static func randomSecret(using generator: inout some RandomNumberGenerator) -> Secret {
        Secret(randomText(count: secretLength, using: &generator))
    }

    /// The root that this token names, among the certificates of a text; nil when it is none of them.
    package func trust(among certificatesPEM: String) throws -> TrustRoots? {
        let root = try PEM.certificates(certificatesPEM).first { try PEM.digest($0) == rootDigest }
        return root.map { TrustRoots([$0]) }
    }

    static func digest(ofDER certificate: [UInt8]) -> String {
        Base36.encode(SHA256.hash(data: certificate), count: digestLength)
    }

    /// The role that a joiner with this secret gets; nil: the secret is none of the swarm's.
    package static func role(forSecret secret: String, in cluster: Cluster) -> NodeRole? {
        let isWorker = equal(secret, cluster.workerTokenSecret.exposed)
        let isManager = equal(secret, cluster.managerTokenSecret.exposed)
        return isManager ? .manager : isWorker ? .worker : nil
    }

    /// Compares digests, so that the time taken tells nothing of where two secrets differ.
    private static func equal(_ left: String, _ right: String) -> Bool {
        !right.isEmpty && SHA256.hash(data: Array(left.utf8)) == SHA256.hash(data: Array(right.utf8))
    }
}

/// What is wrong with the text of a join token.
package enum JoinTokenError: Error, Hashable, CustomStringConvertible {
    case prefix
    case version(String)
    case parts(Int)
    case digest
    case secret

    package var description: String {
        let advice = "print the token again with `weft swarm join-token` on a manager, and copy all of it"
        return switch self {
        case .prefix: "the join token does not begin with SWMTKN-1-: \(advice)"
        case .version(let version):
            "the join token is of version \"\(version)\", and only version 1 is known: \(advice)"
        case .parts(let count): "the join token has \(count) parts between its dashes, not 4: \(advice)"
        case .digest: "the join token's third part is not 50 characters of 0-9 and a-z: \(advice)"
        case .secret: "the join token's last part is not 25 characters of 0-9 and a-z: \(advice)"
        }
    }
}
