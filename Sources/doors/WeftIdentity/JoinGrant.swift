package import WeftModel

/// What a new node gets.
package struct JoinGrant: Sendable, Hashable {
    package var node: NodeID
    package var cluster: ClusterID
    package var certificatePEM: String
    /// Trust roots, concatenated.
    package var rootCertificatesPEM: String

    package init(node: NodeID, cluster: ClusterID, certificatePEM: String, rootCertificatesPEM: String) {
        self.node = node
        self.cluster = cluster
        self.certificatePEM = certificatePEM
        self.rootCertificatesPEM = rootCertificatesPEM
    }
}
