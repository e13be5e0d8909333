import WeftModel
import WeftNet

/// The swarm's own settings and secrets.
enum Settings {
    static func update(
        version: Version, spec: ClusterSpec, rotating rotation: ClusterRotation, in round: inout Round,
        random: inout some RandomNumberGenerator
    ) throws(ControlError) -> Cluster {
        guard var cluster = round.tables.cluster else { throw .noCluster }
        guard cluster.version == version else { throw .outOfSequence }
        guard spec.addressPools == cluster.spec.addressPools, spec.subnetLength == cluster.spec.subnetLength,
            spec.dataPathPort == cluster.spec.dataPathPort
        else {
            throw ControlError(
                .invalid, "address pools, subnet size and data path port are chosen at swarm init and cannot be changed"
            )
        }
        try check(spec)
        cluster.spec = spec
        cluster.updatedAt = round.wallClock
        cluster.renewTokens(rotation.tokens, random: &random)
        cluster.renewUnlockKey(isAskedFor: rotation.unlockKey, random: &random)
        if rotation.keys { cluster.wantNextKeys() }
        if let root = rotation.root { RootController.begin(of: &cluster, to: root, in: &round) }
        round.draft.put(cluster)
        return cluster
    }

    static func rotateToken(
        _ role: NodeRole, in round: inout Round, random: inout some RandomNumberGenerator
    ) throws(ControlError) -> Cluster {
        guard var cluster = round.tables.cluster else { throw .noCluster }
        cluster.renewTokens([role], random: &random)
        cluster.updatedAt = round.wallClock
        round.draft.put(cluster)
        return cluster
    }

    /// Refuses settings that an update may change, but not to this.
    static func check(_ spec: ClusterSpec) throws(ControlError) {
        guard spec.name == "default" else {
            throw ControlError(.invalid, "swarm spec must be named \"default\"")
        }
        guard Bounds.bytes(spec.labels) <= Bounds.specBytes else { throw .specTooLarge("the swarm's labels") }
        guard spec.heartbeatSeconds >= 0 else {
            throw ControlError(
                .invalid,
                "rpc error: code = InvalidArgument desc = heartbeat time period cannot be a negative duration")
        }
        guard spec.heartbeatSeconds <= 3600 else {
            throw ControlError(.invalid, "the heartbeat period must be between 1 s and 1 h")
        }
        if let seconds = spec.keyRotationSeconds, !ClusterSpec.keyRotationRange.contains(seconds) {
            throw ControlError(.invalid, "the time between epochs of the data path's keys must be between 1 minute and 1 year")
        }
        guard spec.certificateLifetimeSeconds == 0 || spec.certificateLifetimeSeconds >= 3600 else {
            throw ControlError(
                .invalid, "rpc error: code = InvalidArgument desc = minimum certificate expiry time is: 1h0m0s")
        }
    }
}

extension Cluster {
    mutating func renewTokens(_ roles: Set<NodeRole>, random: inout some RandomNumberGenerator) {
        if roles.contains(.worker) { workerTokenSecret = Secret(randomText(count: 25, using: &random)) }
        if roles.contains(.manager) { managerTokenSecret = Secret(randomText(count: 25, using: &random)) }
    }

    /// There is a key exactly as long as managers are locked.
    package mutating func renewUnlockKey(isAskedFor: Bool, random: inout some RandomNumberGenerator) {
        guard spec.locksManagers ?? false else {
            unlockKey = nil
            return
        }
        if unlockKey == nil || isAskedFor { unlockKey = UnlockKey.random(using: &random) }
    }
}
