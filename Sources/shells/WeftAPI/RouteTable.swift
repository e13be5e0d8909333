package import NIOHTTP1

/// A method and a path that weftd answers itself.
package struct Route: Sendable {
    let method: HTTPMethod
    /// Segments; `*` stands for any one, a last `**` for one or more.
    let pattern: [Substring]
    let operation: Router.Operation

    package init(_ method: HTTPMethod, _ pattern: String, _ operation: @escaping Router.Operation) {
        self.method = method
        self.pattern = pattern.split(separator: "/")
        self.operation = operation
    }

    func matches(_ path: [String]) -> Bool {
        if pattern.last == "**" {
            return path.count >= pattern.count && zip(pattern.dropLast(), path).allSatisfy { $0 == "*" || $0 == $1 }
        }
        return path.count == pattern.count && zip(pattern, path).allSatisfy { $0 == "*" || $0 == $1 }
    }
}

/// weftd's own routes; the first that fits counts.
enum RouteTable {
    static let routes: [Route] = system + swarm + services + files + networks + sandboxes + Router.attachmentRoutes

    /// What is the engine's, but must be read or changed on the way.
    static let engine: [Route] = [
        Route(.POST, "containers/create") { try await $0.containerCreate($1) },
        Route(.GET, "containers/json") { try await $0.containerRead($1) },
        Route(.GET, "events") { try await $0.events($1) },
        Route(.GET, "containers/*/json") { try await $0.containerRead($1) },
    ]

    /// What becomes of containers, for an engine that tells no driver of it.
    static let changes: [Route] =
        ["start", "stop", "restart", "kill", "rename"].map { verb in
            Route(.POST, "containers/*/\(verb)") { try await $0.containerChange($1) }
        } + [Route(.DELETE, "containers/*") { try await $0.containerChange($1) }]

    /// What makes a container start: its networks must be there, for an engine that tells its driver of all else.
    static let starts: [Route] = ["start", "restart"].map { verb in
        Route(.POST, "containers/*/\(verb)") { try await $0.containerChange($1) }
    }

    private static let system: [Route] = [
        Route(.GET, "_ping") { try await $0.ping($1) },
        Route(.GET, "version") { try await $0.version($1) },
        Route(.GET, "info") { try await $0.info($1) },
        Route(.GET, "distribution/**") { try await $0.distribution($1) },
        Route(.GET, "weft/v1/status") { try await $0.status($1) },
    ]

    private static let swarm: [Route] = [
        Route(.GET, "swarm") { try await $0.swarmInspect($1) },
        Route(.POST, "swarm/init") { try await $0.swarmInit($1) },
        Route(.POST, "swarm/join") { try await $0.swarmJoin($1) },
        Route(.POST, "swarm/leave") { try await $0.swarmLeave($1) },
        Route(.POST, "swarm/update") { try await $0.swarmUpdate($1) },
        Route(.GET, "swarm/unlockkey") { try await $0.swarmUnlockKey($1) },
        Route(.POST, "swarm/unlock") { try await $0.swarmUnlock($1) },
        Route(.GET, "weft/v1/swarm/keys") { try await $0.swarmKeys($1) },
        Route(.GET, "nodes") { try await $0.nodeList($1) },
        Route(.GET, "nodes/*") { try await $0.nodeInspect($1) },
        Route(.POST, "nodes/*/update") { try await $0.nodeUpdate($1) },
        Route(.DELETE, "nodes/*") { try await $0.nodeRemove($1) },
    ]

    private static let files: [Route] = [
        Route(.GET, "secrets") { try await $0.secretList($1) },
        Route(.POST, "secrets/create") { try await $0.secretCreate($1) },
        Route(.GET, "secrets/*") { try await $0.secretInspect($1) },
        Route(.POST, "secrets/*/update") { try await $0.secretUpdate($1) },
        Route(.DELETE, "secrets/*") { try await $0.secretRemove($1) },
        Route(.GET, "configs") { try await $0.configList($1) },
        Route(.POST, "configs/create") { try await $0.configCreate($1) },
        Route(.GET, "configs/*") { try await $0.configInspect($1) },
        Route(.POST, "configs/*/update") { try await $0.configUpdate($1) },
        Route(.DELETE, "configs/*") { try await $0.configRemove($1) },
    ]

    private static let services: [Route] = [
        Route(.GET, "services") { try await $0.serviceList($1) },
        Route(.GET, "services/*") { try await $0.serviceInspect($1) },
        Route(.GET, "services/*/logs") { try await $0.serviceLogs($1) },
        Route(.POST, "services/create") { try await $0.serviceCreate($1) },
        Route(.POST, "services/*/update") { try await $0.serviceUpdate($1) },
        Route(.DELETE, "services/*") { try await $0.serviceRemove($1) },
        Route(.GET, "tasks") { try await $0.taskList($1) },
        Route(.GET, "tasks/*") { try await $0.taskInspect($1) },
        Route(.GET, "tasks/*/logs") { try await $0.taskLogs($1) },
    ]

    private static let networks: [Route] = [
        Route(.GET, "networks") { try await $0.networkList($1) },
        Route(.GET, "networks/*") { try await $0.networkInspect($1) },
        Route(.POST, "networks/create") { try await $0.networkCreate($1) },
        Route(.POST, "networks/prune") { try await $0.networkPrune($1) },
        Route(.POST, "networks/*/connect") { try await $0.networkConnect($1) },
        Route(.POST, "networks/*/disconnect") { try await $0.networkDisconnect($1) },
        Route(.DELETE, "networks/*") { try await $0.networkRemove($1) },
    ]

    private static let sandboxes: [Route] = [
        Route(.GET, "weft/v1/sandboxes") { try await $0.sandboxList($1) },
        Route(.POST, "weft/v1/sandboxes") { try await $0.sandboxCreate($1) },
        Route(.GET, "weft/v1/sandboxes/*") { try await $0.sandboxInspect($1) },
        Route(.DELETE, "weft/v1/sandboxes/*") { try await $0.sandboxRemove($1) },
        Route(.POST, "weft/v1/sandboxes/*/start") { try await $0.sandboxStart($1) },
        Route(.POST, "weft/v1/sandboxes/*/stop") { try await $0.sandboxStop($1) },
        Route(.POST, "weft/v1/sandboxes/*/kill") { try await $0.sandboxKill($1) },
        Route(.POST, "weft/v1/sandboxes/*/connect") { try await $0.sandboxConnect($1) },
        Route(.POST, "weft/v1/sandboxes/*/disconnect") { try await $0.sandboxDisconnect($1) },
    ]
}
