import WeftNet
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
            case "ip": ipv4 = try Self.ipv4(value, option: "ip in --network \(argument)")
            case "ip6": ipv6 = try Self.ipv6(value, option: "ip6 in --network \(argument)")
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

    /// The text, if it is an address: a mistake is told by the option's name, which weftd does not know.
    static func ipv4(_ text: String, option: String) throws -> String {
        guard IPv4Address(text) != nil else {
            throw CommandFailure("invalid address \"\(text)\" for \(option): give an IPv4 address such as 10.9.0.50", exitCode: 125)
        }
        return text
    }

    static func ipv6(_ text: String, option: String) throws -> String {
        guard IPv6Address(text) != nil else {
            throw CommandFailure("invalid address \"\(text)\" for \(option): give an IPv6 address such as fd00:9::50", exitCode: 125)
        }
        return text
    }

    var value: TemplateValue {
        var value: TemplateValue = ["Network": .string(network)]
        if let ipv4 { value["IPv4Address"] = .string(ipv4) }
        if let ipv6 { value["IPv6Address"] = .string(ipv6) }
        value["Aliases"] = .strings(aliases)
        return value
    }
}
