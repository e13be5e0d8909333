import ArgumentParser
import WeftTemplate

struct PsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ps", abstract: "Lists the sandboxes of this host.",
        discussion: "  weft ps -a --format '{{.Names}} {{.Status}}'")

    static let listing = Listing(
        table:
            #"table {{.ID}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Addresses}}\t{{.Networks}}\t{{.Names}}"#,
        headings: [
            "Addresses": "ADDRESSES", "Command": "COMMAND", "CreatedAt": "CREATED AT", "Hostname": "HOSTNAME",
            "ID": "SANDBOX ID", "Names": "NAMES", "Networks": "NETWORKS", "Pid": "PID", "RunningFor": "CREATED",
            "State": "STATE", "Status": "STATUS",
        ])

    @OptionGroup var connection: ConnectionOptions
    @Flag(name: .shortAndLong, help: "Also those that do not run.")
    var all = false
    @Flag(name: .shortAndLong, help: "Print ids alone.")
    var quiet = false
    @Flag(help: "Print ids and commands whole.")
    var noTrunc = false
    @Option(
        name: [.customShort("f", allowingJoined: true), .long],
        help: ArgumentHelp("Only sandboxes that fit: id, name, network, status.", valueName: "key=value"))
    var filter: [String] = []
    @Option(help: ArgumentHelp("A Go template, \"table TEMPLATE\" or \"json\".", valueName: "template"))
    var format: String?

    func run() async throws {
        let filters = try Filters(filter)
        try filters.check(["id", "name", "network", "status"])
        // Asking for a status asks for sandboxes that do not run as well.
        let everything = all || filters.values["status"] != nil
        let sandboxes = try await connection.connect()
            .get("weft", "v1", "sandboxes", query: everything ? [("all", "1")] : []).array
        let now = Terminal.now()
        let rows = sandboxes.filter { Self.fits($0, filters) }.sorted { Self.newerFirst($0, $1) }
            .map { Self.row($0, now: now, whole: noTrunc) }
        Terminal.print(try Self.listing.render(rows, format: format, isQuiet: quiet))
    }

    static func fits(_ sandbox: TemplateValue, _ filters: Filters) -> Bool {
        let networks = sandbox["Networks"].object
        return filters.match("id") { (sandbox["Id"].string ?? "").hasPrefix($0) }
            && filters.match("name") { (sandbox["Name"].string ?? "").contains($0) }
            && filters.match("status") { sandbox["State"].string == $0 }
            && filters.match("network") { wanted in
                networks?.entries.contains {
                    $0.key == wanted || ($0.value["NetworkID"].string ?? "").hasPrefix(wanted)
                } ?? false
            }
    }

    private static func newerFirst(_ left: TemplateValue, _ right: TemplateValue) -> Bool {
        let (newer, older) = (left["CreatedAt"].string ?? "", right["CreatedAt"].string ?? "")
        return newer == older ? (left["Name"].string ?? "") < (right["Name"].string ?? "") : newer > older
    }

    /// A sandbox as a row; its fields in the order in which `json` prints them.
    static func row(_ sandbox: TemplateValue, now: Int64, whole: Bool) -> TemplateValue {
        let id = sandbox["Id"].string ?? ""
        let networks = sandbox["Networks"].object?.sortedEntries ?? []
        let created = sandbox["CreatedAt"].string ?? ""
        let command = sandbox["Command"].array.compactMap(\.string).joined(separator: " ")
        let short = command.count > 20 ? String(command.prefix(19) + "…") : command
        return [
            "Addresses": .string(networks.flatMap { addresses($0.value) }.joined(separator: ",")),
            "Command": .string(GoText.quoted(whole ? command : short)),
            "CreatedAt": .string(HumanTime.spelled(created)),
            "Hostname": .string(sandbox["Hostname"].string ?? ""), "ID": .string(whole ? id : String(id.prefix(12))),
            "Names": .string(sandbox["Name"].string ?? ""),
            "Networks": .string(networks.map(\.key).joined(separator: ",")), "Pid": .int(sandbox["Pid"].int ?? 0),
            "RunningFor": .string(HumanTime.seconds(created).map { HumanTime.duration(now - $0) + " ago" } ?? ""),
            "State": .string(sandbox["State"].string ?? ""), "Status": .string(status(sandbox, now: now)),
        ]
    }

    /// "Up 5 minutes", "Exited (1) 2 hours ago".
    static func status(_ sandbox: TemplateValue, now: Int64) -> String {
        func since(_ field: String) -> String? {
            sandbox[field].string.flatMap { HumanTime.seconds($0) }.map { HumanTime.duration(now - $0) }
        }
        switch sandbox["State"].string {
        case "running"?: return "Up \(since("StartedAt") ?? "")".trimmed
        case "exited"?:
            let code = sandbox["ExitCode"].int ?? 0
            return since("FinishedAt").map { "Exited (\(code)) \($0) ago" } ?? "Exited (\(code))"
        case let state?: return state.capitalizedFirst
        case nil: return ""
        }
    }
}

/// The addresses that weftd says an endpoint has, IPv4's first.
func addresses(_ endpoint: TemplateValue) -> [String] {
    ["IPAddress", "GlobalIPv6Address"].compactMap { endpoint[$0].string }.filter { !$0.isEmpty }
}
