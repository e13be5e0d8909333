import NIOHTTP1
import WeftEngine
import WeftModel
import WeftNet
import WeftText

/// An engine that takes no network driver, as podman: the container's network namespace is complete before the engine hears of
/// it, and what the engine cannot know of its networks and ports is put into its answers.
struct NamespaceFlavour: EngineFlavour {
    let router: Router
    let engine: LocalEngine
    let containers: any ContainerNetworking

    func create(_ request: APIRequest) async throws -> APIResponse {
        let fields = try request.fields()
        var creation = try ContainerCreation(
            fields, name: request.query["name"] ?? "",
            known: try await router.networks(for: try Router.networkNames(in: fields)), router: router)
        guard !creation.networks.isEmpty else { return APIResponse(try await router.ask(engine, request)) }
        if creation.publishesExposed { creation.publish(exposed: await exposedPorts(of: creation.image)) }
        var generator = SystemRandomNumberGenerator()
        let token = String(SandboxID.random(using: &generator).rawValue.prefix(32))
        let path = try await containers.prepare(try creation.container(token: token))
        do {
            let answer = try await router.ask(engine, request, body: creation.body(namespacePath: path).utf8)
            guard case .string(let id)? = answer.json?["Id"] else {
                await containers.discard(token: token)
                return APIResponse(answer)
            }
            // Without --name the engine chose one.
            let name = try await engine.engine.container(id)?.Name.drop { $0 == "/" } ?? ""
            try await containers.created(token: token, container: SandboxID(id), name: String(name))
            return APIResponse(answer)
        } catch {
            await containers.discard(token: token)
            throw error
        }
    }

    /// The ports that an image says its containers listen on, for `-P`.
    private func exposedPorts(of image: String) async -> [String] {
        guard
            let answer = try? await engine.client.request(.GET, "/images/\(image.percentEncoded)/json"),
            case .object(let ports)? = answer.json?["Config"]?["ExposedPorts"]
        else { return [] }
        return ports.map(\.key)
    }

    func read(_ request: APIRequest) async throws -> APIResponse {
        let shapes = ContainerShapes(
            containers: try await containers.containers(), networks: try await router.backend.clusterNetworks())
        if request.path == ["containers", "json"] { return try await list(request, shapes) }
        let answer = try await router.ask(engine, request)
        guard let json = answer.json, let shown = shapes.inspected(json) else { return APIResponse(answer) }
        return APIResponse(answer, body: shown.utf8 + [0x0a])
    }

    /// The engine knows no network of the swarm, so what was asked of networks is decided here, before the limit.
    private func list(_ request: APIRequest, _ shapes: ContainerShapes) async throws -> APIResponse {
        var filters = try request.query["filters"].map { try Self.parse($0) } ?? [:]
        let wanted = filters["network"].map(NetworkFilter.texts) ?? []
        let limit = wanted.isEmpty ? nil : request.query["limit"].flatMap { Int($0) }.flatMap { $0 > 0 ? $0 : nil }
        var uri: String?
        if !wanted.isEmpty {
            filters.set("network", .null)
            if case .object(let members) = filters { filters = .object(members.filter { $0.key != "network" }) }
            var query = ["filters=" + String(decoding: filters.utf8, as: UTF8.self).percentEncoded]
            if request.query.flag("all") || limit != nil { query.append("all=1") }
            if request.query.flag("size") { query.append("size=1") }
            uri = router.enginePath(request, request.path, query: query.joined(separator: "&"))
        }
        let answer = try await router.ask(engine, request, uri: uri)
        guard case .array(let all)? = answer.json else { return APIResponse(answer) }
        var shown = all.map(shapes.listed)
        if !wanted.isEmpty { shown = shown.filter { ContainerShapes.isOn(wanted, $0) } }
        if let limit { shown = Array(shown.prefix(limit)) }
        return APIResponse(answer, body: JSON.array(shown).utf8 + [0x0a])
    }

    private static func parse(_ text: String) throws(APIError) -> JSON {
        do { return try JSON(parsing: Array(text.utf8)) } catch {
            throw .badRequest("filters is not JSON: \(error.reason)")
        }
    }

    func change(_ request: APIRequest) async throws -> APIResponse {
        let id = try await engine.engine.container(request.path[1])?.Id
        guard let id, let token = try await status(of: id)?.container.token else {
            return APIResponse(try await router.ask(engine, request))
        }
        let response: EngineResponse
        do {
            switch request.path.last {
            case "start", "restart":
                response = try await containers.starting(token: token) { try await router.ask(engine, request) }
            default: response = try await router.ask(engine, request)
            }
        } catch {
            await containers.settle(SandboxID(id), isStop: false)
            throw error
        }
        await containers.settle(SandboxID(id), isStop: request.path.last == "stop")
        return APIResponse(response)
    }

    private func status(of id: String) async throws -> ContainerStatus? {
        try await containers.containers().first { $0.container.container?.rawValue == id }
    }

    // MARK: Networks

    func connect(_ request: APIRequest, to network: Network) async throws -> APIResponse {
        let fields = try request.fields()
        let (status, isRunning) = try await prepared(fields)
        let settings = try fields.fields("EndpointConfig")
        let attachment = try ContainerCreation.attachment(
            to: network, interface: status.container.freeInterface, settings: settings, router: router)
        try await containers.connect(
            token: status.container.token, attachment, networkName: network.spec.name, isRunning: isRunning)
        return .ok
    }

    func disconnect(_ request: APIRequest, from network: Network) async throws -> APIResponse {
        let (status, _) = try await prepared(try request.fields())
        try await containers.disconnect(
            token: status.container.token, network: network.id, networkName: network.spec.name)
        return .ok
    }

    /// The container that a request names.
    private func prepared(_ fields: Fields) async throws -> (ContainerStatus, isRunning: Bool) {
        guard let name = try fields.text("Container") else {
            throw APIError.badRequest("Container is missing; name a container")
        }
        guard let container = try await engine.engine.container(name) else {
            throw APIError.notFound("No such container: \(name)")
        }
        guard let status = try await status(of: container.Id) else {
            throw APIError(
                409,
                "container \(name) was made without a network of the swarm, in a namespace of podman's own, which no further "
                    + "network can be added to: create it anew with --network")
        }
        return (status, container.isRunning)
    }
}
