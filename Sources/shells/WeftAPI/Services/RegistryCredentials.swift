import NIOHTTP1
import WeftModel
import WeftText

/// What the registry of a service's image is to be shown, as a request brings it (`X-Registry-Auth`) or refers to it.
struct RegistryCredentials {
    /// Nil: there are none, which is said too: what was there before is to go.
    let secret: Secret?

    /// Nil of a request that says nothing of them.
    init?(_ request: APIRequest) throws(APIError) {
        guard let text = request.headers.first(name: "X-Registry-Auth"), !text.isEmpty else { return nil }
        let digits = text.filter { $0 != "=" }.map { $0 == "-" ? "+" : $0 == "_" ? "/" : $0 }
        guard let bytes = Base64.decoded(unpadded: String(digits)), let json = try? JSON(parsing: bytes), case .object = json else {
            throw .badRequest("X-Registry-Auth is no JSON object in base 64; log in to the registry again")
        }
        secret = json.saysSomething ? Secret(text) : nil
    }

    /// What a service has after an update: without a word of them, what it had.
    static func after(_ request: APIRequest, of service: Service) throws(APIError) -> Secret? {
        if let said = try RegistryCredentials(request) { return said.secret }
        switch request.query["registryAuthFrom"] ?? "spec" {
        case "spec": return service.spec.task.container.registryCredentials
        case "previous-spec":
            guard let former = service.previousSpec else { throw .badRequest("service does not have a previous spec") }
            return former.task.container.registryCredentials
        case let other: throw .badRequest("registryAuthFrom is \"\(other)\"; there are spec and previous-spec")
        }
    }
}
