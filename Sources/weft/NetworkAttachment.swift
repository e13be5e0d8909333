import WeftTemplate

/// One network that a sandbox is to be on.
struct NetworkAttachment: Equatable {
    var network: String
    var address: String?
    var aliases: [String] = []

    init(network: String, address: String? = nil, aliases: [String] = []) {
        self.network = network
        self.address = address
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
            case "ip": address = value
            default:
                throw CommandFailure(
                    "invalid field key \(halves[0]) in --network \(argument): name, alias and ip are known",
                    exitCode: 125)
            }
        }
        guard !network.isEmpty else {
            throw CommandFailure("network name is missing in --network \(argument)", exitCode: 125)
        }
    }

    var value: TemplateValue {
        var value: TemplateValue = ["Network": .string(network)]
        if let address { value["IPv4Address"] = .string(address) }
        value["Aliases"] = .strings(aliases)
        return value
    }
}
