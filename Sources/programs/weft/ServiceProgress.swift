import WeftClient
import WeftTemplate

/// Waits until a service is what it is to be, and shows meanwhile how far it is.
struct ServiceProgress {
    let service: String
    let connection: Connection
    let isQuiet: Bool

    /// How long all tasks must run before it is believed that they do, in polls.
    private static let stablePolls = 25
    private static let poll = Duration.milliseconds(200)

    /// What can be told at one time.
    enum State: Equatable {
        /// So many tasks of those that are wanted run, or have ended well in a job; and why one does not.
        case running(Int64, of: Int64, problem: String)
        case done
        case failed(String)
    }

    func wait() async throws {
        var display = ProgressDisplay(isQuiet: isQuiet)
        var stable = 0
        while true {
            switch try await look() {
            case .failed(let reason):
                display.finish()
                throw CommandFailure(reason)
            case .running(let count, let wanted, let problem):
                stable = 0
                display.show("overall progress: \(count) out of \(wanted) tasks", problem)
            case .done:
                stable += 1
                if stable > Self.stablePolls {
                    display.finish()
                    if !isQuiet { Terminal.line("verify: Service \(service) converged") }
                    return
                }
                display.show("verify: Waiting 5 seconds to verify that tasks are stable...", "")
            }
            try await Task.sleep(for: Self.poll)
        }
    }

    private func look() async throws -> State {
        let found = try await connection.get("services", service)
        let filters = try Filters(["service=\(service)", "_up-to-date=true"])
        let tasks = try await connection.get("tasks", query: filters.query).array
        let nodes = found["Spec"]["Mode"]["Global"].isNull && found["Spec"]["Mode"]["GlobalJob"].isNull ? [] : try await readyNodes()
        return Self.state(found, tasks: tasks, nodes: nodes)
    }

    private func readyNodes() async throws -> [String] {
        try await connection.get("nodes").array
            .filter { $0["Status"]["State"].string == "ready" && $0["Spec"]["Availability"].string != "drain" }
            .compactMap { $0["ID"].string }
    }

    /// - Parameters:
    ///   - tasks: of the newest spec.
    ///   - nodes: those that a global service may run on, as far as that is known.
    static func state(_ service: TemplateValue, tasks: [TemplateValue], nodes: [String]) -> State {
        switch service["UpdateStatus"]["State"].string {
        case "paused"?: return .failed("service update paused: \(service["UpdateStatus"]["Message"].string ?? "")")
        case "rollback_paused"?: return .failed("service rollback paused: \(service["UpdateStatus"]["Message"].string ?? "")")
        default: break
        }
        let mode = service["Spec"]["Mode"]
        let isJob = !mode["ReplicatedJob"].isNull || !mode["GlobalJob"].isNull
        let wantedState = isJob ? "complete" : "running"
        let counted = tasks.filter { isJob || $0["DesiredState"].string == "running" }
        let good = Int64(counted.filter { $0["Status"]["State"].string == wantedState }.count)
        // Which nodes its constraints leave, the tasks tell.
        let places = Set(counted.compactMap { $0["NodeID"].string }.filter(nodes.contains)).count
        let wanted = mode["Replicated"]["Replicas"].int ?? mode["ReplicatedJob"]["TotalCompletions"].int ?? Int64(places)
        let problem = tasks.compactMap { $0["Status"]["Err"].string }.last { !$0.isEmpty } ?? ""
        let isUpdating = ["updating", "rollback_started"].contains(service["UpdateStatus"]["State"].string ?? "")
        guard good >= wanted, !isUpdating, wanted > 0 || mode["Replicated"]["Replicas"].int == 0 else {
            return .running(good, of: wanted, problem: problem)
        }
        return .done
    }
}

/// One line that changes where someone looks at it; elsewhere a line for each change.
private struct ProgressDisplay {
    let isQuiet: Bool
    private let isSeen = Terminal.isTerminal(Terminal.Stream.output.rawValue)
    private var last = ""
    private var lastProblem = ""

    init(isQuiet: Bool) { self.isQuiet = isQuiet }

    mutating func show(_ line: String, _ problem: String) {
        guard !isQuiet else { return }
        if !problem.isEmpty, problem != lastProblem {
            Terminal.print("\(isSeen && !last.isEmpty ? "\r\u{1b}[K" : "")\(problem)\n")
            lastProblem = problem
            last = ""
        }
        guard line != last else { return }
        Terminal.print(isSeen ? "\r\u{1b}[K\(line)" : "\(line)\n")
        last = line
    }

    mutating func finish() {
        if !isQuiet, isSeen, !last.isEmpty { Terminal.print("\n") }
        last = ""
    }
}
