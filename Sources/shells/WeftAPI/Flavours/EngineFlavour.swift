import WeftEngine
import WeftModel
import WeftNet
import WeftText

/// How an engine's containers come onto the swarm's networks. All else about an engine is the same for all of them.
protocol EngineFlavour: Sendable {
    /// `POST /containers/create`.
    func create(_ request: APIRequest) async throws -> APIResponse
    /// `GET /containers/json` and `GET /containers/{id}/json`.
    func read(_ request: APIRequest) async throws -> APIResponse
    /// What makes a container start, end, go, or change its name.
    func change(_ request: APIRequest) async throws -> APIResponse
    /// `POST /networks/{id}/connect` of a container to a network of the swarm.
    func connect(_ request: APIRequest, to network: Network) async throws -> APIResponse
    /// The reverse.
    func disconnect(_ request: APIRequest, from network: Network) async throws -> APIResponse
}

extension Router {
    /// Where containers ask for names beyond their own engine's.
    static let resolver = Constants.resolver.description

    /// The engine's. Throws when nobody listens.
    func flavour() async throws -> any EngineFlavour {
        let engine = try localEngine()
        switch try await engine.kind().joining {
        case .byDriver: return DriverFlavour(router: self, engine: engine)
        case .byNamespace:
            guard let containers else {
                throw APIError.unavailable("containers of podman are not put on networks by this daemon")
            }
            return NamespaceFlavour(router: self, engine: engine, containers: containers)
        }
    }

    /// Whether `change` must see what becomes of containers.
    var followsChanges: Bool { engine.map { $0.knownKind?.joining != .byDriver } ?? false }

    /// The names by which a request for a container names its networks, once each.
    static func networkNames(in fields: Fields) throws(APIError) -> [String] {
        let mode = try fields.fields("HostConfig")?.text("NetworkMode") ?? ""
        var names = [mode]
        if case .object(let members)? = try fields.fields("NetworkingConfig")?.fields("EndpointsConfig")?.json {
            names += members.map(\.key).filter { $0 != mode }
        }
        return names.filter { !isEnginesOwn($0) }
    }

    /// Names that are the engine's own and no network's of the swarm.
    static func isEnginesOwn(_ mode: String) -> Bool {
        ["", "nat"].contains(mode) || NetworkSpec.predefinedNames.contains(mode) || mode.hasPrefix("container:")
            || mode.hasPrefix("ns:")
    }
}
