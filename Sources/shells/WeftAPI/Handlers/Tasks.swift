import WeftModel
import WeftText

extension Router {
    func taskList(_ request: APIRequest) async throws -> APIResponse {
        let filters = try Filters(
            request, allowed: ["id", "name", "label", "service", "node", "desired-state", "_up-to-date", "runtime"])
        let (state, _) = try await managerState()
        let choice = try await TaskChoice(filters, router: self, state: state)
        let tasks = try await backend.objects(ServiceTask.self).filter(choice.takes)
        let shapes = ServiceShapes(snapshot: try await backend.clusterSnapshot(), nodes: try await backend.nodes())
        return .json(.array(tasks.map { shapes.json($0) }))
    }

    func taskInspect(_ request: APIRequest) async throws -> APIResponse {
        let task = try await task(request.path[1])
        return .json(ServiceShapes(snapshot: try await backend.clusterSnapshot(), nodes: try await backend.nodes()).json(task))
    }

    /// Finds a task by id, by name, or by a unique start of its id.
    func task(_ text: String) async throws -> ServiceTask {
        _ = try await managerState()
        return try meant(text, among: try await backend.objects(ServiceTask.self), what: "task", name: \.name)
    }
}

/// Which tasks a list is after.
private struct TaskChoice {
    let filters: Filters
    /// Nil where nothing was asked of it.
    private var services: Set<ServiceID>?
    private var nodes: Set<NodeID>?
    private var states: Set<TaskState>?
    /// What tasks of the newest spec are of.
    private var newest: [ServiceID: Version]?

    init(_ filters: Filters, router: Router, state: SwarmState) async throws {
        self.filters = filters
        let wanted = filters["service"]
        if !wanted.isEmpty { services = [] }
        for text in wanted { services?.insert(try await router.service(text).id) }
        if !filters["node"].isEmpty { nodes = [] }
        for text in filters["node"] { nodes?.insert(try await router.node(text, state: state).id) }
        if !filters["desired-state"].isEmpty { states = [] }
        for text in filters["desired-state"] {
            guard let state = TaskState(name: text.lowercased()) else {
                throw APIError.badRequest("Invalid desired-state filter: '\(text)'")
            }
            states?.insert(state)
        }
        if filters["_up-to-date"].contains("true") {
            newest = Dictionary(try await router.backend.objects(Service.self).map { ($0.id, $0.specVersion) }) { first, _ in first }
        }
    }

    func takes(_ task: ServiceTask) -> Bool {
        if let services, !services.contains(task.service) { return false }
        if let nodes, task.node.map(nodes.contains) != true { return false }
        if let states, !states.contains(task.desiredState) { return false }
        if let newest, newest[task.service] != task.specVersion { return false }
        return filters.matches("id") { task.id.rawValue.hasPrefix($0) } && filters.matches("name") { task.name.hasPrefix($0) }
            && filters.matchesAll("label") { hasLabel(task.serviceLabels, $0) }
            && filters.matches("runtime") { task.spec.runtime.rawValue == $0 }
    }
}
