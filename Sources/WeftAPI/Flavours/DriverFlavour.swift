import WeftEngine
import WeftModel

/// An engine that takes Weft's network driver, as dockerd does: the swarm's networks have shadows in it, made when a container
/// first needs them, and it attaches its containers by itself.
struct DriverFlavour: EngineFlavour {
    let router: Router
    let engine: LocalEngine

    /// Sees to it that the networks which the container names are there, and that it asks Weft for names.
    func create(_ request: APIRequest) async throws -> APIResponse {
        var json = try request.fields().json
        let networks = await router.backend.clusterNetworks()
        var used: [Network] = []
        /// Resolves a name, keeps the network, and returns what the engine calls it.
        func engineName(_ name: String, settings: JSON?) throws(APIError) -> String {
            guard !Router.isEnginesOwn(name), let network = try? router.find(name, in: networks) else { return name }
            guard network.spec.attachable else { throw .notAttachable(network.spec.name) }
            if let ipam = settings?["IPAMConfig"] {
                _ = try router.attachment(
                    to: network, addresses: try Fields(ipam, path: "IPAMConfig"), aliases: [])
            }
            if !used.contains(network) { used.append(network) }
            return network.spec.name
        }
        var host = json["HostConfig"] ?? [:]
        if case .string(let mode)? = host["NetworkMode"] {
            host.set("NetworkMode", .string(try engineName(mode, settings: nil)))
        }
        if var networking = json["NetworkingConfig"], case .object(let members)? = networking["EndpointsConfig"] {
            var renamed: [(key: String, value: JSON)] = []
            for (name, settings) in members { renamed.append((try engineName(name, settings: settings), settings)) }
            networking.set("EndpointsConfig", .object(renamed))
            json.set("NetworkingConfig", networking)
        }
        guard !used.isEmpty else { return APIResponse(try await router.ask(engine, request)) }
        var servers: [JSON] = []
        if case .array(let given)? = host["Dns"] { servers = given }
        host.set("Dns", .array([.string(Router.resolver)] + servers.filter { $0 != .string(Router.resolver) }))
        json.set("HostConfig", host)
        let body = json.utf8
        return try await engine.shadows.with(used) { APIResponse(try await router.ask(engine, request, body: body)) }
    }

    /// Lists and shows containers with the networks' ids in the swarm in place of the engine's.
    func read(_ request: APIRequest) async throws -> APIResponse {
        let identities = await engine.shadows.identities
        var uri = request.uri
        for (shadow, network) in identities.sorted(by: { $0.key < $1.key }) where uri.contains(network) {
            uri = String(decoding: replacing(network, with: shadow, in: Array(uri.utf8)), as: UTF8.self)
        }
        let response = try await router.ask(engine, request, uri: uri)
        var body = response.body
        for (shadow, network) in identities { body = replacing(shadow, with: network, in: body) }
        body = replacing("\"Dns\":[\"\(Router.resolver)\",", with: "\"Dns\":[", in: body)
        body = replacing("\"Dns\":[\"\(Router.resolver)\"]", with: "\"Dns\":[]", in: body)
        return APIResponse(response, body: body)
    }

    /// The engine tells its driver.
    func change(_ request: APIRequest) async throws -> APIResponse { APIResponse(try await router.ask(engine, request)) }

    func connect(_ request: APIRequest, to network: Network) async throws -> APIResponse {
        let ipam = try request.fields().fields("EndpointConfig")?.fields("IPAMConfig")
        _ = try router.attachment(to: network, addresses: ipam, aliases: [])
        let uri = router.enginePath(request, ["networks", network.spec.name, "connect"])
        return try await engine.shadows.with([network]) { APIResponse(try await router.ask(engine, request, uri: uri)) }
    }

    func disconnect(_ request: APIRequest, from network: Network) async throws -> APIResponse {
        let uri = router.enginePath(request, ["networks", network.spec.name, "disconnect"])
        return APIResponse(try await router.ask(engine, request, uri: uri))
    }
}
