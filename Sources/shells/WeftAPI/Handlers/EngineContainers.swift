import NIOHTTP1

/// The verbs of containers in which the swarm's networks occur, for an engine of any flavour.
extension Router {
    func containerCreate(_ request: APIRequest) async throws -> APIResponse { try await flavour().create(request) }

    func containerRead(_ request: APIRequest) async throws -> APIResponse { try await flavour().read(request) }

    func containerChange(_ request: APIRequest) async throws -> APIResponse {
        let flavour = try await flavour()
        guard ["start", "restart"].contains(request.path.last) else { return try await flavour.change(request) }
        // The engine asks its driver for addresses meanwhile, and does not say for whom.
        return try await backend.starting(request.path[1]) { try await flavour.change(request) }
    }
}
