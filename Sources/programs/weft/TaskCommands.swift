import ArgumentParser
import WeftTemplate

/// How a list of tasks is asked for and printed.
struct TaskListOptions: ParsableArguments {
    @Flag(name: .shortAndLong, help: "Print ids alone.")
    var quiet = false
    @Flag(help: "Print ids and errors whole.")
    var noTrunc = false
    @Flag(help: "Print nodes' ids, and services' names as they are in tasks.")
    var noResolve = false
    @Option(
        name: [.customShort("f", allowingJoined: true), .long],
        help: ArgumentHelp("Only tasks that fit: desired-state, id, name, node.", valueName: "key=value"))
    var filter: [String] = []
    @Option(help: ArgumentHelp("A Go template, \"table TEMPLATE\" or \"json\".", valueName: "template"))
    var format: String?

    static let listing = Listing(
        table:
            #"table {{.ID}}\t{{.Name}}\t{{.Image}}\t{{.Node}}\t{{.DesiredState}}\t{{.CurrentState}}\t{{.Error}}\t{{.Ports}}"#,
        headings: [
            "CurrentState": "CURRENT STATE", "DesiredState": "DESIRED STATE", "Error": "ERROR", "ID": "ID", "Image": "IMAGE",
            "Name": "NAME", "Node": "NODE", "Ports": "PORTS",
        ])

    /// Tasks that fit the filters, and `key` with one of `values`.
    func tasks(_ connection: Connection, _ key: String, _ values: [String]) async throws -> [TemplateValue] {
        try await connection.get("tasks", query: try Filters(filter + values.map { "\(key)=\($0)" }).query).array
    }

    func print(_ tasks: [TemplateValue], _ connection: Connection) async throws {
        var services: [String: String] = [:]
        var nodes: [String: String] = [:]
        var jobs: Set<String> = []
        if !quiet {
            let found = try await connection.get("services").array
            services = Self.names(found) { $0["Spec"]["Name"].string }
            jobs = Set(found.filter { !$0["Spec"]["Mode"]["ReplicatedJob"].isNull }.compactMap { $0["ID"].string })
            if !noResolve { nodes = Self.names(try await connection.get("nodes").array) { $0["Description"]["Hostname"].string } }
        }
        let rows = Tasks.rows(
            tasks, services: services, jobs: jobs, nodes: nodes, now: Terminal.now(), whole: noTrunc)
        Terminal.print(try Self.listing.render(rows, format: format, isQuiet: quiet))
    }

    private static func names(_ objects: [TemplateValue], _ name: (TemplateValue) -> String?) -> [String: String] {
        let pairs = objects.compactMap { object in object["ID"].string.flatMap { id in name(object).map { (id, $0) } } }
        return Dictionary(pairs) { first, _ in first }
    }
}

struct ServicePs: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ps", abstract: "Lists the tasks of services, and why they are not what they should be.",
        discussion: "  weft service ps --filter desired-state=running web")

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var options: TaskListOptions
    @Argument(help: ArgumentHelp("Names or ids.", valueName: "service"), completion: .serviceNames)
    var services: [String]

    func run() async throws {
        let connection = try connection.connect()
        // One that there is not is told by its name, and the others are listed.
        var known: [String] = []
        var missing: [CommandFailure] = []
        for name in services {
            do { known.append(try await connection.get("services", name)["ID"].string ?? name) } catch {
                missing.append(CommandFailure("\(error)"))
            }
        }
        if !known.isEmpty { try await options.print(options.tasks(connection, "service", known), connection) }
        missing.forEach { Terminal.complain($0.message) }
        if !missing.isEmpty { throw CommandFailure("") }
    }
}

struct NodePs: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ps", abstract: "Lists the tasks that run on nodes, on this one by default.",
        discussion: "  weft node ps --filter desired-state=running host2")

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var options: TaskListOptions
    @Argument(help: ArgumentHelp("Ids or host names; \"self\" is this one.", valueName: "node"), completion: .nodeNames)
    var nodes: [String] = ["self"]

    func run() async throws {
        let connection = try connection.connect()
        try await options.print(options.tasks(connection, "node", nodes), connection)
    }
}

/// Tasks as rows.
enum Tasks {
    /// What a task runs: the image without its digest, or a sandbox's program.
    static func program(_ task: TemplateValue) -> String {
        let container = task["ContainerSpec"]
        if let image = container["Image"].string, !image.isEmpty { return String(image.prefix { $0 != "@" }) }
        return (container["Command"].array + container["Args"].array).first?.string ?? ""
    }

    /// In the order of their names, the newest first in each slot; older ones are marked.
    ///
    /// - Parameter jobs: services that are replicated jobs, whose slots are told from 0 on, and named from 1 on as any other's.
    static func rows(
        _ tasks: [TemplateValue], services: [String: String], jobs: Set<String> = [], nodes: [String: String], now: Int64,
        whole: Bool
    ) -> [TemplateValue] {
        let named = tasks.map { (name: name($0, services, jobs), task: $0) }
        let sorted = named.sorted { left, right in
            if left.name.base != right.name.base { return left.name.base < right.name.base }
            if left.name.slot != right.name.slot { return left.name.slot < right.name.slot }
            if left.name.node != right.name.node { return left.name.node < right.name.node }
            return (left.task["CreatedAt"].string ?? "") > (right.task["CreatedAt"].string ?? "")
        }
        var last = ""
        return sorted.map { name, task in
            let text = name.text
            defer { last = text }
            return row(task, name: text == last ? " \\_ \(text)" : text, nodes: nodes, now: now, whole: whole)
        }
    }

    private struct Name {
        var base: String
        var slot: Int64
        var node: String
        /// `web.2`, of a global service `web.<node's id>`.
        var text: String { slot == 0 ? "\(base).\(node)" : "\(base).\(slot)" }
    }

    private static func name(_ task: TemplateValue, _ services: [String: String], _ jobs: Set<String>) -> Name {
        let service = task["ServiceID"].string ?? ""
        let slot = (task["Slot"].int ?? 0) + (jobs.contains(service) ? 1 : 0)
        return Name(base: services[service] ?? service, slot: slot, node: task["NodeID"].string ?? "")
    }

    /// Its fields in the order in which `json` prints them.
    private static func row(
        _ task: TemplateValue, name: String, nodes: [String: String], now: Int64, whole: Bool
    ) -> TemplateValue {
        let status = task["Status"]
        let since = status["Timestamp"].string.flatMap { HumanTime.seconds($0) }.map { HumanTime.duration(now - $0) + " ago" } ?? ""
        let problem = status["Err"].string ?? ""
        let shown = whole || problem.count <= 30 ? problem : problem.prefix(29) + "…"
        let (id, node) = (task["ID"].string ?? "", task["NodeID"].string ?? "")
        let ports = status["PortStatus"]["Ports"].array.map {
            "*:\($0["PublishedPort"].int ?? 0)->\($0["TargetPort"].int ?? 0)/\($0["Protocol"].string ?? "tcp")"
        }
        return [
            "CurrentState": .string("\((status["State"].string ?? "").capitalizedFirst) \(since)".trimmed),
            "DesiredState": .string((task["DesiredState"].string ?? "").capitalizedFirst),
            "Error": .string(problem.isEmpty ? "" : GoText.quoted(shown)), "ID": .string(whole ? id : String(id.prefix(12))),
            "Image": .string(program(task["Spec"])), "Name": .string(name), "Node": .string(nodes[node] ?? node),
            "Ports": .string(ports.joined(separator: ",")),
        ]
    }
}
