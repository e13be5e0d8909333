import NIOHTTP1
import WeftModel
import WeftText

/// Secrets and configs: the same verbs, for what is shown of them.
extension Router {
    func secretList(_ request: APIRequest) async throws -> APIResponse { try await list(StoredSecret.self, request) }
    func configList(_ request: APIRequest) async throws -> APIResponse { try await list(StoredConfig.self, request) }
    func secretInspect(_ request: APIRequest) async throws -> APIResponse { try await inspect(StoredSecret.self, request) }
    func configInspect(_ request: APIRequest) async throws -> APIResponse { try await inspect(StoredConfig.self, request) }
    func secretCreate(_ request: APIRequest) async throws -> APIResponse { try await create(StoredSecret.self, request) }
    func configCreate(_ request: APIRequest) async throws -> APIResponse { try await create(StoredConfig.self, request) }
    func secretUpdate(_ request: APIRequest) async throws -> APIResponse { try await update(StoredSecret.self, request) }
    func configUpdate(_ request: APIRequest) async throws -> APIResponse { try await update(StoredConfig.self, request) }
    func secretRemove(_ request: APIRequest) async throws -> APIResponse { try await remove(StoredSecret.self, request) }
    func configRemove(_ request: APIRequest) async throws -> APIResponse { try await remove(StoredConfig.self, request) }

    private func list<File: SharedFile>(_ type: File.Type, _ request: APIRequest) async throws -> APIResponse {
        let filters = try Filters(request, allowed: ["id", "name", "names", "label"])
        _ = try await managerState()
        let files = try await backend.objects(type).filter { file in
            filters.matches("id") { file.id.hasPrefix($0) } && filters.matches("name") { file.spec.name.hasPrefix($0) }
                && filters.matches("names") { file.spec.name == $0 }
                && filters.matchesAll("label") { hasLabel(file.spec.labels, $0) }
        }
        return .json(.array(files.map(sharedFileJSON)))
    }

    private func inspect<File: SharedFile>(_ type: File.Type, _ request: APIRequest) async throws -> APIResponse {
        .json(sharedFileJSON(try await find(type, request)))
    }

    private func create<File: SharedFile>(_ type: File.Type, _ request: APIRequest) async throws -> APIResponse {
        _ = try await managerState()
        let spec = try SharedFileSpec(request.fields(), kind: File.kind.name)
        let size = Base64.byteCount(canonical: spec.data.exposed)
        guard (1..<File.maxBytes).contains(size) else {
            throw APIError.invalidArgument("\(File.kind) data must be larger than 0 and less than \(File.maxBytes) bytes")
        }
        let file = try await backend.create(type, spec)
        return .json(["ID": .string(file.id)], status: .created)
    }

    private func update<File: SharedFile>(_ type: File.Type, _ request: APIRequest) async throws -> APIResponse {
        let version = try version(of: request, what: File.kind.name)
        let file = try await find(type, request)
        try await backend.update(type, file.id, version: version, try SharedFileSpec(request.fields(), kind: File.kind.name))
        return .ok
    }

    private func remove<File: SharedFile>(_ type: File.Type, _ request: APIRequest) async throws -> APIResponse {
        try await backend.remove(type, try await find(type, request).id)
        return .noContent
    }

    private func find<File: SharedFile>(_ type: File.Type, _ request: APIRequest) async throws -> File {
        _ = try await managerState()
        return try meant(
            request.path[1], among: try await backend.objects(type), what: File.kind.name, name: \.spec.name)
    }
}

/// The object that a user means: by id, else by name, else by the beginning of its id, which must be that of no other.
func meant<Object: StoredValue>(
    _ text: String, among objects: [Object], what: String, name: (Object) -> String
) throws(APIError) -> Object {
    if let object = objects.first(where: { $0.id.text == text }) ?? objects.first(where: { name($0) == text }) { return object }
    let found = objects.filter { !text.isEmpty && $0.id.text.hasPrefix(text) }
    guard let object = found.first else { throw .notFound("\(what) \(text) not found") }
    guard found.count == 1 else { throw .badRequest("\(what) \(text) is ambiguous (\(found.count) matches found)") }
    return object
}
