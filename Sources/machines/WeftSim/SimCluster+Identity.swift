import WeftControl
import WeftModel
import WeftNode

/// Certificates, by the name of the root that they are from. A handshake is a look at whom both ends trust.
extension SimCluster {
    /// Roots as texts in a row, `[root][root 1]`.
    static func roots(_ text: String) -> [String] { text.split(separator: "]").map { $0 + "]" } }

    func describeTrust(_ index: Int) {
        nodes[index].description.trust = TrustInformation(
            rootsPEM: nodes[index].roots.joined(),
            issuer: CertificateIssuer(subject: [], publicKey: Array(nodes[index].issuer.utf8)))
    }

    /// Now and then the operator takes a new root back.
    func replaceRoot() throws {
        guard let cluster = manager?.replica.cluster else { return }
        var root = "[root \(nextRoot)]"
        if cluster.rootRotation != nil, random.chance(30) { root = cluster.rootCertificatePEM } else { nextRoot += 1 }
        var rotation = ClusterRotation()
        rotation.root = RootAuthority(
            certificatePEM: root, issuer: CertificateIssuer(subject: [], publicKey: Array(root.utf8)),
            privateKeyPEM: Secret("key of \(root)"))
        try command(.updateCluster(version: cluster.version, cluster.spec, rotating: rotation))
    }

    /// Trust roots come with the assignments; a certificate of another root than the first is renewed.
    func followRoots(_ index: Int, _ message: ManagerMessage) {
        guard case .assignments(let assignments) = message, let view = assignments.cluster else { return }
        if assignments.revision >= nodes[index].ownRootsRevision {
            nodes[index].roots = Self.roots(view.rootCertificatesPEM)
            describeTrust(index)
        }
        queue.plan(.renew(index, life: nodes[index].life), at: delay(1...200))
    }

    /// Asks the manager for a certificate if there is need; without a session the next one does it.
    func renew(_ index: Int, life: Int) throws {
        let node = nodes[index]
        guard node.life == life, node.core != nil, !node.isGone, let session = node.session, streams[session] != nil,
            let manager = manager?.replica, let cluster = manager.cluster, let role = manager.node(node.id)?.spec.role
        else { return }
        if node.issuer != node.roots.first, let root = manager.signingRoot(for: role) {
            guard root.privateKeyPEM.exposed == "key of \(root.certificatePEM)" else {
                throw failure("the key of another root is to sign for \(root.certificatePEM)")
            }
            nodes[0].ownRootsRevision = manager.revision
            try trust(0, Self.roots(cluster.trustRoots(for: .manager)))
            nodes[index].issuer = root.certificatePEM
            try trust(index, Self.roots(cluster.trustRoots(for: role)))
        } else {
            try trust(index, node.roots)
        }
    }

    private func trust(_ index: Int, _ roots: [String]) throws {
        nodes[index].roots = roots
        describeTrust(index)
        try feed(index, .descriptionChanged(nodes[index].description))
    }
}
