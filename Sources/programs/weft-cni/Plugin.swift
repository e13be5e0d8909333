import NIOHTTP1
import WeftText

/// The commands of the CNI specification (1.1.0), each a request or two to weftd.
struct Plugin {
    let environment: [String: String]
    let input: [UInt8]

    /// What goes to standard output; nil for nothing.
    func run() async throws(CNIError) -> JSON? {
        let command = environment["CNI_COMMAND"] ?? ""
        let json = try parsedInput(isOptional: command == "VERSION")
        switch command {
        case "VERSION": return versions(json)
        case "ADD": return try await add(json)
        case "DEL": try await delete(json)
        case "CHECK": try await check(json)
        case "GC": try await collect(json)
        case "STATUS": try await status(json)
        case "":
            throw CNIError(
                .invalidEnvironment, "CNI_COMMAND is missing", details: "weft-cni is started by container runtimes, not by hand")
        default: throw CNIError(.invalidEnvironment, "CNI_COMMAND \(command) is not known")
        }
        return nil
    }

    private func parsedInput(isOptional: Bool) throws(CNIError) -> JSON {
        if isOptional, input.isEmpty { return .null }
        do { return try JSON(parsing: input) } catch {
            throw CNIError(.notDecodable, "the network configuration on standard input is \(error)")
        }
    }

    private func versions(_ json: JSON) -> JSON {
        [
            "cniVersion": .string((try? json.string("cniVersion")) ?? Configuration.versions.last ?? ""),
            "supportedVersions": .array(Configuration.versions.map { .string($0) }),
        ]
    }

    private func add(_ json: JSON) async throws(CNIError) -> JSON {
        let configuration = try Configuration(json, environment: environment)
        try configuration.checkForAdd()
        let invocation = try Invocation(environment, needsNamespace: true)
        let wish = try Wish(configuration, invocation)
        let answer = try await Daemon(socket: configuration.socket)
            .request(.POST, "/weft/v1/attachments", body: wish.body)
        guard answer.status == 201 else { throw refusal(answer) }
        return try Result(answer.body, configuration, invocation).json
    }

    /// Everything that is gone already is success.
    private func delete(_ json: JSON) async throws(CNIError) {
        let configuration = try Configuration(json, environment: environment)
        let invocation = try Invocation(environment, needsNamespace: false)
        try await remove(invocation.container, invocation.interface, Daemon(socket: configuration.socket))
    }

    private func remove(_ container: String, _ interface: String, _ daemon: Daemon) async throws(CNIError) {
        let answer = try await daemon.request(.DELETE, Self.path(container, interface))
        guard answer.status == 204 || answer.status == 404 else { throw refusal(answer) }
    }

    private func check(_ json: JSON) async throws(CNIError) {
        let configuration = try Configuration(json, environment: environment)
        let invocation = try Invocation(environment, needsNamespace: true)
        guard configuration.version != "0.3.1" else {
            throw CNIError(.incompatibleVersion, "CHECK came with CNI 0.4.0, and the configuration has 0.3.1")
        }
        let answer = try await Daemon(socket: configuration.socket)
            .request(.GET, Self.path(invocation.container, invocation.interface))
        guard answer.status != 404 else { throw CNIError(.unknownContainer, answer.message) }
        guard answer.status == 200 else { throw refusal(answer) }
        if let problem = try answer.body.string("Problem") { throw CNIError(.notAsMade, problem) }
        let name = try answer.body.string("Network") ?? ""
        let id = try answer.body.string("NetworkID") ?? ""
        guard name == configuration.network || id.hasPrefix(configuration.network) else {
            throw CNIError(.notAsMade, "\(invocation.interface) is on network \(name), not \(configuration.network)")
        }
        guard let previous = configuration.json.member("prevResult") else {
            throw CNIError(.invalidConfiguration, "\"prevResult\" is missing; CHECK compares with it")
        }
        try compare(try Result(answer.body, configuration, invocation), with: previous, invocation)
    }

    /// Another plugin of the chain may have added to the result; what is ours must be in it.
    private func compare(
        _ result: Result, with previous: JSON, _ invocation: Invocation
    ) throws(CNIError) {
        var addresses: [String] = []
        for entry in try previous.array("ips") { addresses.append(try entry.string("address") ?? "") }
        for address in result.addresses where !addresses.contains(address) {
            throw CNIError(
                .notAsMade, "\(invocation.interface) has \(address), the result of ADD says \(addresses.joined(separator: ", "))")
        }
        for entry in try previous.array("interfaces") {
            guard try entry.string("name") == invocation.interface, try entry.string("sandbox") != nil else { continue }
            if let mac = try entry.string("mac"), mac.lowercased() != result.mac {
                throw CNIError(.notAsMade, "\(invocation.interface) has \(result.mac), the result of ADD says \(mac)")
            }
        }
    }

    /// Removes this configuration's attachments that the runtime does not know any more.
    private func collect(_ json: JSON) async throws(CNIError) {
        let configuration = try Configuration(json, environment: environment)
        guard json.member("cni.dev/valid-attachments") != nil else {
            throw CNIError(.invalidConfiguration, "\"cni.dev/valid-attachments\" is missing")
        }
        var valid: Set<[String]> = []
        for entry in try json.array("cni.dev/valid-attachments") {
            valid.insert([try entry.string("containerID") ?? "", try entry.string("ifname") ?? ""])
        }
        let daemon = Daemon(socket: configuration.socket)
        let answer = try await daemon.request(.GET, "/weft/v1/attachments")
        guard answer.status == 200, case .array(let attachments) = answer.body else { throw refusal(answer) }
        for attachment in attachments {
            guard try attachment.string("Owner") == configuration.name else { continue }
            let key = [try attachment.string("SandboxID") ?? "", try attachment.string("Interface") ?? ""]
            if !valid.contains(key) { try await remove(key[0], key[1], daemon) }
        }
    }

    private func status(_ json: JSON) async throws(CNIError) {
        let configuration = try Configuration(json, environment: environment)
        let answer: Daemon.Answer
        do {
            answer = try await Daemon(socket: configuration.socket).request(.GET, "/networks/\(configuration.network.percentEncoded)")
        } catch {
            throw CNIError(.notAvailable, error.message, details: error.details)
        }
        guard answer.status == 200 else { throw CNIError(.notAvailable, answer.message) }
        guard try answer.body.string("Scope") == "swarm" else {
            throw CNIError(.notAvailable, "network \(configuration.network) is none of the swarm's")
        }
    }

    private static func path(_ container: String, _ interface: String) -> String {
        "/weft/v1/attachments/\(container.percentEncoded)/\(interface.percentEncoded)"
    }

    /// What may go better in a moment is told from what will not.
    private func refusal(_ answer: Daemon.Answer) -> CNIError {
        switch answer.status {
        case 503: CNIError(.tryAgainLater, answer.message)
        case 400: CNIError(.invalidConfiguration, answer.message)
        default: CNIError(.refused, answer.message)
        }
    }
}
