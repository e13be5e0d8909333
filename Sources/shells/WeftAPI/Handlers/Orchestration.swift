import WeftModel
import WeftText

/// Services, tasks, secrets and configs: there are none, and none can be made.
extension Router {
    func emptyList(_ request: APIRequest) async throws -> APIResponse {
        _ = try await managerState()
        return .json([])
    }

    func noSuchOrchestrated(_ request: APIRequest) async throws -> APIResponse {
        _ = try await managerState()
        let kind = (request.path.first ?? "").dropLast()
        throw APIError.notFound("\(kind) \(request.path.count > 1 ? request.path[1] : "") not found")
    }

    func notOrchestrating(_ request: APIRequest) async throws -> APIResponse {
        _ = try await managerState()
        let kind = request.path.first ?? ""
        throw APIError.unavailable(
            "\(kind) are not available in this version of Weft; `weft run` starts a single process on this node")
    }
}
