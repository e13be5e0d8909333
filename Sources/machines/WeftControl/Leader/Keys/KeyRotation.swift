import WeftModel

/// From one epoch of the data path's keys to the next (docs/design/keys.md): when time has come, when an operator wants it, when a node was
/// removed. What nodes said tells when they have come to an epoch; clocks tell nothing but when another is due.
struct KeyRotation: Sendable {
    /// A node that is up and says nothing holds up the next epoch for so long.
    static let grace: Duration = .seconds(300)

    /// The epoch as it was seen last, and when it was seen first.
    private var seen: KeyEpoch?
    private var since: Instant?

    mutating func advance(_ round: inout Round) {
        guard var cluster = round.tables.cluster else { return }
        var keys = cluster.keyTerm
        if seen?.number != keys.number || seen?.since != keys.since { since = round.now }
        seen = keys
        let reason: String
        if keys.isNextWanted {
            reason = "another was wanted"
        } else if round.isTick, isDue(cluster, keys, in: round) {
            reason = "the one before has lasted \(cluster.spec.keyRotation.components.seconds) s"
        } else {
            return
        }
        guard Self.isReached(keys.number, in: round) || round.now - (since ?? round.now) >= Self.grace else { return }
        keys = KeyEpoch(number: keys.number + 1, since: round.wallClock)
        cluster.keys = keys
        cluster.updatedAt = round.wallClock
        round.draft.put(cluster)
        round.note("the data path's keys are made anew, for epoch \(keys.number): \(reason)")
    }

    /// By the clock that nobody sets, as far as this manager has lived, or by the one on the wall: too early does no harm.
    private func isDue(_ cluster: Cluster, _ keys: KeyEpoch, in round: Round) -> Bool {
        let interval = cluster.spec.keyRotation
        guard round.wallClock - keys.since >= interval || round.now - (since ?? round.now) >= interval else { return false }
        return Self.isNeeded(in: round)
    }

    /// Whether there are packets to encrypt.
    static func isNeeded(in round: Round) -> Bool { round.tables.networks.values.contains { $0.spec.isEncrypted } }

    /// Whether every node that is up has keys of the epoch, and is ready for everybody's.
    private static func isReached(_ epoch: UInt64, in round: Round) -> Bool {
        guard isNeeded(in: round) else { return true }
        let readinesses = round.tables.readinesses
        return round.tables.nodes.values.allSatisfy { node in
            node.state != .ready || (readinesses[node.id]?.readiness.statement.epoch ?? 0) >= epoch
        }
    }

    /// What a removed node recorded is to end with the epoch.
    static func nodeRemoved(in round: inout Round) {
        guard var cluster = round.tables.cluster, isNeeded(in: round) else { return }
        cluster.wantNextKeys()
        round.draft.put(cluster)
    }

    /// The first encrypted network is made: keys begin to be used now, however long nobody needed any.
    static func begin(in round: inout Round) {
        guard var cluster = round.tables.cluster else { return }
        var keys = cluster.keyTerm
        keys.since = round.wallClock
        cluster.keys = keys
        round.draft.put(cluster)
    }
}

extension Cluster {
    mutating func wantNextKeys() {
        var keys = keyTerm
        keys.isNextWanted = true
        self.keys = keys
    }
}
