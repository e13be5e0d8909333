import NIOHTTP1
import WeftModel
import WeftText

/// Logs of services and tasks, on whatever nodes these are.
extension Router {
    func serviceLogs(_ request: APIRequest) async throws -> APIResponse {
        let choice = try LogChoice(request)
        let service = try await service(request.path[1])
        let router = self
        return try await logs(choice, isRaw: service.spec.task.container.hasTerminal) {
            let tasks = try await router.backend.objects(ServiceTask.self).filter { $0.service == service.id }
            // Once the service is gone, there is nothing to wait for.
            let isThere = try await router.backend.objects(Service.self).contains { $0.id == service.id }
            return LogSubject(tasks: tasks, mayGrow: isThere)
        }
    }

    func taskLogs(_ request: APIRequest) async throws -> APIResponse {
        let choice = try LogChoice(request)
        let id = try await task(request.path[1]).id
        let router = self
        return try await logs(choice, isRaw: try await task(id.rawValue).spec.container.hasTerminal) {
            let task = try await router.backend.objects(ServiceTask.self).first { $0.id == id }
            return LogSubject(tasks: task.map { [$0] } ?? [], mayGrow: task.map { !$0.status.state.isOver } ?? false)
        }
    }

    private func logs(
        _ choice: LogChoice, isRaw: Bool, _ subject: @escaping @Sendable () async throws -> LogSubject
    ) async throws -> APIResponse {
        let router = self
        return APIResponse(
            status: .ok, headers: ["Content-Type": "application/vnd.docker.raw-stream"],
            body: .stream { writer in
                let sink = LogSink(writer: writer, choice: choice, isRaw: isRaw)
                guard choice.options.follows else {
                    for task in try await subject().tasks.sorted(by: { $0.createdAt < $1.createdAt }) {
                        var position = LogPosition(choice.options)
                        if let loss = try await router.copyLog(of: task, &position, to: sink) {
                            try await sink.note(loss, about: task)
                        }
                    }
                    return
                }
                try await router.follow(subject, choice.options, to: sink)
            })
    }

    private enum FollowEvent: Sendable {
        case look
        case ended(ServiceTask)
        case lost(ServiceTask, LogPosition, LogUnavailable)
    }

    /// Follows all tasks, those among them that come meanwhile, until nothing more can come or the client goes away.
    private func follow(
        _ subject: @escaping @Sendable () async throws -> LogSubject, _ options: LogOptions, to sink: LogSink
    ) async throws {
        try await withThrowingTaskGroup(of: FollowEvent.self) { group in
            var followed = FollowedTasks(options)
            group.addTask { .look }
            for try await event in group {
                switch event {
                case .look:
                    let subject = try await subject()
                    for (task, position) in followed.look(at: subject.tasks) {
                        group.addTask {
                            var position = position
                            let loss = try await copyLog(of: task, &position, to: sink)
                            return loss.map { .lost(task, position, $0) } ?? .ended(task)
                        }
                    }
                    if followed.isIdle, !subject.mayGrow { return group.cancelAll() }
                    group.addTask {
                        try await Task.sleep(for: .seconds(1))
                        return .look
                    }
                case .ended(let task): followed.ended(task)
                case .lost(let task, let position, let loss):
                    if followed.lost(task, position, loss) { try await sink.note(loss, about: task) }
                }
            }
        }
    }

    /// Nil: all that there is was copied; else why not.
    private func copyLog(
        of task: ServiceTask, _ position: inout LogPosition, to sink: LogSink
    ) async throws -> LogUnavailable? {
        guard task.status.container != nil else { return nil }
        var reached = position
        reached.begin()
        defer { position = reached }
        do {
            try await backend.readLog(of: task, position.options) { lines in
                try await sink.write(reached.take(lines), of: task)
            }
            return nil
        } catch let error as LogUnavailable {
            return error
        }
    }
}

/// What logs are asked of, as it is at a moment.
private struct LogSubject: Sendable {
    var tasks: [ServiceTask]
    /// Others may come, or containers of these.
    var mayGrow: Bool
}

/// What a request for logs asks for.
struct LogChoice: Sendable {
    var options = LogOptions()
    let hasTimes: Bool

    init(_ request: APIRequest) throws(APIError) {
        options.hasOutput = request.query.flag("stdout")
        options.hasErrorOutput = request.query.flag("stderr")
        guard options.hasOutput || options.hasErrorOutput else {
            throw .badRequest("Bad parameters: you must choose at least one stream")
        }
        guard request.query["until"]?.isEmpty ?? true else {
            throw .badRequest("until is for logs of containers; logs of services and tasks know since and tail")
        }
        options.follows = request.query.flag("follow")
        options.hasDetails = request.query.flag("details")
        options.since = try EventChoice.time(request, "since")
        // As Docker: what is no number, or below zero, is all.
        options.tail = request.query["tail"].flatMap { Int($0) }.flatMap { $0 < 0 ? nil : $0 }
        hasTimes = request.query.flag("timestamps")
    }
}

/// Puts lines of several tasks into one answer: what is written at once has whole lines, so that none is in the middle of another's.
private struct LogSink: Sendable {
    let writer: ResponseWriter
    let choice: LogChoice
    /// Of a terminal, whose output has no streams to tell apart.
    let isRaw: Bool

    func write(_ lines: [LogLine], of task: ServiceTask) async throws {
        var content: [UInt8] = []
        for line in lines where choice.options.takes(line) {
            var text: [UInt8] = []
            if choice.hasTimes { text += Array("\(line.time.fixedRFC3339) ".utf8) }
            if choice.options.hasDetails { text += Array("\(details(task))\(line.details.isEmpty ? "" : ",")\(line.details) ".utf8) }
            content += framed(text + line.bytes, isError: line.isError)
        }
        try await writer.write(content)
    }

    /// Weft's own word, on the stream for errors, or on the one that is asked for.
    func note(_ loss: LogUnavailable, about task: ServiceTask) async throws {
        let text = "weft: the output of task \(task.id) is not to be had: \(loss)\n"
        try await write(
            [LogLine(time: task.status.at, isError: choice.options.hasErrorOutput, bytes: Array(text.utf8))], of: task)
    }

    private func framed(_ content: [UInt8], isError: Bool) -> [UInt8] {
        guard !isRaw else { return content }
        let length = UInt32(clamping: content.count)
        return [isError ? 2 : 1, 0, 0, 0] + (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * $0)) } + content
    }

    /// By which the docker command tells whose line it is.
    private func details(_ task: ServiceTask) -> String {
        "com.docker.swarm.node.id=\(task.node?.rawValue ?? ""),com.docker.swarm.service.id=\(task.service),"
            + "com.docker.swarm.task.id=\(task.id)"
    }
}
