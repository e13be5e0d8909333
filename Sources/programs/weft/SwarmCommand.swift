import ArgumentParser
import WeftTemplate

struct SwarmCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "swarm", abstract: "Makes, joins, changes and leaves a swarm.",
        discussion: "  weft swarm init --advertise-addr 172.30.0.1",
        subcommands: [
            SwarmInit.self, SwarmJoin.self, SwarmJoinToken.self, SwarmLeave.self, SwarmUpdate.self, SwarmCA.self,
            SwarmUnlock.self, SwarmUnlockKey.self, SwarmKeys.self,
        ])
}

enum Availability: String, CaseIterable, ExpressibleByArgument {
    case active, pause, drain
}

struct SwarmInit: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init", abstract: "Makes a swarm; this host becomes its manager.",
        discussion: """
            Prints the command that other hosts join with.

              weft swarm init --advertise-addr eth0 --default-addr-pool 10.20.0.0/16
            """)

    @OptionGroup var connection: ConnectionOptions
    @Option(help: ArgumentHelp("The address that other nodes reach this one at.", valueName: "addr|interface"))
    var advertiseAddr = ""
    @Option(help: ArgumentHelp("Where to listen for other nodes.", valueName: "addr:port"))
    var listenAddr = "0.0.0.0:2377"
    @Option(
        help: ArgumentHelp("The address for the networks' own packets, if another one.", valueName: "addr|interface"))
    var dataPathAddr = ""
    @Option(help: "The UDP port of those packets (0: 4789).")
    var dataPathPort: UInt16 = 0
    @Option(help: ArgumentHelp("Where networks' subnets are taken from; may be repeated.", valueName: "subnet"))
    var defaultAddrPool: [String] = []
    @Option(help: ArgumentHelp("The prefix length of those subnets.", valueName: "length"))
    var defaultAddrPoolMaskLength = 24
    @Option(help: "Whether this node takes tasks: active, pause or drain.")
    var availability: Availability = .active
    @Flag(help: "Lock managers: after a restart they need the unlock key.")
    var autolock = false
    @OptionGroup var settings: SwarmSettings

    /// As the docker CLI sends it.
    var body: TemplateValue {
        let spec: TemplateValue = [
            "Labels": .null, "Orchestration": [:], "Raft": ["ElectionTick": 0, "HeartbeatTick": 0], "Dispatcher": [:],
            "CAConfig": [:], "TaskDefaults": [:], "EncryptionConfig": ["AutoLockManagers": .bool(autolock)],
        ]
        return [
            "ListenAddr": .string(listenAddr), "AdvertiseAddr": .string(advertiseAddr),
            "DataPathAddr": .string(dataPathAddr), "DataPathPort": .int(Int64(dataPathPort)),
            "ForceNewCluster": false,
            "Spec": settings.applied(to: spec), "AutoLockManagers": .bool(autolock), "Availability": .string(availability.rawValue),
            "DefaultAddrPool": .strings(defaultAddrPool), "SubnetSize": .int(Int64(defaultAddrPoolMaskLength)),
        ]
    }

    func run() async throws {
        let connection = try connection.connect()
        let node = try await connection.post("swarm", "init", body: body).string ?? ""
        Terminal.print("Swarm initialized: current node (\(node)) is now a manager.\n\n")
        Terminal.print(try await JoinHint(connection, node: node).text)
        if autolock { try await connection.printUnlockHint() }
    }
}

/// How another host joins.
struct JoinHint {
    let token: String
    let address: String

    init(_ connection: Connection, node: String) async throws {
        address = try await connection.get("nodes", node)["ManagerStatus"]["Addr"].string ?? ""
        token = try await connection.get("swarm")["JoinTokens"]["Worker"].string ?? ""
    }

    var text: String {
        """
        To add a worker to this swarm, run the following command:

            weft swarm join --token \(token) \(address)


        """
    }
}

