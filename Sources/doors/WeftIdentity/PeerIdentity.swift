internal import SwiftASN1
package import WeftModel
package import X509

/// Who a certificate of the swarm says its holder is: CN node, OU role, O cluster, as Swarm writes them.
package struct PeerIdentity: Sendable, Hashable {
    package let node: NodeID
    package let role: NodeRole
    package let cluster: ClusterID

    package init(node: NodeID, role: NodeRole, cluster: ClusterID) {
        self.node = node
        self.role = role
        self.cluster = cluster
    }

    /// Reads it from a certificate, which somebody else has verified.
    package init(certificate: Certificate) throws(IdentityError) {
        func part(_ type: ASN1ObjectIdentifier, _ name: String) throws(IdentityError) -> String {
            let attribute = certificate.subject.lazy.flatMap { $0 }.first { $0.type == type }
            guard let attribute, let text = String(attribute.value), !text.isEmpty else {
                throw .subjectIncomplete(part: name)
            }
            return text
        }
        let unit = try part(.RDNAttributeType.organizationalUnitName, "role")
        guard let role = [NodeRole.worker, .manager].first(where: { $0.certificateUnit == unit }) else {
            throw .subjectIncomplete(part: "role")
        }
        self.init(
            node: NodeID(try part(.RDNAttributeType.commonName, "node")), role: role,
            cluster: ClusterID(try part(.RDNAttributeType.organizationName, "swarm")))
    }

    func subject() throws -> DistinguishedName {
        try DistinguishedName {
            OrganizationName(cluster.rawValue)
            OrganizationalUnitName(role.certificateUnit)
            CommonName(node.rawValue)
        }
    }
}

extension NodeRole {
    var certificateUnit: String {
        switch self {
        case .worker: "swarm-worker"
        case .manager: "swarm-manager"
        }
    }
}
