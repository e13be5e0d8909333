import NIOHTTP1
import WeftEngine
import WeftModel
import WeftText

/// An engine that takes Weft's network driver, as dockerd does: the swarm's networks have shadows in it, made when a container
/// first needs them, and it attaches its containers by itself.
struct DriverFlavour: EngineFlavour {
    let router: Router
    let engine: LocalEngine

    /// Sees to it that the networks which the container names are there, and that it asks Weft for names.
    func create(_ request: APIRequest) async throws -> APIResponse {
        let fields = try request.fields()
        var json = fields.json
        let directory = try await router.networks(for: try Router.networkNames(in: fields))
        var used: [Network] = []
        var isRenamed = false
        /// Resolves a name, keeps the network, and returns what the engine calls it.
        func engineName(_ name: String, settings: JSON?) throws(APIError) -> String {
            guard !Router.isEnginesOwn(name) else { return name }
            switch try directory.meaning(of: name) {
            case .swarm(let network)?:
                try check(try Fields(settings ?? [:], path: "EndpointsConfig.\(name)"), on: network)
                if !used.contains(network) { used.append(network) }
                return network.spec.name
            // The engine has networks that stand for the swarm's, whose ids may begin so, too.
            case .engine(let id, let known)? where known != name:
                isRenamed = true
                return id
            case .engine?, nil: return name
            }
        }
        var host = json["HostConfig"] ?? [:]
        if case .string(let mode)? = host["NetworkMode"] {
            host.set("NetworkMode", .string(try engineName(mode, settings: nil)))
        }
        if var networking = json["NetworkingConfig"], case .object(let members)? = networking["EndpointsConfig"] {
            var renamed: [(key: String, value: JSON)] = []
            for (name, settings) in members {
                renamed.append((try engineName(name, settings: settings == .null ? nil : settings), settings))
            }
            networking.set("EndpointsConfig", .object(renamed))
            json.set("NetworkingConfig", networking)
        }
        json.set("HostConfig", host)
        guard !used.isEmpty else {
            return APIResponse(try await router.ask(engine, request, body: isRenamed ? json.utf8 : nil))
        }
        var servers: [JSON] = []
        if case .array(let given)? = host["Dns"] { servers = given }
        host.set("Dns", .array([.string(Router.resolver)] + servers.filter { $0 != .string(Router.resolver) }))
        json.set("HostConfig", host)
        let body = json.utf8
        let answer = try await engine.shadows.with(used) { try await router.ask(engine, request, body: body) }
        return APIResponse(answer, body: warned(answer, name: request.query["name"] ?? ""))
    }

    /// What the settings of one endpoint ask for can be done; what cannot is refused by name.
    private func check(_ settings: Fields?, on network: Network) throws(APIError) {
        _ = try router.attachment(to: network, addresses: try settings?.fields("IPAMConfig"), aliases: [])
        // The engine's containers may have names that sandboxes may not.
        for alias in try settings?.strings("Aliases") ?? [] where !Endpoint.isName(alias) {
            throw .badRequest("invalid alias \"\(alias)\": it is no name for DNS (\(Endpoint.nameRule))")
        }
    }

    /// The engine takes names that DNS does not have; nil when this is none.
    private func warned(_ answer: EngineResponse, name: String) -> [UInt8]? {
        guard !name.isEmpty, !Endpoint.isName(name), var json = answer.json else { return nil }
        var warnings: [JSON] = if case .array(let given)? = json["Warnings"] { given } else { [] }
        warnings.append(
            .string("\(name) is no name for DNS (\(Endpoint.nameRule)): the container is found by its id and its aliases only"))
        json.set("Warnings", .array(warnings))
        return json.utf8 + [0x0a]
    }

    /// Lists and shows containers with the networks' ids in the swarm in place of the engine's.
    func read(_ request: APIRequest) async throws -> APIResponse {
        let response = try await router.ask(engine, request, uri: try await engineURI(of: request))
        var body = response.body
        for (shadow, network) in await engine.shadows.identities { body = replacing(shadow, with: network, in: body) }
        body = replacing("\"Dns\":[\"\(Router.resolver)\",", with: "\"Dns\":[", in: body)
        body = replacing("\"Dns\":[\"\(Router.resolver)\"]", with: "\"Dns\":[]", in: body)
        return APIResponse(response, body: body)
    }

    /// The request's target, with the filter for networks in the engine's words: all networks that are meant.
    private func engineURI(of request: APIRequest) async throws -> String {
        guard request.path == ["containers", "json"], let text = request.query["filters"],
            var filters = try? JSON(parsing: Array(text.utf8)), let given = filters["network"]
        else { return request.uri }
        let wanted = NetworkFilter.texts(given)
        let directory = try await router.networks(for: wanted)
        let shadows = Dictionary(await engine.shadows.identities.map { ($0.value, $0.key) }) { first, _ in first }
        var names: [String] = []
        for text in wanted {
            let found = directory.matches(text)
            if found.isEmpty { names.append(text) }
            for meaning in found {
                let (id, name) =
                    switch meaning {
                    case .swarm(let network): (shadows[network.id.rawValue], network.spec.name)
                    case .engine(let id, let name): (id, name)
                    }
                if let id { names.append(id) }
                // By its name, too: a container that never ran refers to the network by nothing else. But the engine takes a name
                // for the beginning of an id as well.
                if !name.utf8.allSatisfy(NetworkFilter.isHexDigit) { names.append(name) }
            }
        }
        filters.set("network", given.isArray ? .strings(names) : .object(names.map { ($0, true) }))
        return request.replacing("filters", with: String(decoding: filters.utf8, as: UTF8.self))
    }

