import ArgumentParser
import WeftClient
import WeftTemplate

struct NetworkCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "network", abstract: "Makes, lists and removes networks, and connects sandboxes to them.",
        discussion: "  weft network create -d overlay --attachable my_net",
        subcommands: [
            NetworkCreate.self, NetworkLs.self, NetworkInspect.self, NetworkRm.self, NetworkConnect.self,
            NetworkDisconnect.self,
        ])
}

struct NetworkCreate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Makes a network that spans the swarm.",
        discussion: """
            Without --subnet one is taken from the swarm's address pools. --ipv6, or an IPv6 --subnet, gives the network IPv6
            beside IPv4. With --opt encrypted its packets are encrypted between nodes, or not at all on their way.

              weft network create -d overlay --attachable --subnet 10.9.0.0/24 --label tier=db my_net
            """)

    @OptionGroup var connection: ConnectionOptions
    @Option(name: [.customShort("d", allowingJoined: true), .long], help: "The kind of network.")
    var driver = "overlay"
    @Flag(help: "Let sandboxes and plain containers attach to it, not services only.")
    var attachable = false
    @Flag(help: "The one by which ports of services are published at every node; there is one.")
    var ingress = false
    @Flag(help: "No way out of the network.")
    var `internal` = false
    @Flag(help: "IPv6 beside IPv4, from the swarm's unique local addresses where no --subnet says otherwise.")
    var ipv6 = false
    @Option(help: ArgumentHelp("The network's addresses; once for each of IPv4 and IPv6.", valueName: "subnet"))
    var subnet: [String] = []
    @Option(help: ArgumentHelp("The gateway's address, which must lie in the subnet.", valueName: "address"))
    var gateway: [String] = []
    @Option(help: ArgumentHelp("The part of the subnet that addresses are given out of.", valueName: "range"))
    var ipRange: [String] = []
    @Option(help: ArgumentHelp("An address to keep free, by name.", valueName: "name=address"))
    var auxAddress: [String] = []
    @Option(help: ArgumentHelp("A label.", valueName: "name=value"))
    var label: [String] = []
    @Option(
        name: [.customShort("o", allowingJoined: true), .long],
        help: ArgumentHelp("An option of the driver.", valueName: "name=value"))
    var opt: [String] = []
    @Argument(help: "The network's name.")
    var name: String

    /// For who named a driver that the engine does not find.
    static let drivers = "Weft's driver is overlay; bridge, ipvlan, macvlan and those of plugins are the container engine's"

    /// As the docker CLI sends it.
    func body() throws -> TemplateValue {
        let pools = try AddressPools(
            subnets: subnet, gateways: gateway, ranges: ipRange,
            auxiliary: try pairs(auxAddress, option: "--aux-address"))
        var body: TemplateValue = [
            "Name": .string(name), "CheckDuplicate": true, "Driver": .string(driver), "Scope": "",
            "IPAM": ["Driver": "default", "Options": [:], "Config": pools.value],
            "Internal": .bool(self.internal), "Attachable": .bool(attachable), "Ingress": .bool(ingress), "ConfigOnly": false,
            "ConfigFrom": .null, "Options": .map(try pairs(opt, option: "--opt")),
            "Labels": .map(try pairs(label, option: "--label")),
        ]
        if ipv6 { body["EnableIPv6"] = true }
        return body
    }

    func run() async throws {
        let created: TemplateValue
        do {
            created = try await connection.connect().post("networks", "create", body: try body())
        } catch let error as ClientError where error.status == 404 && driver != "overlay" {
            throw CommandFailure("\(error): \(Self.drivers)")
        }
        if let warning = created["Warning"].string, !warning.isEmpty { Terminal.complain("warning: \(warning)") }
        Terminal.line(created["Id"].string ?? "")
    }
}

struct NetworkLs: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "Lists the networks.",
        discussion: "  weft network ls --filter label=tier=db --format '{{.Name}}'", aliases: ["list"])

    static let listing = Listing(
        table: #"table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}\t{{.Encrypted}}"#,
        headings: [
            "CreatedAt": "CREATED AT", "Driver": "DRIVER", "Encrypted": "ENCRYPTED", "ID": "NETWORK ID", "IPv4": "IPV4", "IPv6": "IPV6",
            "Internal": "INTERNAL", "Labels": "LABELS", "Name": "NAME", "Scope": "SCOPE",
        ])

    @OptionGroup var connection: ConnectionOptions
    @Flag(name: .shortAndLong, help: "Print ids alone.")
    var quiet = false
    @Flag(help: "Print ids whole.")
    var noTrunc = false
    @Option(
        name: [.customShort("f", allowingJoined: true), .long],
        help: ArgumentHelp(
            "Only networks that fit: driver, id, label, name, scope, type, dangling.", valueName: "key=value"))
    var filter: [String] = []
    @Option(help: ArgumentHelp("A Go template, \"table TEMPLATE\" or \"json\".", valueName: "template"))
    var format: String?

    func run() async throws {
        let networks = try await connection.connect().get("networks", query: try Filters(filter).query).array
        let rows = networks.map { Self.row($0, whole: noTrunc) }
            .sorted { ($0["Name"].string ?? "") < ($1["Name"].string ?? "") }
        Terminal.print(try Self.listing.render(rows, format: format, isQuiet: quiet))
    }

    /// As Docker's users say it: the option is there, and not false.
    static func isEncrypted(_ network: TemplateValue) -> Bool {
        if network["Encrypted"].bool == true { return true }
        guard network["Driver"].string == "overlay", let value = network["Options"]["encrypted"].string else { return false }
        return !["false", "0"].contains(value.lowercased())
    }

    /// A network as a row; its fields in the order in which `json` prints them.
    static func row(_ network: TemplateValue, whole: Bool) -> TemplateValue {
        let id = network["Id"].string ?? ""
        let labels = network["Labels"].object?.sortedEntries.map { ($0.key, $0.value.string ?? "") } ?? []
        func flag(_ name: String, _ fallback: Bool) -> TemplateValue {
            .string((network[name].bool ?? fallback) ? "true" : "false")
        }
        let row: TemplateValue = [
            "CreatedAt": .string(HumanTime.spelled(network["Created"].string ?? "")),
            "Driver": .string(network["Driver"].string ?? "null"),
            "Encrypted": .string(isEncrypted(network) ? "true" : "false"),
            "ID": .string(whole ? id : String(id.prefix(12))), "IPv4": flag("EnableIPv4", true),
            "IPv6": flag("EnableIPv6", false), "Internal": flag("Internal", false),
            "Labels": .string(labels.map { "\($0.0)=\($0.1)" }.joined(separator: ",")),
            "Name": .string(network["Name"].string ?? ""), "Scope": .string(network["Scope"].string ?? ""),
        ]
        guard var object = row.object else { return row }
        object.lookups["Label"] = Dictionary(labels) { $1 }
        return .object(object)
    }
}

