import WeftControl
package import WeftIdentity
package import WeftModel
package import WeftStore

/// The beginning of a swarm.
package enum Founding {
    /// Fills the store of a new swarm, and makes the identity of its first manager.
    ///
    /// - Parameters:
    ///   - manager: the node that founds it, with its addresses and description.
    ///   - hasIPv6: its host has IPv6.
    ///   - authority: what signs its certificates.
    package static func found(
        _ store: any Store, spec: ClusterSpec, manager: Node, hasIPv6: Bool = false, authority: CertificateAuthority, now: Instant
    ) async throws -> NodeIdentity {
        var generator = SystemRandomNumberGenerator()
        var cluster = Cluster(
            id: .random(using: &generator), createdAt: now, spec: spec, rootCertificatePEM: authority.rootCertificatePEM,
            workerTokenSecret: JoinToken.randomSecret(using: &generator),
            managerTokenSecret: JoinToken.randomSecret(using: &generator))
        cluster.renewUnlockKey(isAskedFor: false, random: &generator)
        var transaction = try Bootstrap.transaction(
            cluster: cluster, manager: manager, hasIPv6: hasIPv6, now: now, random: &generator)
        transaction.writes.append(
            .put(StoredObject(AuthorityKey(id: cluster.id, privateKeyPEM: authority.privateKeyPEM)), expecting: .none))
        try await store.commit(transaction)
        return try authority.makeIdentity(
            node: manager.id, role: .manager, cluster: cluster.id,
            lifetimeSeconds: spec.effectiveCertificateLifetimeSeconds, now: now)
    }
}