    // MARK: Starting

    /// The engine tells its driver of what becomes of a container, but must have the networks of one that starts.
    func change(_ request: APIRequest) async throws -> APIResponse {
        guard ["start", "restart"].contains(request.path.last),
            let container = try await inspect(request.path[1]), !container.isRunning
        else { return APIResponse(try await router.ask(engine, request)) }
        let networks = try await router.backend.clusterNetworks()
        var used: [(network: Network, settings: JSON)] = []
        for (name, settings) in container.attachments where !Router.isEnginesOwn(name) {
            let present = try await engine.engine.network(name)
            if let present, present.clusterNetwork == nil { continue }
            guard let network = networks.first(where: { $0.spec.name == name }) else { return try await refused(request, without: name) }
            used.append((network, settings))
        }
        guard !used.isEmpty else { return APIResponse(try await router.ask(engine, request)) }
        let wanted = used
        return try await engine.shadows.with(used.map(\.network)) {
            for (network, settings) in wanted { try await renew(container.id, on: network, settings) }
            return APIResponse(try await router.ask(engine, request))
        }
    }

    /// The engine refuses the start by itself, and then removes the container if it was made with `--rm`, which a client waits for. Its
    /// sentence may name an id that nobody saw.
    private func refused(_ request: APIRequest, without network: String) async throws -> APIResponse {
        let answer = try await router.ask(engine, request)
        guard answer.status < 400 else { throw APIError.networkNotFound(network) }
        return APIResponse(answer)
    }

    /// A container that ran on a network before keeps to the engine's id of that, whatever has the name now.
    private func renew(_ container: String, on network: Network, _ settings: JSON) async throws {
        guard case .string(let id)? = settings["NetworkID"], !id.isEmpty,
            await engine.shadows.identity(of: id) != network.id.rawValue
        else { return }
        let name = network.spec.name
        _ = try await tell("disconnect", name, ["Container": .string(container), "Force": true])
        let answer = try await tell("connect", name, Self.connection(container, settings))
        guard answer.status < 400 else {
            throw APIError(answer.status, "container \(container.prefix(12)) cannot be put on network \(name), which is new")
        }
    }

    /// What connects a container as it was.
    private static func connection(_ container: String, _ settings: JSON) -> JSON {
        var config: JSON = [:]
        for key in ["IPAMConfig", "Links", "DriverOpts"] { if let value = settings[key] { config.set(key, value) } }
        if case .array(let aliases)? = settings["Aliases"] {
            // The engine adds the short id by itself.
            config.set("Aliases", .array(aliases.filter { $0 != .string(String(container.prefix(12))) }))
        }
        return ["Container": .string(container), "EndpointConfig": config]
    }

    private func tell(_ verb: String, _ network: String, _ body: JSON) async throws -> EngineResponse {
        try await engine.client.request(.POST, "/networks/\(network.percentEncoded)/\(verb)", body: body.utf8)
    }

    // MARK: Networks

    /// On a container that does not run, what is said of a network replaces what was said before, as it is with Docker's own overlays.
    /// On a network that it has, the engine would take it for said already.
    func connect(_ request: APIRequest, to network: Network) async throws -> APIResponse {
        let fields = try request.fields()
        try check(try fields.fields("EndpointConfig"), on: network)
        let name = network.spec.name
        let uri = router.enginePath(request, ["networks", name, "connect"])
        let text = try fields.text("Container") ?? ""
        return try await engine.shadows.with([network]) {
            guard let container = try await inspect(text), !container.isRunning,
                let settings = container.attachments.first(where: { $0.key == name })?.value
            else { return APIResponse(try await router.ask(engine, request, uri: uri)) }
            _ = try await tell("disconnect", name, ["Container": .string(container.id), "Force": true])
            let answer = try await router.ask(engine, request, uri: uri)
            if answer.status >= 400 { _ = try await tell("connect", name, Self.connection(container.id, settings)) }
            return APIResponse(answer)
        }
    }

    func disconnect(_ request: APIRequest, from network: Network) async throws -> APIResponse {
        let uri = router.enginePath(request, ["networks", network.spec.name, "disconnect"])
        return APIResponse(try await router.ask(engine, request, uri: uri))
    }

    /// What the engine knows of a container; nil when there is none.
    private func inspect(_ name: String) async throws -> Inspected? {
        guard !name.isEmpty else { return nil }
        let answer = try await engine.client.request(.GET, "/containers/\(name.percentEncoded)/json")
        guard let json = answer.json, case .string(let id)? = json["Id"] else { return nil }
        var inspected = Inspected(id: id, isRunning: json["State"]?["Running"] == true)
        if case .object(let members)? = json["NetworkSettings"]?["Networks"] { inspected.attachments = members }
        return inspected
    }

    private struct Inspected: Sendable {
        let id: String
        let isRunning: Bool
        /// By the network's name.
        var attachments: [(key: String, value: JSON)] = []
    }
}

/// `filters=network` of a list of containers.
enum NetworkFilter {
    static func texts(_ json: JSON) -> [String] {
        switch json {
        case .object(let members): members.compactMap { $0.value == false ? nil : $0.key }
        case .array(let elements): elements.compactMap { if case .string(let text) = $0 { text } else { nil } }
        case .string(let text): [text]
        default: []
        }
    }

    static func isHexDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x61...0x66: true
        default: false
        }
    }
}
