import WeftModel

extension Router {
    /// Of services, that they can be seen, and not made.
    func notOrchestrating(_ request: APIRequest) async throws -> APIResponse {
        _ = try await managerState()
        throw APIError.unavailable(
            "services are not available in this version of Weft; `weft run` starts a single process on this node")
    }
}
