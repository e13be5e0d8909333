// weftd's socket: Docker's Engine API as far as it is the swarm's, /weft/v1, and all else handed on to the engine byte for byte.
// Parses and shapes; what is allowed is judged by the machines behind `APIBackend`. Foreign bytes never trap, and are bounded before
// they are kept.
package import Logging
package import NIOHTTP1
package import WeftEngine
import WeftModel
import WeftText

/// Decides what becomes of a request, and runs weftd's own operations.
///
/// The target is a shell: it turns HTTP and Docker's JSON into `APIBackend` calls with the model's values, and back.
/// It holds no state of the swarm, knows no kernel, store or session, and imports none of them.
///
///     unix socket ─ APIServer ─ ConnectionHandler ─ Router ─ RouteTable ─ Handlers/* ─ APIBackend and its like (weftd)
///                   (HTTP/)     one a connection             one function a route
///
/// What a request says wrongly by itself is refused here with a sentence; what depends on the swarm's state is the
/// backend's to refuse. A path that is neither weftd's nor the Engine API's is a 404; an engine's is a 503 without one.
package struct Router: Sendable {
    package typealias Operation = @Sendable (Router, APIRequest) async throws -> APIResponse

    package enum Decision: Sendable {
        case own(Operation, RequestTarget)
        /// Goes to the container engine at this socket, byte for byte.
        case engine(String)
        case refused(APIError)
    }

    let backend: any APIBackend
    let sandboxes: any SandboxBackend
    let namespaces: any NamespaceBackend
    let logger: Logger
    /// Nil: there is none, and containers are nobody's.
    let engine: LocalEngine?
    /// Nil: containers whose engine takes no network driver cannot be put on networks.
    let containers: (any ContainerNetworking)?
    private let routes: [Route]

    /// - Parameters:
    ///   - extra: routes besides weftd's own, which they do not replace.
    package init(
        backend: any APIBackend, sandboxes: any SandboxBackend, namespaces: any NamespaceBackend, engine: LocalEngine? = nil,
        containers: (any ContainerNetworking)? = nil, logger: Logger, extra: [Route] = []
    ) {
        self.backend = backend
        self.sandboxes = sandboxes
        self.namespaces = namespaces
        self.engine = engine
        self.containers = containers
        self.logger = logger
        routes = RouteTable.routes + (engine == nil ? [] : RouteTable.engine) + extra
    }

    /// What clients are told to speak: the engine's, for most of what they say goes there.
    var apiVersion: APIVersion {
        engine?.apiVersion.flatMap { APIVersion(segment: "v\($0)") } ?? .newest
    }

    /// First segments of the Engine API's paths that only a container engine can answer.
    private static let enginePaths: Set<String> = [
        "containers", "images", "volumes", "exec", "build", "commit", "events", "system", "auth", "session", "grpc",
        "plugins", "networks",
    ]

    /// Decides by method and target alone, before any of the body is read.
    package func route(method: HTTPMethod, uri: String) -> Decision {
        guard let target = RequestTarget(uri) else {
            return .refused(.badRequest("the request's path is malformed"))
        }
        // HEAD is answered wherever GET is.
        let meant = method == .HEAD ? .GET : method
        if let route = routes.first(where: { $0.method == meant && $0.matches(target.path) }) {
            // With an engine the version is its matter, which may have to be asked: `run` sees to it.
            if engine == nil { do { try target.version?.check() } catch { return .refused(error) } }
            return .own(route.operation, target)
        }
        let changes = followsChanges ? RouteTable.changes : engine == nil ? [] : RouteTable.starts
        if let route = changes.first(where: { $0.method == method && $0.matches(target.path) }) {
            return .own(route.operation, target)
        }
        if let engine { return .engine(engine.client.socketPath) }
        do { try target.version?.check() } catch { return .refused(error) }
        if let first = target.path.first, Self.enginePaths.contains(first) { return .refused(.noEngine) }
        return .refused(.pageNotFound)
    }

    /// Runs an operation, and makes an answer of whatever it throws.
    func run(_ operation: Operation, _ request: APIRequest) async -> APIResponse {
        var response: APIResponse
        do {
            try await checkVersion(of: request)
            response = try await operation(self, request)
        } catch let error as APIError {
            response = .failure(error)
        } catch let error as any KindedError {
            response = .failure(APIError(of: error))
        } catch EngineError.absent {
            response = .failure(.noEngine)
        } catch let error as EngineError {
            noteIfSilent(error, at: request)
            response = .failure(APIError(error.httpStatus, "\(error)"))
        } catch let error as ShadowNetworks.NameTaken {
            response = .failure(APIError(409, "\(error)"))
        } catch is CancellationError {
            response = .failure(APIError(503, "weftd is shutting down"))
        } catch {
            logger.error(
                "a request failed", metadata: ["path": "\(request.path.joined(separator: "/"))", "error": "\(error)"])
            response = .failure(APIError(500, "\(error)"))
        }
        for (name, value) in [
            ("Api-Version", "\(apiVersion)"), ("Docker-Experimental", "false"), ("Ostype", "linux"),
            ("Server", "Weft (linux)"),
        ] where !response.headers.contains(name: name) {
            response.headers.add(name: name, value: value)
        }
        return response
    }

    /// Refuses a version that neither weftd nor the engine speaks, which may be another one than when it was last asked.
    private func checkVersion(of request: APIRequest) async throws(APIError) {
        guard let engine, let version = RequestTarget(request.uri)?.version else { return }
        if version > max(apiVersion, .newest), let current = try? await engine.engine.limited(to: engine.patience).apiVersion() {
            engine.apiVersion = current
        }
        try version.check(newest: max(apiVersion, .newest))
    }

    /// True, and logged, when the engine is there and does not answer.
    @discardableResult
    func noteIfSilent(_ error: EngineError, at request: APIRequest) -> Bool {
        guard case .silent = error else { return false }
        logger.warning("\(error)", metadata: ["path": "/\(request.path.joined(separator: "/"))"])
        return true
    }

    // MARK: What many operations start with

    /// The swarm's state, on a manager; else the error that says why not.
    func managerState() async throws(APIError) -> (swarm: SwarmState, cluster: Cluster) {
        let state = try await backend.swarmState()
        guard state.membership != .inactive else { throw .notAManagerOutsideSwarm }
        guard state.membership != .locked else { throw .swarmLocked }
        if state.membership == .error, !state.error.isEmpty { throw APIError(503, state.error) }
        guard state.isManager, let cluster = state.cluster else { throw .notAManagerOnWorker }
        return (state, cluster)
    }

    /// `?version=` of an update.
    func version(of request: APIRequest, what: String) throws(APIError) -> Version {
        let text = request.query["version"] ?? ""
        guard let index = Int64(text), index >= 0 else {
            throw .badRequest("invalid \(what) version '\(text)': give the Version.Index of the object as last read")
        }
        return Version(index)
    }
}
