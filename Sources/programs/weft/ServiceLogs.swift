import ArgumentParser
import NIOHTTP1
import WeftClient
import WeftTemplate
import WeftText

struct ServiceLogs: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logs", abstract: "Shows what the tasks of a service wrote, or one task, on whatever nodes.",
        discussion: """
            Each line begins with its task and the node of that. With -f it goes on as more is written, until the service is removed, or \
            the task has ended.

              weft service logs -f --tail 20 web
              weft service logs --since 10m --timestamps web
            """)

    @OptionGroup var connection: ConnectionOptions
    @Flag(name: .shortAndLong, help: "Go on as more is written, by tasks too that come later.")
    var follow = false
    @Option(
        name: [.customShort("n", allowingJoined: true), .long], parsing: .unconditional,
        help: ArgumentHelp("How many lines from the end of each task's, or \"all\".", valueName: "lines"))
    var tail = "all"
    @Option(help: ArgumentHelp("Only lines since then, such as 2026-11-21T09:47:23Z, or 42m for 42 minutes ago.", valueName: "time"))
    var since: String?
    @Flag(name: .shortAndLong, help: "With the time of each line.")
    var timestamps = false
    @Flag(help: "With what the engine's log driver adds to each line.")
    var details = false
    @Flag(help: "Print nodes' and services' ids for their names.")
    var noResolve = false
    @Flag(help: "Leave out the tasks' ids.")
    var noTaskIds = false
    @Flag(help: "Print the tasks' ids whole.")
    var noTrunc = false
    @Flag(help: "Print what was written, and nothing else.")
    var raw = false
    @Argument(help: ArgumentHelp("Its name or id, or a task's.", valueName: "service"), completion: .serviceNames)
    var service: String

    /// As weftd is asked.
    func query(now: Int64) throws -> [(String, String)] {
        var query = [("stdout", "1"), ("stderr", "1")]
        if follow { query.append(("follow", "1")) }
        if timestamps { query.append(("timestamps", "1")) }
        if details || !raw { query.append(("details", "1")) }
        if tail != "all" {
            guard let count = Int(tail) else {
                throw CommandFailure("invalid value \"\(tail)\" for --tail: give a number or \"all\"")
            }
            if count >= 0 { query.append(("tail", String(count))) }
        }
        if let since { query.append(("since", try Self.time(since, now: now))) }
        return query
    }

    /// Seconds since 1970, with a fraction.
    private static func time(_ text: String, now: Int64) throws -> String {
        if let ago = GoDuration(argument: text) {
            let (seconds, rest) = ago.nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
            guard rest > 0 else { return String(now - seconds) }
            let fraction = String(1_000_000_000 - rest)
            return "\(now - seconds - 1)." + String(repeating: "0", count: 9 - fraction.count) + fraction
        }
        if let seconds = HumanTime.seconds(text) {
            let fraction = text.split(separator: ".", maxSplits: 1).dropFirst().first?.prefix { $0.isNumber } ?? ""
            return fraction.isEmpty ? String(seconds) : "\(seconds).\(fraction.prefix(9))"
        }
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.allSatisfy({ !$0.isEmpty && $0.allSatisfy { $0.isASCII && $0.isNumber } }) else {
            throw CommandFailure(
                "invalid value \"\(text)\" for --since: give a time such as 2026-11-21T09:47:23Z, a duration such as 42m, or seconds "
                    + "since 1970")
        }
        return text
    }

    func run() async throws {
        let query = try query(now: Terminal.now())
        let connection = try connection.connect()
        let (path, spec, width) = try await subject(connection)
        let hasTerminal = spec["ContainerSpec"]["TTY"].bool == true
        guard raw || !hasTerminal else {
            throw CommandFailure("its tasks have a terminal, of whose output no lines are told apart: give --raw")
        }
        var frames = LogStream(isRaw: hasTerminal)
        var names = LogNames(connection: connection, isResolving: !noResolve, width: width)
        try await connection.client.stream(.GET, path, query: query) { bytes in
            for (content, isError) in try frames.take(bytes) {
                let line = raw ? content : try await shown(content, &names)
                Terminal.print(bytes: line, to: isError ? .error : .output)
            }
        }
    }

    /// The path of the logs, the tasks' spec, and how wide slots are.
    private func subject(_ connection: Connection) async throws -> (path: String, TemplateValue, width: Int) {
        do {
            let found = try await connection.get("services", service)
            let replicas = found["Spec"]["Mode"]["Replicated"]["Replicas"].int ?? 0
            return ("/services/\((found["ID"].string ?? service).percentEncoded)/logs", found["Spec"]["TaskTemplate"], "\(replicas)".count)
        } catch let error as ClientError where error.status == 404 {}
        do {
            let task = try await connection.get("tasks", service)
            return ("/tasks/\((task["ID"].string ?? service).percentEncoded)/logs", task["Spec"], "\(task["Slot"].int ?? 0)".count)
        } catch let error as ClientError where error.status == 404 {
            throw CommandFailure("no such task or service: \(service)")
        }
    }

    /// Time, task and node before the line.
    private func shown(_ content: [UInt8], _ names: inout LogNames) async throws -> [UInt8] {
        var rest = content[...]
        var text: [UInt8] = []
        if timestamps { text = Self.word(&rest) + [0x20] }
        var attributes = String(decoding: Self.word(&rest), as: UTF8.self).split(separator: ",").map(String.init)
        func take(_ name: String) -> String {
            let key = "com.docker.swarm.\(name).id="
            guard let index = attributes.firstIndex(where: { $0.hasPrefix(key) }) else { return "" }
            return String(attributes.remove(at: index).dropFirst(key.count))
        }
        let (node, service, task) = (take("node"), take("service"), take("task"))
        let name = try await names.name(task, of: service, on: node, id: noTaskIds ? nil : noTrunc ? task.count : 12)
        text += Array("\(name)    | ".utf8)
        if details { text += Array("\(attributes.joined(separator: ",")) ".utf8) }
        return text + rest
    }

    /// What stands before the next blank.
    private static func word(_ rest: inout ArraySlice<UInt8>) -> [UInt8] {
        let word = rest.prefix { $0 != 0x20 }
        rest = rest.dropFirst(word.count + 1)
        return Array(word)
    }
}

