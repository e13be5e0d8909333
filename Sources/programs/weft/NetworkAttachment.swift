import WeftTemplate

/// One network that a sandbox is to be on.
struct NetworkAttachment: Equatable {
    var network: String
    var ipv4: String?
    var ipv6: String?
    var aliases: [String] = []

    init(network: String, ipv4: String? = nil, ipv6: String? = nil, aliases: [String] = []) {
        self.network = network
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.aliases = aliases
    }

    /// `--network my_net`, or `--network name=my_net,alias=db,ip=10.9.0.50`.
    init(argument: String) throws {
        guard argument.contains("=") else {
            self.init(network: argument)
            return
        }
        self.init(network: "")
        for field in argument.split(separator: ",") {
            let halves = field.split(separator: "=", maxSplits: 1)
            guard halves.count == 2 else {
                throw CommandFailure("invalid field \(field) in --network \(argument)", exitCode: 125)
            }
            let value = String(halves[1])
            switch halves[0].trimmed.lowercased() {
            case "name": network = value
            case "alias": aliases.append(value)
            case "ip": ipv4 = value
            case "ip6": ipv6 = value
            default:
                throw CommandFailure(
                    "invalid field key \(halves[0]) in --network \(argument): name, alias, ip and ip6 are known",
                    exitCode: 125)
            }
        }
        guard !network.isEmpty else {
            throw CommandFailure("network name is missing in --network \(argument)", exitCode: 125)
        }
    }

    var value: TemplateValue {
        var value: TemplateValue = ["Network": .string(network)]
        if let ipv4 { value["IPv4Address"] = .string(ipv4) }
        if let ipv6 { value["IPv6Address"] = .string(ipv6) }
        value["Aliases"] = .strings(aliases)
        return value
    }
}
