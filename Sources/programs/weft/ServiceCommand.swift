import ArgumentParser
import WeftTemplate

struct ServiceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "service", abstract: "Makes, changes and removes services: what the swarm keeps running.",
        discussion: "  weft service create --name web --replicas 3 --network my_net -- ./server",
        subcommands: [
            ServiceCreate.self, ServiceLs.self, ServicePs.self, ServiceLogs.self, ServiceInspect.self, ServiceScale.self,
            ServiceUpdate.self,
            ServiceRollback.self, ServiceRm.self,
        ])
}

struct ServiceLs: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "Lists the services.",
        discussion: "  weft service ls --filter label=tier=web --format '{{.Name}} {{.Replicas}}'", aliases: ["list"])

    static let listing = Listing(
        table: #"table {{.ID}}\t{{.Name}}\t{{.Mode}}\t{{.Replicas}}\t{{.Image}}\t{{.Ports}}"#,
        headings: ["ID": "ID", "Image": "IMAGE", "Mode": "MODE", "Name": "NAME", "Ports": "PORTS", "Replicas": "REPLICAS"])

    @OptionGroup var connection: ConnectionOptions
    @Flag(name: .shortAndLong, help: "Print ids alone.")
    var quiet = false
    @Option(
        name: [.customShort("f", allowingJoined: true), .long],
        help: ArgumentHelp("Only services that fit: id, label, mode, name.", valueName: "key=value"))
    var filter: [String] = []
    @Option(help: ArgumentHelp("A Go template, \"table TEMPLATE\" or \"json\".", valueName: "template"))
    var format: String?

    func run() async throws {
        let query = try Filters(filter).query + [("status", "true")]
        let services = try await connection.connect().get("services", query: query).array
        let rows = services.map(Self.row).sorted { ($0["Name"].string ?? "") < ($1["Name"].string ?? "") }
        Terminal.print(try Self.listing.render(rows, format: format, isQuiet: quiet))
    }

    /// A service as a row; its fields in the order in which `json` prints them.
    static func row(_ service: TemplateValue) -> TemplateValue {
        let task = service["Spec"]["TaskTemplate"]
        let mode = service["Spec"]["Mode"]
        return [
            "ID": .string(String((service["ID"].string ?? "").prefix(12))), "Image": .string(Tasks.program(task)),
            "Mode": .string(word(mode)), "Name": .string(service["Spec"]["Name"].string ?? ""),
            "Ports": .string(ports(service["Endpoint"]["Ports"].array)),
            "Replicas": .string(replicas(service["ServiceStatus"], mode, most: task["Placement"]["MaxReplicas"].int ?? 0)),
        ]
    }

    static func word(_ mode: TemplateValue) -> String {
        switch mode.object?.keys.first {
        case "Replicated"?: "replicated"
        case "Global"?: "global"
        case "ReplicatedJob"?: "replicated job"
        case "GlobalJob"?: "global job"
        default: ""
        }
    }

    /// "2/3", "2/3 (max 1 per node)", "0/1 (5/7 completed)".
    private static func replicas(_ status: TemplateValue, _ mode: TemplateValue, most: Int64) -> String {
        let count = "\(status["RunningTasks"].int ?? 0)/\(status["DesiredTasks"].int ?? 0)"
        let done = status["CompletedTasks"].int ?? 0
        switch mode.object?.keys.first {
        case "ReplicatedJob"?: return "\(count) (\(done)/\(mode["ReplicatedJob"]["TotalCompletions"].int ?? 0) completed)"
        case "GlobalJob"?: return "\(count) (\(done)/\(done + (status["DesiredTasks"].int ?? 0)) completed)"
        default: return most > 0 ? "\(count) (max \(most) per node)" : count
        }
    }

    /// "*:8080->80/tcp", or an address in the star's place.
    static func ports(_ ports: [TemplateValue]) -> String {
        ports.filter { $0["PublishMode"].string != "host" }.flatMap { port in
            let addresses = port["PublishedAddresses"].array.compactMap(\.string).map { $0.contains(":") ? "[\($0)]" : $0 }
            let rest = "\(port["PublishedPort"].int ?? 0)->\(port["TargetPort"].int ?? 0)/\(port["Protocol"].string ?? "tcp")"
            return (addresses.isEmpty ? ["*"] : addresses).map { "\($0):\(rest)" }
        }.joined(separator: ", ")
    }
}

struct ServiceInspect: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Shows all that is known of services.", discussion: "  weft service inspect --pretty web")

    @OptionGroup var connection: ConnectionOptions
    @Flag(help: "Print it for people.")
    var pretty = false
    @Option(
        name: [.customShort("f", allowingJoined: true), .long],
        help: ArgumentHelp("A Go template or \"json\".", valueName: "template"))
    var format: String?
    @Argument(help: ArgumentHelp("Names or ids.", valueName: "service"), completion: .serviceNames)
    var services: [String]

    func validate() throws {
        if pretty, format != nil { throw ValidationError("--format is incompatible with --pretty") }
        if services.isEmpty { throw ValidationError("name a service") }
    }

    func run() async throws {
        let connection = try connection.connect()
        try await Inspection.run(services, format: pretty ? ServicePretty.template : format) { name in
            let service = try await connection.get("services", name, query: [("insertDefaults", "true")])
            guard pretty else { return service }
            var names: [String: String] = [:]
            for network in service["Spec"]["TaskTemplate"]["Networks"].array.compactMap({ $0["Target"].string }) {
                names[network] = try? await connection.get("networks", network)["Name"].string
            }
            return ServicePretty.value(service, networks: names)
        }
    }
}

struct ServiceRm: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Removes services, and ends their tasks.", discussion: "  weft service rm web",
        aliases: ["remove"])

    @OptionGroup var connection: ConnectionOptions
    @Argument(help: ArgumentHelp("Names or ids.", valueName: "service"), completion: .serviceNames)
    var services: [String]

    func run() async throws {
        let connection = try connection.connect()
        try await forEach(services) { try await connection.delete("services", $0) }
    }
}
