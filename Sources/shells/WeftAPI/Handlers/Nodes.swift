import WeftModel
import WeftText

extension Router {
    func nodeList(_ request: APIRequest) async throws -> APIResponse {
        let filters = try Filters(request, allowed: ["id", "name", "role", "membership", "label", "node.label"])
        let (state, _) = try await managerState()
        for (key, values) in [("role", ["worker", "manager"]), ("membership", ["accepted", "pending"])] {
            if let wrong = filters[key].first(where: { !values.contains($0.lowercased()) }) {
                throw APIError.badRequest("Invalid \(key) filter: '\(wrong)'")
            }
        }
        let all = try await backend.nodes()
        let nodes = all.sorted { $0.id < $1.id }.filter { node in
            filters.matches("id") { node.id.rawValue.hasPrefix($0) }
                && filters.matches("name") { (node.description?.hostname ?? "").hasPrefix($0) }
                && filters.matches("role") { node.spec.role.rawValue == $0.lowercased() }
                && filters.matches("membership") { $0.lowercased() == "accepted" }
                && filters.matchesAll("node.label") { hasLabel(node.spec.labels, $0) }
                && filters.matchesAll("label") { hasLabel(node.description?.engineLabels ?? [:], $0) }
        }
        let names = nodeNames(all)
        return .json(.array(nodes.map { nodeJSON($0, state: state, names: names) }))
    }

    func nodeInspect(_ request: APIRequest) async throws -> APIResponse {
        let (state, _) = try await managerState()
        let names = nodeNames(try await backend.nodes())
        return .json(nodeJSON(try await node(request.path[1], state: state), state: state, names: names))
    }

    func nodeUpdate(_ request: APIRequest) async throws -> APIResponse {
        let (state, _) = try await managerState()
        let version = try version(of: request, what: "node")
        let fields = try request.fields()
        let node = try await node(request.path[1], state: state)
        let roleText = try fields.string("Role") ?? ""
        guard let role = NodeRole(rawValue: roleText.lowercased()) else {
            throw APIError.badRequest("invalid Role: \"\(roleText)\"; give worker or manager")
        }
        var spec = NodeSpec(role: role)
        guard let availability = try nodeAvailability(fields) else {
            throw APIError.badRequest("invalid Availability: \"\"; give active, pause or drain")
        }
        spec.availability = availability
        spec.labels = try fields.map("Labels")
        try await backend.nodeUpdate(node.id, version: version, spec: spec)
        return .ok
    }

    func nodeRemove(_ request: APIRequest) async throws -> APIResponse {
        let (state, _) = try await managerState()
        let node = try await node(request.path[1], state: state)
        try await backend.nodeRemove(node.id, force: request.query.flag("force"))
        return .ok
    }

    /// Finds a node by id, by host name, by a unique start of its id, or as `self`.
    func node(_ name: String, state: SwarmState) async throws -> Node {
        let nodes = try await backend.nodes()
        if let own = state.nodeID, name == "self", let node = nodes.first(where: { $0.id == own }) { return node }
        if let node = nodes.first(where: { $0.id.rawValue == name }) { return node }
        let named = nodes.filter { $0.description?.hostname == name }
        let found = named.isEmpty ? nodes.filter { !name.isEmpty && $0.id.rawValue.hasPrefix(name) } : named
        guard let node = found.first else { throw APIError.nodeNotFound(name) }
        guard found.count == 1 else {
            throw APIError.badRequest("node \(name) is ambiguous (\(found.count) matches found)")
        }
        return node
    }
}
