import WeftControl
import WeftModel
import WeftNode

/// Runs a whole swarm under one seed: first with operations and faults, then in calm until everybody agrees.
package enum Simulation {
    /// How long the swarm may take to settle, in simulated time, once nothing goes wrong any more.
    package static let settling: Duration = .seconds(90)

    /// Throws `SimFailure` when a rule is broken.
    @discardableResult
    package static func run(seed: UInt64, options: SimOptions = SimOptions()) throws -> SimReport {
        let cluster = try SimCluster(seed: seed, options: options)
        try cluster.run(until: cluster.now + options.duration)
        cluster.isStormy = false
        let deadline = cluster.now + settling
        // Endpoints, leases and rests settle at their own times: agreement must come, and then stay.
        var calmSince: Instant?
        while cluster.now < deadline || calmSince != nil {
            try cluster.run(until: cluster.now + .milliseconds(500))
            if let difference = Checker.difference(in: cluster) {
                if cluster.now >= deadline { throw cluster.failure("after \(settling) of calm: \(difference)") }
                calmSince = nil
            } else if let since = calmSince {
                if cluster.now - since >= .seconds(3) { break }
            } else {
                calmSince = cluster.now
            }
        }
        if options.fillsNetworks { try cluster.fillNetworks() }
        cluster.report.finalEpoch = cluster.manager?.replica.cluster?.keyEpoch ?? 0
        cluster.report.finalRevision = cluster.store.revision
        cluster.report.fingerprint = fingerprint(cluster)
        return cluster.report
    }

    /// FNV-1a over the store, so that two runs can be compared.
    private static func fingerprint(_ cluster: SimCluster) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for key in cluster.store.objects.keys.sorted() {
            for byte in "\(key) \(cluster.store.objects[key]?.version.index ?? 0);".utf8 {
                hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3
            }
        }
        return hash
    }
}
