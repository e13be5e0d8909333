package import WeftModel

/// From one root of trust to the next, without a moment in which a node is not believed.
///
/// All nodes trust both roots at once. Workers get certificates of the new root as soon as they hear of it; managers
/// show theirs of the old root until the last worker has changed, so that a node that was away finds its way back.
/// The old root is dropped when every node, those that are down included, has changed or was removed.
extension ControlMachine {
    mutating func beginRootRotation(of cluster: inout Cluster, to root: RootAuthority) {
        let current = cluster.rootCertificatePEM
        var rotation = RootRotation(certificatePEM: root.certificatePEM, issuer: root.issuer)
        var authority = state.authority ?? AuthorityKey(id: cluster.id, privateKeyPEM: root.privateKeyPEM)
        if root.certificatePEM == current {
            authority.privateKeyPEM = root.privateKeyPEM
            authority.nextPrivateKeyPEM = nil
        } else {
            authority.nextPrivateKeyPEM = root.privateKeyPEM
        }
        state.put(authority)
        let previous = cluster.rootRotation
        if root.certificatePEM == previous?.certificatePEM { return }
        // Taken up again with the same key: there is nothing to change.
        if previous == nil, root.certificatePEM == current { return }
        if let previous {
            rotation.retiring = (previous.retiring + [previous.certificatePEM]).filter {
                $0 != current && $0 != root.certificatePEM
            }
        }
        cluster.rootRotation = rotation
        effects.append(.note("the swarm's root is being replaced; every node gets a new certificate"))
    }

    /// Moves on when the nodes have.
    mutating func advanceRootRotation() {
        guard var cluster = state.cluster, var rotation = cluster.rootRotation else { return }
        func hasChanged(_ node: Node) -> Bool { node.description?.trust?.issuer == rotation.issuer }
        switch rotation.stage {
        case .workers:
            guard state.nodes.values.allSatisfy({ $0.spec.role == .manager || hasChanged($0) }) else { return }
            rotation.stage = .managers
            cluster.rootRotation = rotation
        case .managers:
            // A worker may have come in meanwhile.
            guard state.nodes.values.allSatisfy(hasChanged) else { return }
            if var authority = state.authority, let key = authority.nextPrivateKeyPEM {
                authority.privateKeyPEM = key
                authority.nextPrivateKeyPEM = nil
                state.put(authority)
            }
            cluster.rootCertificatePEM = rotation.certificatePEM
            cluster.rootRotation = nil
            effects.append(.note("the swarm's root is replaced"))
        }
        cluster.updatedAt = wallClock
        state.put(cluster)
        advanceRootRotation()
    }

    /// The root that a member's next certificate is from, with its key; nil while the store holds none.
    package func signingRoot(for role: NodeRole) -> (certificatePEM: String, privateKeyPEM: Secret)? {
        guard let cluster = state.cluster, let authority = state.authority else { return nil }
        let wanted = cluster.wantedRoot(for: role)
        let key = wanted == cluster.rootCertificatePEM ? authority.privateKeyPEM : authority.nextPrivateKeyPEM
        return key.map { (wanted, $0) }
    }

    /// The root that join tokens name, with its key; nil while the store holds none.
    package var joiningRoot: (certificatePEM: String, privateKeyPEM: Secret)? {
        guard let cluster = state.cluster, let authority = state.authority else { return nil }
        return (cluster.rootCertificatePEM, authority.privateKeyPEM)
    }
}
