import ArgumentParser
import WeftTemplate

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Shows this node's session, peers, endpoints and what was dropped, and why.",
        discussion: """
            Sent is what the sandbox sent. Every packet that is dropped is counted with its reason.

              weft status --format '{{range .Endpoints}}{{.Name}} {{.SentPackets}}{{println}}{{end}}'
            """)

    @OptionGroup var connection: ConnectionOptions
    @Option(
        name: [.customShort("f", allowingJoined: true), .long],
        help: ArgumentHelp("A Go template or \"json\".", valueName: "template"))
    var format: String?

    static let endpoints = Listing(
        table:
            #"table {{.Name}}\t{{.Network}}\t{{.Addresses}}\t{{.Interface}}\t{{.Sent}}\t{{.Received}}\t{{.Drops}}"#,
        headings: [
            "Name": "ENDPOINT", "Network": "NETWORK", "Addresses": "ADDRESS", "Interface": "INTERFACE",
            "Sent": "SENT",
            "Received": "RECEIVED", "Drops": "DROPPED",
        ])
    static let peers = Listing(
        table: #"table {{.NodeID}}\t{{.Hostname}}\t{{.State}}\t{{.Address}}"#,
        headings: ["NodeID": "PEER", "Hostname": "HOSTNAME", "State": "STATE", "Address": "ADDRESS"])

    func run() async throws {
        let status = try await connection.connect().get("weft", "v1", "status")
        if let format, !format.isEmpty {
            Terminal.print(try Inspection.render(status, format: format))
        } else {
            Terminal.print(try Self.text(status))
        }
    }

    static func text(_ status: TemplateValue) throws -> String {
        let problem = status["Problem"].string.flatMap { $0.isEmpty ? nil : "Problem:   \($0)\n" } ?? ""
        guard let node = status["NodeID"].string, !node.isEmpty else {
            if !problem.isEmpty { return problem }
            return "This node is not part of a swarm. `weft swarm init` makes one, `weft swarm join` joins one.\n"
        }
        var text = "Node:      \(node)\n" + problem
        let session = status["Session"]
        if !session.isNull {
            let manager = session["Manager"].string ?? ""
            let state = session["Connected"].bool == true ? "connected to" : "not connected, last to"
            let revision = GoText.value(session["AppliedRevision"])
            text +=
                "Session:   \(manager.isEmpty ? "not connected" : "\(state) \(manager)"), applied revision \(revision)\n"
            if let problem = session["Problem"].string, !problem.isEmpty { text += "Problem:   \(problem)\n" }
        } else {
            text += "Session:   none\n"
        }
        let underlay = status["Underlay"]
        if underlay.isNull {
            text += "Underlay:  the data plane is not attached\n"
        } else {
            text += "Underlay:  \(underlay["Interface"].string ?? "") \(underlay["Address"].string ?? ""), MTU "
            text +=
                "\(GoText.value(underlay["MTU"])), UDP port \(GoText.value(underlay["Port"])), "
            text += "programs by \(underlay["Attachment"].string ?? ""), dropped: \(drops(underlay["Drops"]))\n"
            text += translation(underlay)
            for problem in underlay["PortProblems"].array { text += "Problem:   \(problem.string ?? "")\n" }
        }
        text += encryption(status["Encryption"], status["Peers"].array)
        let peers = status["Peers"].array.sorted { ($0["Hostname"].string ?? "") < ($1["Hostname"].string ?? "") }
        text += "\n" + (try Self.peers.render(peers.map(peer), format: nil))
        let endpoints = status["Endpoints"].array.sorted {
            ($0["Network"].string ?? "", $0["Name"].string ?? "") < (
                $1["Network"].string ?? "", $1["Name"].string ?? ""
            )
        }
        text += "\n" + (try Self.endpoints.render(endpoints.map(endpoint), format: nil))
        for endpoint in endpoints {
            guard let problem = endpoint["Problem"].string, !problem.isEmpty else { continue }
            text += "Problem:   the swarm does not know \(endpoint["Name"].string ?? ""): \(problem)\n"
        }
        return text
    }

    /// Where services are translated; nothing of a weftd that does not say.
    private static func translation(_ underlay: TemplateValue) -> String {
        switch underlay["Translation"].string {
        case "socket": return "Services:  TCP translated where sockets connect, all else at the interface\n"
        case "interface":
            let reason = underlay["TranslationProblem"].string ?? ""
            return "Services:  translated at the interface (where sockets connect: \(reason))\n"
        default: return ""
        }
    }

    /// Who encrypts, and to which nodes nothing can be sent; nothing where there is no encrypted network.
    private static func encryption(_ standing: TemplateValue, _ peers: [TemplateValue]) -> String {
        guard standing["Needed"].bool == true else { return "" }
        let pairs = standing["Pairs"].array
        let ready = pairs.count { $0["Ready"].bool == true }
        let process = standing["Process"].int ?? 0
        var text = "Encrypted: in \(standing["Engine"].string ?? "") by weft-tunnel"
        text += process > 0 ? " (process \(process))" : " (not running)"
        text += ", epoch \(GoText.value(standing["Epoch"])), \(ready) of \(pairs.count) nodes ready, "
        text += "dropped: \(drops(standing["Counts"], but: ["sent", "received"]))\n"
        if let problem = standing["Problem"].string, !problem.isEmpty { text += "Problem:   \(problem)\n" }
        for pair in pairs {
            guard let problem = pair["Problem"].string, !problem.isEmpty else { continue }
            let name = peers.first { $0["NodeID"].string == pair["NodeID"].string }?["Hostname"].string ?? pair["NodeID"].string ?? ""
            text += "Problem:   \(name): \(problem)\n"
        }
        return text
    }

    private static func peer(_ peer: TemplateValue) -> TemplateValue {
        func text(_ name: String) -> TemplateValue { .string(peer[name].string ?? "") }
        return [
            "NodeID": text("NodeID"), "Hostname": text("Hostname"), "State": text("State"),
            "Address": text("Address"),
        ]
    }

    private static func endpoint(_ endpoint: TemplateValue) -> TemplateValue {
        func text(_ name: String) -> TemplateValue { .string(endpoint[name].string ?? "") }
        func counted(_ what: String) -> TemplateValue {
            let bytes = HumanSize.decimal(endpoint["\(what)Bytes"].int ?? 0)
            return .string("\(endpoint["\(what)Packets"].int ?? 0) (\(bytes))")
        }
        return [
            "Name": text("Name"), "Network": text("Network"), "Addresses": .string(addresses(endpoint).joined(separator: ",")),
            "Interface": text("Interface"), "Sent": counted("Sent"), "Received": counted("Received"),
            "Drops": .string(drops(endpoint["Drops"])),
        ]
    }

    /// "none", or every reason that occurred with its count.
    private static func drops(_ drops: TemplateValue, but others: Set<String> = []) -> String {
        let entries: [TemplateObject.Entry] = drops.object?.sortedEntries ?? []
        let counted = entries.filter { ($0.value.int ?? 0) > 0 && !others.contains($0.key) }
        guard !counted.isEmpty else { return "none" }
        return counted.map { "\($0.value.int ?? 0) \($0.key)" }.joined(separator: ", ")
    }
}

/// Values as a template prints them.
enum GoText {
    /// In double quotes, with escapes: a newline does not break a table.
    static func quoted(_ text: String) -> String {
        (try? Template("{{printf \"%q\" .}}").render(.string(text))) ?? ""
    }

    static func value(_ value: TemplateValue) -> String { (try? Template("{{.}}").render(value)) ?? "" }
}
