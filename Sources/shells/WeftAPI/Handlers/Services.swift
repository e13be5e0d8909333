import NIOHTTP1
import WeftModel
import WeftText

extension Router {
    func serviceList(_ request: APIRequest) async throws -> APIResponse {
        let filters = try Filters(request, allowed: ["id", "name", "label", "mode", "runtime"])
        _ = try await managerState()
        let services = try await backend.objects(Service.self).filter { service in
            filters.matches("id") { service.id.rawValue.hasPrefix($0) } && filters.matches("name") { service.spec.name.hasPrefix($0) }
                && filters.matchesAll("label") { hasLabel(service.spec.labels, $0) }
                && filters.matches("mode") { service.mode.word == $0 }
                && filters.matches("runtime") { service.spec.task.runtime.rawValue == $0 }
        }
        let shapes = ServiceShapes(snapshot: try await backend.clusterSnapshot())
        guard request.query.flag("status"), !services.isEmpty else { return .json(.array(services.map { shapes.json($0) })) }
        let tasks = Dictionary(grouping: try await backend.objects(ServiceTask.self), by: \.service)
        return .json(
            .array(services.map { shapes.json($0, status: ServiceTally(of: $0, tasks: tasks[$0.id] ?? [])) }))
    }

    func serviceInspect(_ request: APIRequest) async throws -> APIResponse {
        let service = try await service(request.path[1])
        let shapes = ServiceShapes(snapshot: try await backend.clusterSnapshot())
        return .json(shapes.json(service, insertDefaults: request.query.flag("insertDefaults")))
    }

    func serviceCreate(_ request: APIRequest) async throws -> APIResponse {
        _ = try await managerState()
        var spec = try await resolved(try ServiceSpec(request.fields()))
        spec.task.container.registryCredentials = try RegistryCredentials(request)?.secret
        let service = try await backend.serviceCreate(spec)
        return .json(["ID": .string(service.id.rawValue)], status: .created)
    }

    func serviceUpdate(_ request: APIRequest) async throws -> APIResponse {
        let version = try version(of: request, what: "service")
        let rollback = request.query["rollback"] ?? "none"
        guard ["none", "previous"].contains(rollback) else {
            throw APIError.badRequest("unrecognized rollback option \(rollback)")
        }
        let service = try await service(request.path[1])
        // The body of a rollback repeats the spec as it is, and says nothing.
        let spec = rollback == "previous" ? nil : try await spec(after: request, of: service, version)
        if spec == nil, try RegistryCredentials(request)?.secret != nil {
            throw APIError.badRequest("a rollback goes back to the credentials that the service had: leave out X-Registry-Auth")
        }
        try await backend.serviceUpdate(service.id, version: version, spec: spec)
        return .json(["Warnings": .null])
    }

    private func spec(after request: APIRequest, of service: Service, _ version: Version) async throws -> ServiceSpec {
        var spec = try await resolved(try ServiceSpec(request.fields()))
        // What stays is taken from what is replaced, and from nothing older.
        guard service.version == version else { throw APIError.outOfSequence }
        if spec.task.runtime == .container || request.headers.contains(name: "X-Registry-Auth") {
            spec.task.container.registryCredentials = try RegistryCredentials.after(request, of: service)
        }
        return spec
    }

    func serviceRemove(_ request: APIRequest) async throws -> APIResponse {
        try await backend.serviceRemove(try await service(request.path[1]).id)
        return .ok
    }

    /// Finds a service by id, by name, or by a unique start of its id.
    func service(_ text: String) async throws -> Service {
        _ = try await managerState()
        return try meant(text, among: try await backend.objects(Service.self), what: "service", name: \.spec.name)
    }

    // MARK: What a spec names

    /// The spec with the ids of the networks that it names. Networks, secrets and configs that there are not are refused.
    private func resolved(_ spec: ServiceSpec) async throws -> ServiceSpec {
        var spec = spec
        try checkPublished(spec)
        if !spec.task.networks.isEmpty {
            let networks = try await networks(for: spec.task.networks.map(\.target))
            for index in spec.task.networks.indices {
                spec.task.networks[index].target = try target(
                    spec.task.networks[index].target, of: networks, runtime: spec.task.runtime)
            }
            let targets = spec.task.networks.map(\.target)
            if let twice = targets.first(where: { id in targets.count { $0 == id } > 1 }) {
                throw APIError.badRequest("the network \(twice) is named twice; name it once, with all its aliases")
            }
        }
        let container = spec.task.container
        if !container.secrets.isEmpty { try check(container.secrets, try await backend.objects(StoredSecret.self)) }
        if !container.configs.isEmpty { try check(container.configs, try await backend.objects(StoredConfig.self)) }
        return spec
    }

    /// Nothing is promised that nobody would answer.
    private func checkPublished(_ spec: ServiceSpec) throws(APIError) {
        let ports = spec.endpoint?.ports ?? []
        if spec.task.runtime == .sandbox, spec.task.networks.isEmpty, ports.contains(where: { $0.mode == .host }) {
            throw .badRequest("a sandbox without a network has no port that mode=host could publish: put it on one of the swarm's networks")
        }
    }

    private func target(
        _ text: String, of networks: NetworkDirectory, runtime: TaskSpec.Runtime
    ) throws(APIError) -> String {
        switch try networks.meaning(of: text) {
        case .swarm(let network)?:
            guard !network.spec.ingress else {
                throw .invalidArgument("Service cannot be explicitly attached to the ingress network \"\(network.spec.name)\"")
            }
            return network.id.rawValue
        case .engine(_, let name)? where NetworkSpec.predefinedNames.contains(name) && runtime == .container: return name
        case .engine(_, let name)?:
            throw APIError(
                403,
                "The network \(name) cannot be used with services. Only networks scoped to the swarm can be used, such as those "
                    + "created with the overlay driver.")
        case nil:
            guard NetworkSpec.predefinedNames.contains(text), text != "default", runtime == .container else {
                throw .networkNotFound(text)
            }
            return text
        }
    }

    private func check<File: SharedFile>(_ references: [ContainerSpec.FileReference], _ files: [File]) throws(APIError) {
        let names = Dictionary(files.map { ($0.id, $0.spec.name) }) { first, _ in first }
        let missing = references.filter { names[$0.id] != $0.name }.map(\.name)
        guard !missing.isEmpty else { return }
        throw .invalidArgument("\(File.kind)\(missing.count > 1 ? "s" : "") not found: \(missing.joined(separator: ", "))")
    }
}

extension ServiceMode {
    /// As a filter has it.
    var word: String {
        switch self {
        case .replicated: "replicated"
        case .global: "global"
        case .replicatedJob: "replicated-job"
        case .globalJob: "global-job"
        }
    }
}
