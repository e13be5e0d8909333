import WeftModel

extension ClusterSpec {
    /// Takes over a whole `Spec` as sent: what it leaves out is zero from now on, as with dockerd. The pools, which are
    /// no part of it, stay.
    mutating func replace(by fields: Fields) throws(APIError) {
        labels = [:]
        taskHistoryRetentionLimit = 0
        raft = .zero
        heartbeatSeconds = 0
        certificateLifetimeSeconds = 0
        try take(fields)
    }

    /// Takes over what a `Spec` says; zeros say nothing.
    mutating func take(_ fields: Fields) throws(APIError) {
        guard try fields.text("Name") ?? "default" == "default" else {
            throw .badRequest("swarm spec must be named \"default\"")
        }
        name = "default"
        let sentLabels = try fields.map("Labels")
        if !sentLabels.isEmpty { labels = sentLabels }
        if let limit = try fields.fields("Orchestration")?.integer("TaskHistoryRetentionLimit") {
            taskHistoryRetentionLimit = limit
        }
        if let sent = try fields.fields("Raft") {
            var settings = raft ?? RaftSettings()
            try settings.take(sent)
            raft = settings
        }
        if let period = try Self.seconds(try fields.fields("Dispatcher"), "HeartbeatPeriod") {
            heartbeatSeconds = period
        }
        let authority = try fields.fields("CAConfig")
        if let lifetime = try Self.seconds(authority, "NodeCertExpiry") { certificateLifetimeSeconds = lifetime }
        let generation = try authority?.count("ForceRotate") ?? 0
        rootGeneration = generation == 0 ? nil : generation
        guard try authority?.array("ExternalCAs").isEmpty ?? true else {
            throw .unavailable(
                "external CAs are not available in this version of Weft: leave out --external-ca, and give the root's own "
                    + "key with --ca-key instead")
        }
        let encryption = try fields.fields("EncryptionConfig")
        let isLocking = try encryption?.bool("AutoLockManagers") ?? false
        locksManagers = isLocking ? true : nil
        // Docker's own clients know neither of these, and leave out of an update what they do not know: it stays as it is.
        if let encryption, encryption.has("DefaultEncryption") { defaultEncryption = try encryption.bool("DefaultEncryption") }
        if let interval = try Self.seconds(encryption, "KeyRotation") { keyRotationSeconds = interval }
        if try fields.fields("TaskDefaults")?.has("LogDriver") ?? false {
            throw .unavailable("TaskDefaults.LogDriver is not available in this version of Weft; leave it out")
        }
    }

    private static func seconds(_ fields: Fields?, _ key: String) throws(APIError) -> Int64? {
        guard let fields, let nanoseconds = try fields.integer(key), nanoseconds != 0 else { return nil }
        guard nanoseconds % 1_000_000_000 == 0 else {
            throw .badRequest("\(fields.name(key)) is \(nanoseconds) ns; give whole seconds")
        }
        return nanoseconds / 1_000_000_000
    }
}

extension RaftSettings {
    static let zero = {
        var settings = RaftSettings()
        (settings.snapshotInterval, settings.logEntriesForSlowFollowers) = (0, 0)
        (settings.electionTick, settings.heartbeatTick) = (0, 0)
        return settings
    }()

    mutating func take(_ fields: Fields) throws(APIError) {
        if let sent = try fields.count("SnapshotInterval"), sent != 0 { snapshotInterval = sent }
        if let sent = try fields.count("KeepOldSnapshots") { keepOldSnapshots = sent }
        if let sent = try fields.count("LogEntriesForSlowFollowers"), sent != 0 { logEntriesForSlowFollowers = sent }
        if let sent = try fields.count("ElectionTick"), sent != 0 { electionTick = Int64(clamping: sent) }
        if let sent = try fields.count("HeartbeatTick"), sent != 0 { heartbeatTick = Int64(clamping: sent) }
    }
}

extension SigningCA {
    /// Nil when none is given.
    init?(_ fields: Fields?) throws(APIError) {
        let certificate = try fields?.text("SigningCACert")
        let key = try fields?.text("SigningCAKey")
        switch (certificate, key) {
        case (nil, nil): return nil
        case (nil, _?):
            throw .badRequest(
                "rpc error: code = InvalidArgument desc = if a signing CA key is provided, the signing CA cert must also be "
                    + "provided")
        case (_?, nil):
            throw .badRequest(
                "the CA certificate's key is missing: give it with --ca-key, for external CAs are not available in this "
                    + "version of Weft")
        case (let certificate?, let key?): self.init(certificatePEM: certificate, keyPEM: Secret(key))
        }
    }
}