/// What weftd sends of logs: frames with one line each, or the bytes of a terminal.
struct LogStream {
    let isRaw: Bool
    private var bytes: [UInt8] = []

    struct Broken: Error, CustomStringConvertible {
        var description: String { "what weftd sends of the logs is damaged" }
    }

    init(isRaw: Bool) { self.isRaw = isRaw }

    mutating func take(_ more: [UInt8]) throws -> [(content: [UInt8], isError: Bool)] {
        guard !isRaw else { return [(more, false)] }
        bytes += more
        var lines: [([UInt8], Bool)] = []
        var rest = bytes[...]
        while rest.count >= 8, let stream = rest.first {
            let length = rest.dropFirst(4).prefix(4).reduce(0) { $0 << 8 | Int($1) }
            guard stream <= 2, length <= 1 << 24 else { throw Broken() }
            guard rest.count >= 8 + length else { break }
            lines.append((Array(rest.dropFirst(8).prefix(length)), stream == 2))
            rest = rest.dropFirst(8 + length)
        }
        bytes = Array(rest)
        return lines
    }
}

/// What tasks are called in front of their lines.
struct LogNames {
    let connection: Connection
    let isResolving: Bool
    let width: Int
    private var services: [String: String] = [:]
    private var nodes: [String: String] = [:]
    private var slots: [String: Int64] = [:]

    init(connection: Connection, isResolving: Bool, width: Int) {
        self.connection = connection
        self.isResolving = isResolving
        self.width = width
    }

    /// `web.1.ab12cd34ef56@host1`, as wide for all slots; `id`: how much of the task's id.
    mutating func name(_ task: String, of service: String, on node: String, id: Int?) async throws -> String {
        if isResolving, services[service] == nil {
            services[service] = try? await connection.get("services", service)["Spec"]["Name"].string
        }
        if isResolving, nodes[node] == nil {
            nodes[node] = try? await connection.get("nodes", node)["Description"]["Hostname"].string
        }
        if slots[task] == nil { slots[task] = (try? await connection.get("tasks", task)["Slot"].int) ?? 0 }
        // What is gone by now is called by its id from here on.
        let (serviceName, nodeName, slot) = (services[service] ?? service, nodes[node] ?? node, slots[task] ?? 0)
        (services[service], nodes[node], slots[task]) = (serviceName, nodeName, slot)
        return Self.text(task, slot: slot, of: serviceName, on: nodeName, id: id, width: width)
    }

    static func text(_ task: String, slot: Int64, of service: String, on node: String, id: Int?, width: Int) -> String {
        let padding = String(repeating: " ", count: max(0, width - "\(slot)".count))
        return "\(service).\(slot)" + (id.map { "." + task.prefix($0) } ?? "") + "@\(node)" + padding
    }
}
