import NIOHTTP1
import WeftModel
import WeftNet
import WeftText

extension Router {
    /// Running sandboxes, or all with `?all=1`; oldest first.
    func sandboxList(_ request: APIRequest) async throws -> APIResponse {
        let all = request.query.flag("all")
        let sandboxes = try await self.sandboxes.sandboxes().filter { all || $0.state == .running }
            .sorted { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) }
        return .json(.array(sandboxes.map(sandboxJSON)))
    }

    func sandboxInspect(_ request: APIRequest) async throws -> APIResponse {
        .json(sandboxJSON(try await sandbox(request.path[3])))
    }

    func sandboxCreate(_ request: APIRequest) async throws -> APIResponse {
        let fields = try request.fields()
        var create = try SandboxCreateRequest(fields)
        create.networks = try await attachments(fields)
        let created = try await sandboxes.sandboxCreate(create)
        return .json(
            [
                "Id": .string(created.id.rawValue), "Name": .string(created.name), "Socket": .string(created.socket),
                "Directory": .string(created.directory), "Warnings": .strings(created.warnings),
            ], status: .created)
    }

    private func attachments(_ fields: Fields) async throws -> [EndpointSpec] {
        let wanted = try fields.objects("Networks")
        if wanted.isEmpty { return [] }
        try requireSwarm()
        let networks = try await networks(for: try wanted.compactMap { try $0.text("Network") }, onlySwarm: true)
        var attachments: [EndpointSpec] = []
        for entry in wanted {
            let attachment = try attachment(entry, in: networks)
            if attachments.contains(where: { $0.network == attachment.network }) {
                throw APIError.badRequest("\(entry.path).Network names a network twice; attach a sandbox once to each")
            }
            attachments.append(attachment)
        }
        return attachments
    }

    /// A node outside of a swarm has no networks that a sandbox could be on, whatever they are called.
    private func requireSwarm() throws {
        guard backend.swarmStanding().membership == .inactive else { return }
        throw APIError(
            503,
            APIError.notInSwarm.message + ", so a sandbox has no networks to be on here. Make one with \"weft swarm init\", or "
                + "join one with \"weft swarm join\", and try again.")
    }

    private func attachment(_ fields: Fields, in networks: NetworkDirectory) throws(APIError) -> EndpointSpec {
        guard let name = try fields.text("Network") else {
            throw .badRequest("\(fields.name("Network")) is missing; give a network's name or id")
        }
        return try attachment(
            to: try networks.network(name), addresses: fields, aliases: try fields.strings("Aliases"))
    }

    func sandboxStart(_ request: APIRequest) async throws -> APIResponse {
        try await sandboxes.sandboxStart(try await sandbox(request.path[3]).id)
        return .noContent
    }

    func sandboxStop(_ request: APIRequest) async throws -> APIResponse {
        let text = request.query["t"] ?? "10"
        guard let seconds = Int64(text), (0...86400).contains(seconds) else {
            throw APIError.badRequest("t is \"\(text)\"; give whole seconds from 0 to 86400")
        }
        try await sandboxes.sandboxStop(try await sandbox(request.path[3]).id, timeout: .seconds(seconds))
        return .noContent
    }

    func sandboxKill(_ request: APIRequest) async throws -> APIResponse {
        let text = request.query["signal"] ?? "KILL"
        guard let signal = SignalNumber.named(text) else {
            throw APIError.badRequest("\"\(text)\" is no signal; give a name such as TERM, or a number from 1 to 64")
        }
        let sandbox = try await sandbox(request.path[3])
        guard sandbox.state == .running else { throw APIError(409, "sandbox \(sandbox.name) is not running") }
        try await sandboxes.sandboxKill(sandbox.id, signal: signal)
        return .noContent
    }

    func sandboxRemove(_ request: APIRequest) async throws -> APIResponse {
        let sandbox = try await sandbox(request.path[3])
        let force = request.query.flag("force")
        guard force || sandbox.state != .running else {
            throw APIError(409, "sandbox \(sandbox.name) is running; stop it first, or remove it with --force")
        }
        try await sandboxes.sandboxRemove(sandbox.id, force: force)
        return .noContent
    }

    func sandboxConnect(_ request: APIRequest) async throws -> APIResponse {
        let sandbox = try await sandbox(request.path[3])
        let fields = try request.fields()
        try requireSwarm()
        let networks = try await networks(for: [try fields.text("Network") ?? ""], onlySwarm: true)
        let attachment = try attachment(fields, in: networks)
        if sandbox.endpoints.contains(where: { $0.endpoint.network == attachment.network }) {
            throw APIError(403, "sandbox \(sandbox.name) is attached to this network already")
        }
        try await sandboxes.sandboxConnect(sandbox.id, attachment)
        return .noContent
    }

    func sandboxDisconnect(_ request: APIRequest) async throws -> APIResponse {
        let sandbox = try await sandbox(request.path[3])
        guard let name = try request.fields().text("Network") else {
            throw APIError.badRequest("Network is missing; give a network's name or id")
        }
        let network = try await swarmNetwork(name)
        guard sandbox.endpoints.contains(where: { $0.endpoint.network == network.id }) else {
            throw APIError(403, "sandbox \(sandbox.name) is not connected to network \(network.spec.name)")
        }
        try await sandboxes.sandboxDisconnect(sandbox.id, network: network.id)
        return .noContent
    }

    /// Finds a sandbox of this node by id, by name, or by a unique start of its id.
    func sandbox(_ name: String) async throws -> SandboxSummary {
        let sandboxes = try await self.sandboxes.sandboxes(matching: name)
        if let sandbox = sandboxes.first(where: { $0.id.rawValue == name }) { return sandbox }
        if let sandbox = sandboxes.first(where: { $0.name == name }) { return sandbox }
        let found = sandboxes.filter { !name.isEmpty && $0.id.rawValue.hasPrefix(name) }
        guard let sandbox = found.first else { throw APIError.sandboxNotFound(name) }
        guard found.count == 1 else {
            throw APIError.badRequest("sandbox \(name) is ambiguous (\(found.count) matches found on ID prefix)")
        }
        return sandbox
    }
}

