import WeftModel

/// From one root of trust to the next, without a moment in which a node is not believed.
///
/// All nodes trust both roots at once. Workers get certificates of the new root as soon as they hear of it; managers
/// show theirs of the old root until the last worker has changed, so that a node that was away finds its way back.
/// The old root is dropped when every node, those that are down included, has changed or was removed.
enum RootController {
    static func begin(of cluster: inout Cluster, to root: RootAuthority, in round: inout Round) {
        let current = cluster.rootCertificatePEM
        var rotation = RootRotation(certificatePEM: root.certificatePEM, issuer: root.issuer)
        var authority = round.tables.authority ?? AuthorityKey(id: cluster.id, privateKeyPEM: root.privateKeyPEM)
        if root.certificatePEM == current {
            authority.privateKeyPEM = root.privateKeyPEM
            authority.nextPrivateKeyPEM = nil
        } else {
            authority.nextPrivateKeyPEM = root.privateKeyPEM
        }
        round.draft.put(authority)
        let previous = cluster.rootRotation
        if root.certificatePEM == previous?.certificatePEM { return }
        // Taken up again with the same key: there is nothing to change.
        if previous == nil, root.certificatePEM == current { return }
        if let previous {
            rotation.retiring = (previous.retiring + [previous.certificatePEM]).filter {
                $0 != current && $0 != root.certificatePEM
            }
        }
        let former = cluster
        cluster.rootRotation = rotation
        if previous != nil { forgetCertificates(from: former, to: cluster, in: &round) }
        round.note("the swarm's root is being replaced; every node gets a new certificate")
    }

    /// A node may have a certificate of the root that was wanted until now, and have had no time to tell. It tells what it
    /// has as soon as it hears of other roots, or in its next session: what it told before counts no more.
    private static func forgetCertificates(from former: Cluster, to cluster: Cluster, in round: inout Round) {
        for var node in round.tables.sortedNodes where node.description?.trust != nil {
            guard former.trustRoots(for: node.spec.role) != cluster.trustRoots(for: node.spec.role) else { continue }
            node.description?.trust = nil
            round.draft.put(node)
        }
    }

    /// Moves on when the nodes have.
    static func advance(_ round: inout Round) {
        guard var cluster = round.tables.cluster, var rotation = cluster.rootRotation else { return }
        func hasChanged(_ node: Node) -> Bool { node.description?.trust?.issuer == rotation.issuer }
        switch rotation.stage {
        case .workers:
            guard round.tables.nodes.values.allSatisfy({ $0.spec.role == .manager || hasChanged($0) }) else { return }
            rotation.stage = .managers
            cluster.rootRotation = rotation
        case .managers:
            // A worker may have come in meanwhile.
            guard round.tables.nodes.values.allSatisfy(hasChanged) else { return }
            if var authority = round.tables.authority, let key = authority.nextPrivateKeyPEM {
                authority.privateKeyPEM = key
                authority.nextPrivateKeyPEM = nil
                round.draft.put(authority)
            }
            cluster.rootCertificatePEM = rotation.certificatePEM
            cluster.rootRotation = nil
            round.note("the swarm's root is replaced")
        }
        cluster.updatedAt = round.wallClock
        round.draft.put(cluster)
        advance(&round)
    }
}
