import ArgumentParser
import WeftClient
import WeftTemplate

struct InfoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info", abstract: "Shows this host and its place in the swarm.",
        discussion: "  weft info --format '{{.Swarm.LocalNodeState}}'")

    @OptionGroup var connection: ConnectionOptions
    @Option(
        name: [.customShort("f", allowingJoined: true), .long],
        help: ArgumentHelp("A Go template or \"json\".", valueName: "template"))
    var format: String?

    func run() async throws {
        let info = try await connection.connect().get("info")
        if let format, !format.isEmpty {
            Terminal.print(try Inspection.render(info, format: format))
        } else {
            Terminal.print(Self.text(info))
        }
    }

    static func text(_ info: TemplateValue) -> String {
        var lines = ["Client:", " Version: \(Version.text)", "", "Server:"]
        func add(_ indent: String, _ name: String, _ value: String?) {
            if let value, !value.isEmpty { lines.append("\(indent)\(name): \(value)") }
        }
        add(" ", "Server Version", info["ServerVersion"].string)
        let swarm = info["Swarm"]
        add(" ", "Swarm", swarm["LocalNodeState"].string)
        add("  ", "Error", swarm["Error"].string)
        if let node = swarm["NodeID"].string, !node.isEmpty {
            let cluster = swarm["Cluster"]
            let isManager = swarm["ControlAvailable"].bool ?? false
            add("  ", "NodeID", node)
            add("  ", "Is Manager", isManager ? "true" : "false")
            if isManager {
                add("  ", "ClusterID", cluster["ID"].string)
                add("  ", "Managers", swarm["Managers"].int.map { String($0) })
                add("  ", "Nodes", swarm["Nodes"].int.map { String($0) })
                add(
                    "  ", "Default Address Pool",
                    cluster["DefaultAddrPool"].array.compactMap(\.string).joined(separator: " "))
                add("  ", "SubnetSize", cluster["SubnetSize"].int.map { String($0) })
                add("  ", "Data Path Port", cluster["DataPathPort"].int.map { String($0) })
            }
            add("  ", "Node Address", swarm["NodeAddr"].string)
            let managers = swarm["RemoteManagers"].array.compactMap { $0["Addr"].string }.sorted()
            if !managers.isEmpty {
                lines.append("  Manager Addresses:")
                lines += managers.map { "   \($0)" }
            }
        }
        add(" ", "Kernel Version", info["KernelVersion"].string)
        add(" ", "Operating System", info["OperatingSystem"].string)
        add(" ", "OSType", info["OSType"].string)
        add(" ", "Architecture", info["Architecture"].string)
        add(" ", "CPUs", info["NCPU"].int.map { String($0) })
        add(" ", "Total Memory", info["MemTotal"].int.map { HumanSize.binary($0) })
        add(" ", "Name", info["Name"].string)
        add(" ", "ID", info["ID"].string)
        for warning in info["Warnings"].array.compactMap(\.string) { lines.append(warning) }
        return lines.joined(separator: "\n") + "\n"
    }
}

struct VersionCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "version", abstract: "Shows the versions of weft and of weftd.",
        discussion: "  weft version --format '{{.Server.Version}}'")

    @OptionGroup var connection: ConnectionOptions
    @Option(
        name: [.customShort("f", allowingJoined: true), .long],
        help: ArgumentHelp("A Go template or \"json\".", valueName: "template"))
    var format: String?

    static let client: TemplateValue = [
        "Version": .string(Version.text), "ApiVersion": .string(Version.api), "Os": "linux",
        "Arch": .string(Version.architecture),
    ]

    func run() async throws {
        var server = TemplateValue.null
        var failure: ClientError?
        do {
            server = try await connection.connect().get("version")
        } catch let error as ClientError {
            failure = error
        }
        // Without the daemon the client's own version is still worth knowing.
        if let format, !format.isEmpty {
            Terminal.print(try Inspection.render(["Client": Self.client, "Server": server], format: format))
        } else {
            Terminal.print(Self.text(server))
        }
        if let failure { throw failure }
    }

    static func text(_ server: TemplateValue) -> String {
        func part(_ title: String, _ value: TemplateValue) -> String {
            let rows: [(String, String?)] = [
                ("Version", value["Version"].string), ("API version", value["ApiVersion"].string),
                ("Minimum API", value["MinAPIVersion"].string), ("Git commit", value["GitCommit"].string),
                ("Built", value["BuildTime"].string), ("Kernel", value["KernelVersion"].string),
                ("OS/Arch", value["Os"].string.map { "\($0)/\(value["Arch"].string ?? "")" }),
            ]
            return title + "\n"
                + rows.map { name, text in
                    text.flatMap {
                        $0.isEmpty ? nil : " \(name):" + String(repeating: " ", count: 17 - name.count) + $0 + "\n"
                    } ?? ""
                }.joined()
        }
        let platform = server["Platform"]["Name"].string ?? "weftd"
        return part("Client: Weft", client) + (server.isNull ? "" : "\n" + part("Server: \(platform)", server))
    }
}
