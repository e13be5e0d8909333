import ArgumentParser
import WeftTemplate

/// Settings of the whole swarm, as `swarm init` and `swarm update` take them.
struct SwarmSettings: ParsableArguments {
    @Option(help: ArgumentHelp("How long node certificates are valid (2160h0m0s by default).", valueName: "duration"))
    var certExpiry: GoDuration?
    @Option(help: ArgumentHelp("The time between a node's heartbeats (5s by default).", valueName: "duration"))
    var dispatcherHeartbeat: GoDuration?
    @Option(help: "How many finished tasks of a service are kept (5 by default).")
    var taskHistoryLimit: Int64?
    @Option(
        help: "How many older snapshots several managers' store keeps; a single manager's has none.")
    var maxSnapshots: UInt32?
    @Option(help: "After how many log entries several managers' store makes a snapshot; a single manager's has no log.")
    var snapshotInterval: UInt32?
    @Option(
        defaultAsFlag: true,
        help: ArgumentHelp("Whether new overlay networks are encrypted that do not say; in a new swarm they are.", valueName: "bool"))
    var defaultEncryption: Bool?
    @Option(help: ArgumentHelp("The time between epochs of the data path's keys (12h by default).", valueName: "duration"))
    var keyRotation: GoDuration?

    /// The spec with what is given.
    func applied(to spec: TemplateValue) -> TemplateValue {
        var spec = spec
        func set(_ group: String, _ key: String, _ value: Int64?) {
            if let value { spec = spec.setting(group, key, to: .int(value)) }
        }
        set("CAConfig", "NodeCertExpiry", certExpiry?.nanoseconds)
        set("Dispatcher", "HeartbeatPeriod", dispatcherHeartbeat?.nanoseconds)
        set("Orchestration", "TaskHistoryRetentionLimit", taskHistoryLimit)
        set("Raft", "KeepOldSnapshots", maxSnapshots.map(Int64.init))
        set("Raft", "SnapshotInterval", snapshotInterval.map(Int64.init))
        set("EncryptionConfig", "KeyRotation", keyRotation?.nanoseconds)
        if let defaultEncryption { spec = spec.setting("EncryptionConfig", "DefaultEncryption", to: .bool(defaultEncryption)) }
        return spec
    }
}

extension TemplateValue {
    /// An object's member's member replaced or added.
    func setting(_ group: String, _ key: String, to value: TemplateValue) -> TemplateValue {
        guard case .object(var outer) = self else { return self }
        var inner = TemplateObject()
        if case .object(let found)? = outer[group] { inner = found }
        inner[key] = value
        outer[group] = .object(inner)
        return .object(outer)
    }
}

extension Connection {
    /// Replaces the swarm's spec by what `change` makes of it.
    func updateSwarm(
        rotating rotation: String? = nil, _ change: (TemplateValue) -> TemplateValue = { $0 }
    ) async throws {
        let swarm = try await get("swarm")
        let rotations = ["rotateManagerToken", "rotateManagerUnlockKey", "rotateWorkerToken", "rotateDataPathKeys"]
        try await post(
            "swarm", "update",
            query: rotations.map { ($0, $0 == rotation ? "true" : "false") }
                + [("version", String(swarm["Version"]["Index"].int ?? 0))],
            body: change(swarm["Spec"]))
    }

    /// Empty while managers are not locked.
    func unlockKey() async throws -> String { try await get("swarm", "unlockkey")["UnlockKey"].string ?? "" }

    func printUnlockHint() async throws {
        Terminal.print(
            """
            To unlock a swarm manager after it restarts, run the `weft swarm unlock`
            command and provide the following key:

                \(try await unlockKey())

            Remember to store this key in a password manager, since without it you
            will not be able to restart the manager.

            """)
    }
}

struct SwarmUpdate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "update", abstract: "Changes the swarm's settings.",
        discussion: """
            With --autolock=true a manager's secrets on disk need the unlock key after a restart of weftd.

              weft swarm update --autolock=true
              weft swarm update --cert-expiry 720h
            """)

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var settings: SwarmSettings
    @Option(help: ArgumentHelp("Whether managers are locked: true or false.", valueName: "bool"))
    var autolock: Bool?

    func run() async throws {
        let connection = try connection.connect()
        let before = try await connection.unlockKey()
        try await connection.updateSwarm {
            let spec = settings.applied(to: $0)
            return autolock.map { spec.setting("EncryptionConfig", "AutoLockManagers", to: .bool($0)) } ?? spec
        }
        Terminal.line("Swarm updated.")
        if autolock == true, before.isEmpty { try await connection.printUnlockHint() }
    }
}

