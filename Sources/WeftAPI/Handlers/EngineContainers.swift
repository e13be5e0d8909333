import NIOHTTP1
import WeftEngine
import WeftModel
import WeftNet

/// The verbs of containers in which the swarm's networks occur.
extension Router {
    /// Where containers ask for names beyond their own engine's.
    private static let resolver = "169.254.77.53"

    /// Names that are the engine's own and no network's of the swarm.
    private static func isEnginesOwn(_ mode: String) -> Bool {
        ["", "default", "bridge", "host", "none", "nat"].contains(mode) || mode.hasPrefix("container:")
            || mode.hasPrefix("ns:")
    }

    /// Sees to it that the networks which the container names are there, and that it asks Weft for names.
    func containerCreate(_ request: APIRequest) async throws -> APIResponse {
        let engine = try localEngine()
        var json = try request.fields().json
        let snapshot = await backend.clusterSnapshot()
        var used: [Network] = []
        /// Resolves a name, keeps the network, and returns what the engine calls it.
        func engineName(_ name: String, settings: JSON?) throws(APIError) -> String {
            guard !Self.isEnginesOwn(name), let network = try? find(name, in: snapshot) else { return name }
            guard network.spec.attachable else { throw .notAttachable(network.spec.name) }
            if let ipam = settings?["IPAMConfig"] {
                _ = try attachment(to: network, addresses: try Fields(ipam, path: "IPAMConfig"), aliases: [])
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
        guard !used.isEmpty else { return APIResponse(try await ask(engine, request)) }
        var servers: [JSON] = []
        if case .array(let given)? = host["Dns"] { servers = given }
        host.set("Dns", .array([.string(Self.resolver)] + servers.filter { $0 != .string(Self.resolver) }))
        json.set("HostConfig", host)
        let body = json.utf8
        return try await engine.shadows.with(used) { APIResponse(try await ask(engine, request, body: body)) }
    }

    /// Lists and shows containers with the networks' ids in the swarm in place of the engine's.
    func containerRead(_ request: APIRequest) async throws -> APIResponse {
        let engine = try localEngine()
        let identities = await engine.shadows.identities
        var uri = request.uri
        for (shadow, network) in identities.sorted(by: { $0.key < $1.key }) where uri.contains(network) {
            uri = String(decoding: replacing(network, with: shadow, in: Array(uri.utf8)), as: UTF8.self)
        }
        let response = try await ask(engine, request, uri: uri)
        var body = response.body
        for (shadow, network) in identities { body = replacing(shadow, with: network, in: body) }
        body = replacing("\"Dns\":[\"\(Self.resolver)\",", with: "\"Dns\":[", in: body)
        body = replacing("\"Dns\":[\"\(Self.resolver)\"]", with: "\"Dns\":[]", in: body)
        return APIResponse(response, body: body)
    }
}
