import NIOHTTP1

/// The verbs of containers in which the swarm's networks occur, for an engine of any flavour.
extension Router {
    func containerCreate(_ request: APIRequest) async throws -> APIResponse { try await flavour().create(request) }

    func containerRead(_ request: APIRequest) async throws -> APIResponse { try await flavour().read(request) }

    func containerChange(_ request: APIRequest) async throws -> APIResponse { try await flavour().change(request) }
}
