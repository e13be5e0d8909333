import ArgumentParser
import WeftTemplate

struct NodeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "node", abstract: "Lists and changes the hosts of the swarm.",
        discussion: "  weft node ls",
        subcommands: [NodeLs.self, NodePs.self, NodeInspect.self, NodeRm.self, NodeUpdate.self])
}

struct NodeLs: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "Lists the nodes.",
        discussion: "  weft node ls --format '{{.Hostname}} {{.Status}}'", aliases: ["list"])

    static let listing = Listing(
        table:
            #"table {{.ID}} {{if .Self}}*{{else}} {{ end }}\t{{.Hostname}}\t{{.Status}}\t{{.Availability}}\t{{.ManagerStatus}}\t{{.EngineVersion}}"#,
        headings: [
            "ID": "ID", "Self": "", "Hostname": "HOSTNAME", "Status": "STATUS", "Availability": "AVAILABILITY",
            "ManagerStatus": "MANAGER STATUS", "EngineVersion": "ENGINE VERSION", "TLSStatus": "TLS STATUS",
        ])

    @OptionGroup var connection: ConnectionOptions
    @Flag(name: .shortAndLong, help: "Print ids alone.")
    var quiet = false
    @Option(
        name: [.customShort("f", allowingJoined: true), .long],
        help: ArgumentHelp("Only nodes that fit: id, label, membership, name, role.", valueName: "key=value"))
    var filter: [String] = []
    @Option(help: ArgumentHelp("A Go template, \"table TEMPLATE\" or \"json\".", valueName: "template"))
    var format: String?

    func run() async throws {
        let connection = try connection.connect()
        let nodes = try await connection.get("nodes", query: try Filters(filter).query).array
        // `-q` prints no mark, so nothing else need be asked.
        let own = quiet ? "" : try await connection.get("info")["Swarm"]["NodeID"].string ?? ""
        let rows = nodes.map { Self.row($0, own: own) }.sorted {
            ($0["Hostname"].string ?? "") < ($1["Hostname"].string ?? "")
        }
        Terminal.print(try Self.listing.render(rows, format: format, isQuiet: quiet))
        if format == nil, !quiet { Terminal.print(Self.problems(nodes)) }
    }

    /// What nodes say of themselves, a line each; nothing where all is well.
    static func problems(_ nodes: [TemplateValue]) -> String {
        let lines = nodes.compactMap { node -> String? in
            guard let message = node["Status"]["Message"].string, !message.isEmpty else { return nil }
            return "Problem:  \(node["Description"]["Hostname"].string ?? ""): \(message)\n"
        }
        return lines.isEmpty ? "" : "\n" + lines.sorted().joined()
    }

    /// A node as a row; its fields in the order in which `json` prints them.
    static func row(_ node: TemplateValue, own: String) -> TemplateValue {
        let manager = node["ManagerStatus"]
        let id = node["ID"].string ?? ""
        return [
            "Availability": .string((node["Spec"]["Availability"].string ?? "").capitalizedFirst),
            "EngineVersion": .string(node["Description"]["Engine"]["EngineVersion"].string ?? ""),
            "Hostname": .string(node["Description"]["Hostname"].string ?? ""), "ID": .string(id),
            "ManagerStatus": .string(
                manager["Leader"].bool == true ? "Leader" : (manager["Reachability"].string ?? "").capitalizedFirst),
            "Self": .bool(id == own),
            "Status": .string((node["Status"]["State"].string ?? "").capitalizedFirst),
            "TLSStatus": "Ready",
        ]
    }
}

extension String {
    var capitalizedFirst: String { prefix(1).uppercased() + dropFirst() }
}

struct NodeInspect: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Shows all that is known of nodes.",
        discussion: "  weft node inspect self --pretty")

    @OptionGroup var connection: ConnectionOptions
    @Flag(help: "Print it for people.")
    var pretty = false
    @Option(
        name: [.customShort("f", allowingJoined: true), .long],
        help: ArgumentHelp("A Go template or \"json\".", valueName: "template"))
    var format: String?
    @Argument(
        help: ArgumentHelp("Ids or host names; \"self\" is this one.", valueName: "node"), completion: .nodeNames)
    var nodes: [String]

    func validate() throws {
        if pretty, format != nil { throw ValidationError("--format is incompatible with --pretty") }
        if nodes.isEmpty { throw ValidationError("name a node") }
    }

    func run() async throws {
        let connection = try connection.connect()
        try await Inspection.run(nodes, format: pretty ? NodePretty.template : format) { name in
            let node = try await connection.get("nodes", connection.node(name))
            return pretty ? NodePretty.value(node) : node
        }
    }
}

struct NodeRm: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Removes nodes that are down from the swarm.",
        discussion: "A removed node is refused at once.\n\n  weft node rm --force host3", aliases: ["remove"])

    @OptionGroup var connection: ConnectionOptions
    @Flag(name: .shortAndLong, help: "Remove a node that is not down.")
    var force = false
    @Argument(help: ArgumentHelp("Ids or host names.", valueName: "node"), completion: .nodeNames)
    var nodes: [String]

    func run() async throws {
        let connection = try connection.connect()
        try await forEach(nodes) { try await connection.delete("nodes", $0, query: force ? [("force", "1")] : []) }
    }
}

struct NodeUpdate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "update", abstract: "Changes a node's availability and labels.",
        discussion: "  weft node update --availability drain --label-add rack=r2 host3")

    @OptionGroup var connection: ConnectionOptions
    @Option(help: "Whether the node takes tasks: active, pause or drain.")
    var availability: Availability?
    @Option(help: ArgumentHelp("Add or change a label.", valueName: "name=value"))
    var labelAdd: [String] = []
    @Option(help: ArgumentHelp("Remove a label.", valueName: "name"))
    var labelRm: [String] = []
    @Argument(help: "An id or host name; \"self\" is this one.", completion: .nodeNames)
    var node: String

    func run() async throws {
        let connection = try connection.connect()
        let current = try await connection.get("nodes", connection.node(node))
        let spec = try changed(current["Spec"])
        try await connection.post(
            "nodes", current["ID"].string ?? node, "update",
            query: [("version", String(current["Version"]["Index"].int ?? 0))], body: spec)
        Terminal.line(node)
    }

    /// The whole spec with the changes: what is not sent would be lost.
    func changed(_ spec: TemplateValue) throws -> TemplateValue {
        var spec = spec
        if let availability { spec["Availability"] = .string(availability.rawValue) }
        var labels = spec["Labels"].object ?? TemplateObject(kind: .map)
        for name in labelRm {
            guard labels[name] != nil else { throw CommandFailure("key \(name) doesn't exist in node's labels") }
            labels[name] = nil
        }
        for (name, value) in try pairs(labelAdd, option: "--label-add").sorted(by: { $0.key < $1.key }) {
            labels[name] = .string(value)
        }
        spec["Labels"] = .object(labels)
        return spec
    }
}