extension SandboxCreateRequest {
    /// Reads everything but the networks.
    init(_ fields: Fields) throws(APIError) {
        self.init(command: try fields.strings("Command"))
        guard let program = command.first, !program.isEmpty else {
            throw .badRequest("Command is missing; name the program to run, and its arguments")
        }
        name = try fields.text("Name")
        if let name { try checkName(name, what: "sandbox name") }
        hostname = try fields.text("Hostname")
        if let hostname { try checkName(hostname, what: "hostname") }
        environment = try fields.strings("Env")
        if let entry = environment.first(where: { !$0.contains("=") || $0.hasPrefix("=") }) {
            throw .badRequest("Env holds \"\(entry)\"; write NAME=value")
        }
        rootFS = try Self.directory(fields, "RootFS")
        workingDirectory = try Self.directory(fields, "WorkingDir")
        tty = try fields.bool("Tty")
        openStdin = try fields.bool("OpenStdin")
        autoRemove = try fields.bool("AutoRemove")
        for text in try fields.strings("Dns") { dns.append(try ipv4Address(text, named: "Dns")) }
        if (command + environment).contains(where: { $0.utf8.contains(0) }) {
            throw .badRequest("Command and Env must not hold NUL characters")
        }
    }

    private static func directory(_ fields: Fields, _ key: String) throws(APIError) -> String? {
        guard let path = try fields.text(key) else { return nil }
        guard path.hasPrefix("/"), !path.utf8.contains(0) else {
            throw .badRequest("\(key) is \"\(path)\"; give an absolute path")
        }
        return path
    }
}
