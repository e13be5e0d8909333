import NIOCore
import NIOHTTP1
import WeftEngine
import WeftModel
import WeftText

/// Logs of services and tasks. They are read where the tasks are: of this node's tasks here, and of others' it is said where to look.
extension Router {
    func serviceLogs(_ request: APIRequest) async throws -> APIResponse {
        let choice = try LogChoice(request)
        let service = try await service(request.path[1])
        let router = self
        return try await logs(choice, isRaw: service.spec.task.container.hasTerminal) {
            try await router.backend.objects(ServiceTask.self).filter { $0.service == service.id }
        }
    }

    func taskLogs(_ request: APIRequest) async throws -> APIResponse {
        let choice = try LogChoice(request)
        let task = try await task(request.path[1])
        return try await logs(choice, isRaw: task.spec.container.hasTerminal) { [task] }
    }

    private func logs(
        _ choice: LogChoice, isRaw: Bool, _ tasks: @escaping @Sendable () async throws -> [ServiceTask]
    ) async throws -> APIResponse {
        let own = backend.swarmStanding().nodeID
        let router = self
        return APIResponse(
            status: .ok, headers: ["Content-Type": "application/vnd.docker.raw-stream"],
            body: .stream { writer in
                let sink = LogSink(writer: writer, choice: choice, isRaw: isRaw)
                guard choice.options.follows else {
                    for task in try await tasks().sorted(by: { $0.createdAt < $1.createdAt }) {
                        try await router.copyLog(of: task, own: own, to: sink)
                    }
                    return
                }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await router.follow(tasks, own: own, to: sink) }
                    try await group.waitForAll()
                }
            })
    }

    /// Follows all tasks, those among them that come meanwhile, until the client goes away.
    private func follow(
        _ tasks: @Sendable () async throws -> [ServiceTask], own: NodeID?, to sink: LogSink
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            var known: Set<TaskID> = []
            while true {
                for task in try await tasks() where task.status.container != nil && known.insert(task.id).inserted {
                    group.addTask { try await copyLog(of: task, own: own, to: sink) }
                }
                try await Task.sleep(for: .seconds(1))
            }
        }
    }

    private func copyLog(of task: ServiceTask, own: NodeID?, to sink: LogSink) async throws {
        guard let container = task.status.container else { return }
        guard task.node == own else {
            return try await sink.note(
                "weft: the output of task \(task.id) is on node \(task.node?.rawValue ?? "") and is not shown here: `docker logs \(container)` "
                    + "or `weft logs \(container)` there shows it", about: task)
        }
        do {
            switch task.spec.runtime {
            case .container: try await copyContainer(container, of: task, to: sink)
            case .sandbox:
                for try await line in try await sandboxes.sandboxLog(SandboxID(container), sink.choice.options) {
                    try await sink.write(line, of: task)
                }
            }
        } catch let error as APIError {
            try await sink.note("weft: the output of task \(task.id) is not to be had: \(error.message)", about: task)
        } catch let error as any KindedError {
            try await sink.note("weft: the output of task \(task.id) is not to be had: \(error.sentence)", about: task)
        } catch let error as EngineError {
            try await sink.note("weft: the output of task \(task.id) is not to be had: \(error)", about: task)
        }
    }

    private func copyContainer(_ id: String, of task: ServiceTask, to sink: LogSink) async throws {
        let engine = try localEngine()
        var frames = LogFrames(isRaw: task.spec.container.hasTerminal)
        var refusal: [UInt8] = []
        let head = try await engine.client.stream(.GET, "/containers/\(id.percentEncoded)/logs?\(sink.choice.engineQuery)") { head, chunk in
            guard head.status == .ok else {
                refusal += chunk.readableBytesView
                return
            }
            for line in try frames.take(chunk) { try await sink.write(line, of: task) }
        }
        guard head.status != .ok else { return }
        var reason = String(decoding: refusal, as: UTF8.self)
        if case .string(let message)? = (try? JSON(parsing: refusal))?["message"] { reason = message }
        throw APIError(Int(head.status.code), reason)
    }
}

/// What a request for logs asks for.
struct LogChoice: Sendable {
    var options = LogOptions()
    let hasTimes: Bool
    let hasDetails: Bool
    private let since: String

    init(_ request: APIRequest) throws(APIError) {
        options.hasOutput = request.query.flag("stdout")
        options.hasErrorOutput = request.query.flag("stderr")
        guard options.hasOutput || options.hasErrorOutput else {
            throw .badRequest("Bad parameters: you must choose at least one stream")
        }
        options.follows = request.query.flag("follow")
        options.since = try EventChoice.time(request, "since")
        since = request.query["since"] ?? ""
        // As Docker: what is no number, or below zero, is all.
        options.tail = request.query["tail"].flatMap { Int($0) }.flatMap { $0 < 0 ? nil : $0 }
        hasTimes = request.query.flag("timestamps")
        hasDetails = request.query.flag("details")
    }

    /// The same, as an engine is asked. Times are always asked for: they tell where a line's own text begins.
    var engineQuery: String {
        var query = "stdout=\(options.hasOutput ? 1 : 0)&stderr=\(options.hasErrorOutput ? 1 : 0)&timestamps=1"
        if options.follows { query += "&follow=1" }
        if !since.isEmpty { query += "&since=\(since.percentEncoded)" }
        if let tail = options.tail { query += "&tail=\(tail)" }
        return query
    }
}

/// Puts lines of several tasks into one answer: each line is one chunk, so that none is in the middle of another's.
private struct LogSink: Sendable {
    let writer: ResponseWriter
    let choice: LogChoice
    /// Of a terminal, whose output has no streams to tell apart.
    let isRaw: Bool

    func write(_ line: LogLine, of task: ServiceTask) async throws {
        guard line.isError ? choice.options.hasErrorOutput : choice.options.hasOutput else { return }
        var text: [UInt8] = []
        if choice.hasTimes { text += Array("\(line.time) ".utf8) }
        if choice.hasDetails { text += Array("\(details(task)) ".utf8) }
        try await put(text + line.bytes, isError: line.isError)
    }

    /// Weft's own word, on the stream for errors, or on the one that is asked for.
    func note(_ text: String, about task: ServiceTask) async throws {
        let line = LogLine(
            time: task.status.at.rfc3339, isError: choice.options.hasErrorOutput, bytes: Array((text + "\n").utf8))
        try await write(line, of: task)
    }

    private func put(_ content: [UInt8], isError: Bool) async throws {
        guard !isRaw else { return try await writer.write(content) }
        let length = UInt32(clamping: content.count)
        let head = [isError ? 2 : 1, 0, 0, 0] + (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * $0)) }
        try await writer.write(head + content)
    }

    /// By which the docker command tells whose line it is.
    private func details(_ task: ServiceTask) -> String {
        "com.docker.swarm.node.id=\(task.node?.rawValue ?? ""),com.docker.swarm.service.id=\(task.service),"
            + "com.docker.swarm.task.id=\(task.id)"
    }
}