struct SwarmUnlockKey: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unlock-key", abstract: "Shows what unlocks a manager after a restart.",
        discussion: "With --rotate the old key opens nothing any more.\n\n  weft swarm unlock-key -q")

    @OptionGroup var connection: ConnectionOptions
    @Flag(name: .shortAndLong, help: "Print the key alone.")
    var quiet = false
    @Flag(help: "Make a new key first.")
    var rotate = false

    func run() async throws {
        let connection = try connection.connect()
        if rotate {
            try await connection.updateSwarm(rotating: "rotateManagerUnlockKey")
            if !quiet { Terminal.print("Successfully rotated manager unlock key.\n\n") }
        }
        let key = try await connection.unlockKey()
        guard !key.isEmpty else {
            throw CommandFailure("no unlock key is set; `weft swarm update --autolock=true` makes one")
        }
        if quiet { Terminal.line(key) } else { try await connection.printUnlockHint() }
    }
}

struct SwarmUnlock: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unlock", abstract: "Unlocks a manager after a restart.",
        discussion: "Reads the key from the standard input.\n\n  weft swarm unlock")

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let connection = try connection.connect()
        let state = try await connection.get("info")["Swarm"]["LocalNodeState"].string
        guard state == "locked" else { throw CommandFailure("swarm is not locked") }
        guard let key = Terminal.secret(prompt: "Enter unlock key: "), !key.isEmpty else {
            throw CommandFailure("no unlock key was given")
        }
        try await connection.post("swarm", "unlock", body: ["UnlockKey": .string(key)])
    }
}

struct SwarmCA: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ca", abstract: "Shows or replaces the swarm's root certificate.",
        discussion: """
            With --rotate every node gets a certificate of the new root; sessions and traffic go on. Nodes that are away
            are waited for: remove those that do not come back with `weft node rm`.

              weft swarm ca --rotate
              weft swarm ca --rotate --ca-cert root.pem --ca-key root-key.pem
            """)

    @OptionGroup var connection: ConnectionOptions
    @Flag(help: "Replace the root.")
    var rotate = false
    @Flag(name: .shortAndLong, help: "Do not wait until all nodes have changed.")
    var detach = false
    @Flag(name: .shortAndLong, help: "Print no progress.")
    var quiet = false
    @Option(help: ArgumentHelp("How long node certificates are valid.", valueName: "duration"))
    var certExpiry: GoDuration?
    @Option(help: ArgumentHelp("PEM file of the root to come (default: a new one is made).", valueName: "path"))
    var caCert: String?
    @Option(help: ArgumentHelp("PEM file of that root's key.", valueName: "path"))
    var caKey: String?

    func validate() throws {
        guard rotate || (caCert == nil && caKey == nil && certExpiry == nil) else {
            throw ValidationError("--ca-cert, --ca-key and --cert-expiry need --rotate")
        }
        guard (caCert == nil) == (caKey == nil) else { throw ValidationError("--ca-cert and --ca-key go together") }
    }

    func run() async throws {
        let connection = try connection.connect()
        if rotate {
            let files = try caCert.map { (try Self.read($0), try Self.read(caKey ?? "")) }
            try await connection.updateSwarm { spec in
                var spec = spec
                if let certExpiry {
                    spec = spec.setting("CAConfig", "NodeCertExpiry", to: .int(certExpiry.nanoseconds))
                }
                guard let (certificate, key) = files else {
                    let generation = spec["CAConfig"]["ForceRotate"].int ?? 0
                    return spec.setting("CAConfig", "ForceRotate", to: .int(generation + 1))
                }
                return spec.setting("CAConfig", "SigningCACert", to: .string(certificate))
                    .setting("CAConfig", "SigningCAKey", to: .string(key))
            }
            if detach { return }
            try await wait(connection)
            if quiet { return }
        }
        let root = try await connection.get("swarm")["TLSInfo"]["TrustRoot"].string ?? ""
        Terminal.print(root.hasSuffix("\n") ? root : root + "\n")
    }

    /// Until every node has a certificate of the new root and trusts no other.
    private func wait(_ connection: Connection) async throws {
        var said = -1
        while true {
            let swarm = try await connection.get("swarm")
            guard case .array(let nodes) = try await connection.get("nodes") else { return }
            let wanted = swarm["TLSInfo"]
            let changed = nodes.count(where: { $0["Description"]["TLSInfo"]["CertIssuerPublicKey"] == wanted["CertIssuerPublicKey"] })
            if changed != said, !quiet { Terminal.complain("\(changed) of \(nodes.count) nodes have their new certificate") }
            said = changed
            let isRotating = swarm["RootRotationInProgress"].bool ?? false
            if !isRotating, nodes.allSatisfy({ $0["Description"]["TLSInfo"]["TrustRoot"] == wanted["TrustRoot"] }) {
                return
            }
            try await Task.sleep(for: .milliseconds(200))
        }
    }

    private static func read(_ path: String) throws -> String {
        guard let text = Terminal.contents(of: path) else { throw CommandFailure("\(path) cannot be read") }
        return text
    }
}