struct SwarmJoin: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "join", abstract: "Joins a swarm as the token says.",
        discussion: "  weft swarm join --token SWMTKN-1-… 172.30.0.1:2377")

    @OptionGroup var connection: ConnectionOptions
    @Option(help: "What `weft swarm join-token worker` prints on a manager.")
    var token: String
    @Option(help: ArgumentHelp("The address that other nodes reach this one at.", valueName: "addr|interface"))
    var advertiseAddr = ""
    @Option(help: ArgumentHelp("Where to listen for other nodes.", valueName: "addr:port"))
    var listenAddr = "0.0.0.0:2377"
    @Option(
        help: ArgumentHelp("The address for the networks' own packets, if another one.", valueName: "addr|interface"))
    var dataPathAddr = ""
    @Option(help: "Whether this node takes tasks: active, pause or drain.")
    var availability: Availability = .active
    @Argument(help: ArgumentHelp("A manager's address.", valueName: "host:port"))
    var manager: String

    var body: TemplateValue {
        [
            "ListenAddr": .string(listenAddr), "AdvertiseAddr": .string(advertiseAddr),
            "DataPathAddr": .string(dataPathAddr), "RemoteAddrs": [.string(manager)], "JoinToken": .string(token),
            "Availability": .string(availability.rawValue),
        ]
    }

    func run() async throws {
        let connection = try connection.connect()
        try await connection.post("swarm", "join", body: body)
        let isManager = try await connection.get("info")["Swarm"]["ControlAvailable"].bool ?? false
        Terminal.line("This node joined a swarm as a \(isManager ? "manager" : "worker").")
    }
}

struct SwarmJoinToken: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "join-token", abstract: "Shows how another host joins.",
        discussion: """
            With --rotate the old token stops working; nodes that have joined are not affected.

              weft swarm join-token -q worker
            """)

    enum Role: String, CaseIterable, ExpressibleByArgument { case worker, manager }

    @OptionGroup var connection: ConnectionOptions
    @Flag(name: .shortAndLong, help: "Print the token alone.")
    var quiet = false
    @Flag(help: "Make a new token first.")
    var rotate = false
    @Argument(help: "As what a host shall join: worker or manager.")
    var role: Role

    func validate() throws {
        guard role == .worker else {
            throw ValidationError("a swarm has one manager in this version of Weft: ask for the worker's token")
        }
    }

    func run() async throws {
        let connection = try connection.connect()
        if rotate {
            try await connection.updateSwarm(rotating: "rotateWorkerToken")
            if !quiet { Terminal.print("Successfully rotated \(role.rawValue) join token.\n\n") }
        }
        if quiet {
            Terminal.line(try await connection.get("swarm")["JoinTokens"]["Worker"].string ?? "")
            return
        }
        // Outside a manager this is refused with the sentence that docker has for it.
        _ = try await connection.get("swarm")
        Terminal.print(try await JoinHint(connection, node: connection.node("self")).text)
    }
}

struct SwarmLeave: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "leave", abstract: "Leaves the swarm.",
        discussion: """
            The last manager takes the swarm with it and must be forced. Sandboxes go on, without the swarm's networks.

              weft swarm leave --force
            """)

    @OptionGroup var connection: ConnectionOptions
    @Flag(name: .shortAndLong, help: "Leave even as the last manager.")
    var force = false

    func run() async throws {
        let connection = try connection.connect()
        // Nothing is known of them any more once the node has left.
        let sandboxes = (try? await connection.get("weft", "v1", "sandboxes"))?.array ?? []
        try await connection.post("swarm", "leave", query: force ? [("force", "1")] : [])
        Terminal.line("Node left the swarm.")
        if let warning = Self.warning(for: sandboxes) { Terminal.complain("warning: \(warning)") }
    }

    /// What leaving has cost the sandboxes that ran; nil for nothing.
    static func warning(for sandboxes: [TemplateValue]) -> String? {
        let names = sandboxes.filter { $0["Networks"].object?.entries.isEmpty == false }.compactMap { $0["Name"].string }
        guard !names.isEmpty else { return nil }
        let shown = names.prefix(5).joined(separator: ", ") + (names.count > 5 ? ", …" : "")
        return names.count == 1
            ? "1 sandbox goes on without its networks: \(shown)" : "\(names.count) sandboxes go on without their networks: \(shown)"
    }
}