struct NetworkInspect: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Shows all that is known of networks.",
        discussion: "  weft network inspect my_net --format '{{(index .IPAM.Config 0).Subnet}}'")

    @OptionGroup var connection: ConnectionOptions
    @Flag(name: .shortAndLong, help: "With the endpoints on all nodes.")
    var verbose = false
    @Option(
        name: [.customShort("f", allowingJoined: true), .long],
        help: ArgumentHelp("A Go template or \"json\".", valueName: "template"))
    var format: String?
    @Argument(help: ArgumentHelp("Names or ids.", valueName: "network"), completion: .networkNames)
    var networks: [String]

    func run() async throws {
        let connection = try connection.connect()
        try await Inspection.run(networks, format: format) {
            try await connection.get("networks", $0, query: verbose ? [("verbose", "true")] : [])
        }
    }
}

struct NetworkRm: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Removes networks that nobody uses.",
        discussion: "The ingress network is removed only if that is confirmed.\n\n  weft network rm my_net",
        aliases: ["remove"])

    /// The docker command's question, as it has it.
    static let ingressQuestion = """
        WARNING! Before removing the routing-mesh network, make sure all the nodes in your swarm run the same docker engine \
        version. Otherwise, removal may not be effective and functionality of newly create ingress networks will be impaired.
        Are you sure you want to continue?
        """

    @OptionGroup var connection: ConnectionOptions
    @Argument(help: ArgumentHelp("Names or ids.", valueName: "network"), completion: .networkNames)
    var networks: [String]

    func run() async throws {
        let connection = try connection.connect()
        try await Self.remove(networks, connection) { Terminal.confirms(Self.ingressQuestion) }
    }

    /// Removes them, the ingress network if `confirms` says so. What cannot be looked at is for the removal to tell.
    static func remove(_ networks: [String], _ connection: Connection, confirms: () -> Bool) async throws {
        var wanted: [String] = []
        for name in networks {
            let isIngress = (try? await connection.get("networks", name))?["Ingress"].bool == true
            if !isIngress || confirms() { wanted.append(name) }
        }
        try await forEach(wanted) { try await connection.delete("networks", $0) }
    }
}

struct NetworkConnect: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "connect", abstract: "Connects a sandbox to a further network.",
        discussion: "  weft network connect --alias db --ip 10.9.0.50 my_net a1")

    @OptionGroup var connection: ConnectionOptions
    @Option(help: ArgumentHelp("A further name of the sandbox on this network.", valueName: "name"))
    var alias: [String] = []
    @Option(help: ArgumentHelp("The address it shall have.", valueName: "address"))
    var ip: String?
    @Option(help: ArgumentHelp("The IPv6 address it shall have.", valueName: "address"))
    var ip6: String?
    @Argument(completion: .networkNames)
    var network: String
    @Argument(completion: .sandboxNames)
    var sandbox: String

    func attachment() throws -> NetworkAttachment {
        NetworkAttachment(
            network: network, ipv4: try ip.map { try NetworkAttachment.ipv4($0, option: "--ip") },
            ipv6: try ip6.map { try NetworkAttachment.ipv6($0, option: "--ip6") }, aliases: alias)
    }

    func run() async throws {
        try await connection.connect().post(
            "weft", "v1", "sandboxes", sandbox, "connect", body: try attachment().value)
    }
}

struct NetworkDisconnect: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "disconnect", abstract: "Disconnects a sandbox from a network.",
        discussion: "  weft network disconnect my_net a1")

    @OptionGroup var connection: ConnectionOptions
    @Argument(completion: .networkNames)
    var network: String
    @Argument(completion: .sandboxNames)
    var sandbox: String

    func run() async throws {
        try await connection.connect().post(
            "weft", "v1", "sandboxes", sandbox, "disconnect", body: ["Network": .string(network)])
    }
}
