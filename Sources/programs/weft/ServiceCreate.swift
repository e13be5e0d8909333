import ArgumentParser
import WeftClient
import WeftTemplate

struct ServiceCreate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Makes a service: a command that runs on the swarm's nodes as often as is said.",
        usage: "weft service create [OPTIONS] [--] [COMMAND] [ARG...]",
        discussion: """
            Without --image its tasks are sandboxes of Weft's own, which need no container engine: the command is a program that \
            every node has, by its path. With --image they are containers of each node's engine. What follows the command belongs \
            to it. Waits until the tasks run, unless -d is given.

              weft service create --name web --replicas 3 --network my_net -p 8080:80 -- ./server --port 80
              weft service create --name cache --network my_net --image redis:7 --limit-memory 64m
            """,
        helpNames: .long)

    @OptionGroup var connection: ConnectionOptions
    @Option(help: "Its name, also in DNS.")
    var name: String?
    @Option(help: "What it runs: replicated, global (once on each node), replicated-job or global-job (until done).")
    var mode = Mode.replicated
    @Option(help: ArgumentHelp("How many tasks of a replicated-job run at a time.", valueName: "number"))
    var maxConcurrent: UInt64?
    @OptionGroup var settings: ServiceSettings
    @Option(help: ArgumentHelp("A network; may be repeated.", valueName: "network"), completion: .networkNames)
    var network: [String] = []
    @Option(
        name: [.customShort("p", allowingJoined: true), .long],
        help: ArgumentHelp("A port to publish at every node.", valueName: "[address:]published:target[/protocol]"))
    var publish: [String] = []
    @Option(
        name: [.customShort("e", allowingJoined: true), .long], help: ArgumentHelp("An environment variable.", valueName: "name=value"))
    var env: [String] = []
    @Option(help: ArgumentHelp("A file of environment variables.", valueName: "file"), completion: .file())
    var envFile: [String] = []
    @Option(name: [.customShort("l", allowingJoined: true), .long], help: ArgumentHelp("A label.", valueName: "name=value"))
    var label: [String] = []
    @Option(help: ArgumentHelp("Which nodes may run it, such as node.labels.disk==ssd.", valueName: "constraint"))
    var constraint: [String] = []
    @Option(help: ArgumentHelp("What tasks are spread over.", valueName: "spread=label"))
    var placementPref: [String] = []
    @Option(
        help: ArgumentHelp(
            "A directory of each node's, a file system in memory, or an engine's volume.", valueName: "type=…,source=…,target=…"))
    var mount: [String] = []
    @Option(help: ArgumentHelp("A secret that its tasks get as a file.", valueName: "name"), completion: .secretNames)
    var secret: [String] = []
    @Option(help: ArgumentHelp("A config that its tasks get as a file.", valueName: "name"), completion: .configNames)
    var config: [String] = []
    @Option(help: ArgumentHelp("Where names outside the swarm are looked up.", valueName: "address"))
    var dns: [String] = []
    @OptionGroup var lists: ProcessLists
    @Flag(name: .shortAndLong, help: "Give its tasks a terminal.")
    var tty = false
    @Flag(name: .shortAndLong, help: "Do not wait for its tasks.")
    var detach = false
    @Flag(name: .shortAndLong, help: "Print no progress.")
    var quiet = false
    @Argument(help: ArgumentHelp("The command and its arguments.", valueName: "command"))
    var arguments: [String] = []

    enum Mode: String, CaseIterable, ExpressibleByArgument {
        case replicated, global
        case replicatedJob = "replicated-job"
        case globalJob = "global-job"
    }

    /// As `POST /services/create` takes it. Secrets and configs are by their ids.
    func body(secrets: [TemplateValue] = [], configs: [TemplateValue] = []) throws -> TemplateValue {
        let isSandbox = settings.image == nil
        var container: TemplateValue = [:]
        if !arguments.isEmpty { container[isSandbox ? "Command" : "Args"] = .strings(arguments) }
        let environment = try Environment.entries(files: envFile, arguments: env)
        if !environment.isEmpty { container["Env"] = .strings(environment) }
        if tty { container["TTY"] = true }
        if !dns.isEmpty { container["DNSConfig"] = ["Nameservers": .strings(dns)] }
        if !mount.isEmpty { container["Mounts"] = .array(try mount.map(ServiceParts.mount)) }
        try lists.apply(to: &container)
        if !secrets.isEmpty { container["Secrets"] = .array(secrets) }
        if !configs.isEmpty { container["Configs"] = .array(configs) }
        var task: TemplateValue = ["ContainerSpec": container]
        if isSandbox { task["Runtime"] = "sandbox" }
        if !constraint.isEmpty { task.set(["Placement", "Constraints"], .strings(constraint)) }
        if !placementPref.isEmpty { task.set(["Placement", "Preferences"], .array(try placementPref.map(ServiceParts.preference))) }
        if !network.isEmpty { task["Networks"] = .array(try network.map(ServiceParts.network)) }
        var body: TemplateValue = [
            "Name": .string(name ?? ServiceName.random()), "Labels": .map(try pairs(label, option: "--label")), "TaskTemplate": task,
            "Mode": modeValue,
        ]
        var ports = PublishedPorts(of: body)
        for argument in publish { ports.add(try Publication(argument)) }
        ports.apply(to: &body)
        return try settings.applied(to: body)
    }

    private var modeValue: TemplateValue {
        switch mode {
        case .replicated: ["Replicated": ["Replicas": 1]]
        case .global: ["Global": [:]]
        case .globalJob: ["GlobalJob": [:]]
        case .replicatedJob: ["ReplicatedJob": ["MaxConcurrent": .int(Int64(clamping: maxConcurrent ?? settings.replicas ?? 1))]]
        }
    }

    func validate() throws {
        if settings.image != nil, settings.rootfs != nil { throw ValidationError("give --image or --rootfs, not both") }
        if settings.image == nil, arguments.isEmpty { throw ValidationError("name the command that its tasks run, or give --image") }
        if maxConcurrent != nil, mode != .replicatedJob { throw ValidationError("--max-concurrent is for --mode replicated-job") }
    }

    func run() async throws {
        let connection = try connection.connect()
        let body = try body(
            secrets: try await connection.references(secret, isSecret: true),
            configs: try await connection.references(config, isSecret: false))
        let created = try await connection.post("services", "create", body: body)
        created["Warnings"].array.compactMap(\.string).forEach { Terminal.complain("warning: \($0)") }
        let id = created["ID"].string ?? ""
        Terminal.line(id)
        if !detach { try await ServiceProgress(service: id, connection: connection, isQuiet: quiet).wait() }
    }
}

extension Connection {
    /// References to secrets or configs that are named.
    func references(_ arguments: [String], isSecret: Bool) async throws -> [TemplateValue] {
        var references: [TemplateValue] = []
        for argument in arguments {
            let file = try ServiceParts.FileArgument(argument)
            let found = try await get(isSecret ? "secrets" : "configs", file.source)
            references.append(
                file.reference(
                    to: found["ID"].string ?? "", name: found["Spec"]["Name"].string ?? file.source, isSecret: isSecret))
        }
        return references
    }
}

/// A name for a service that was given none.
enum ServiceName {
    private static let first = ["brisk", "calm", "eager", "fine", "keen", "plain", "quick", "sound", "steady", "warm"]
    private static let second = ["bobbin", "heddle", "loom", "reed", "ribbon", "selvage", "shuttle", "spindle", "thread", "warp"]

    static func random() -> String {
        "\(first.randomElement() ?? "plain")_\(second.randomElement() ?? "loom")\(Int.random(in: 10...99))"
    }
}
