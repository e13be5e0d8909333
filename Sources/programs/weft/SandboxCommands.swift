import ArgumentParser
import WeftClient
import WeftSandbox
import WeftTemplate

struct ExecCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exec", abstract: "Runs a further command in a running sandbox.",
        usage: "weft exec [OPTIONS] SANDBOX COMMAND [ARG...]",
        discussion: "Exit code: the command's.\n\n  weft exec -it a1 sh\n  weft exec a1 ping -c 1 a2")

    @OptionGroup var connection: ConnectionOptions
    @Flag(name: .shortAndLong, help: "Leave it in the background.")
    var detach = false
    @Flag(name: .shortAndLong, help: "Pass standard input on.")
    var interactive = false
    @Flag(name: .shortAndLong, help: "Give it a terminal.")
    var tty = false
    @Option(
        name: [.customShort("e", allowingJoined: true), .long],
        help: ArgumentHelp("An environment variable.", valueName: "name=value"))
    var env: [String] = []
    @Option(help: ArgumentHelp("A file of environment variables.", valueName: "file"), completion: .file())
    var envFile: [String] = []
    @Option(
        name: [.customShort("w", allowingJoined: true), .long],
        help: ArgumentHelp("Where the command starts.", valueName: "directory"))
    var workdir: String?
    @Argument(
        help: ArgumentHelp("The sandbox, the command and its arguments.", valueName: "sandbox command"),
        completion: .sandboxNames)
    var arguments: [String] = []

    /// The sandbox, and the command without a `--` before it.
    func parts() throws -> (sandbox: String, command: [String]) {
        var words = arguments[...]
        guard let sandbox = words.popFirst() else { throw CommandFailure("name a sandbox and a command") }
        if words.first == "--" { words.removeFirst() }
        guard !words.isEmpty else { throw CommandFailure("name a command to run in \(sandbox)") }
        return (sandbox, Array(words))
    }

    func run() async throws {
        let (name, command) = try parts()
        let environment = try Environment.entries(files: envFile, arguments: env)
        if tty, interactive, !detach, !Terminal.isTerminal(0) {
            throw CommandFailure("the input device is not a TTY")
        }
        let sandbox = try await connection.connect().sandbox(name)
        guard sandbox["State"].string == "running" else { throw CommandFailure("sandbox \(name) is not running") }
        let socket = sandbox["Socket"].string ?? ""
        let (workdir, tty, interactive, detach) = (workdir, tty, interactive, detach)
        let code: Int32
        do {
            code = try await Session.blocking {
                try SandboxSession.exec(
                    socket: socket, command: command, environment: environment, workingDirectory: workdir,
                    terminal: tty,
                    stdin: interactive && !detach, detach: detach)
            }
        } catch SandboxError.refused(let code, let reason) {
            throw CommandFailure(reason, exitCode: code)
        } catch let error as SandboxError {
            throw CommandFailure(error.description)
        }
        if code != 0 { throw ExitCode(code) }
    }
}

struct AttachCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "attach", abstract: "Connects the terminal to a running sandbox's command.",
        discussion: "  weft attach a1")

    @OptionGroup var connection: ConnectionOptions
    @Argument(completion: .sandboxNames)
    var sandbox: String

    func run() async throws {
        let found = try await connection.connect().sandbox(sandbox)
        guard found["State"].string == "running" else { throw CommandFailure("sandbox \(sandbox) is not running") }
        let code: Int32
        do {
            code = try await Session.attach(found) {}
        } catch let error as SandboxError {
            throw CommandFailure(error.description)
        }
        if code != 0 { throw ExitCode(code) }
    }
}

struct LogsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logs", abstract: "Shows what a sandbox's command wrote.",
        discussion: "  weft logs -f --tail 20 a1")

    @OptionGroup var connection: ConnectionOptions
    @Flag(name: .shortAndLong, help: "Go on as more is written.")
    var follow = false
    @Flag(name: .shortAndLong, help: "With the time of each line.")
    var timestamps = false
    @Option(
        name: [.customShort("n", allowingJoined: true), .long], parsing: .unconditional,
        help: ArgumentHelp("How many lines from the end, or \"all\".", valueName: "lines"))
    var tail = "all"
    @Argument(completion: .sandboxNames)
    var sandbox: String

    func lines() throws -> Int? {
        if tail == "all" { return nil }
        guard let count = Int(tail) else {
            throw CommandFailure("invalid value \"\(tail)\" for --tail: give a number or \"all\"")
        }
        return count < 0 ? nil : count
    }

    func run() async throws {
        let tail = try lines()
        let found = try await connection.connect().sandbox(sandbox)
        let directory = SandboxDirectory(path: found["Directory"].string ?? "")
        let (follow, timestamps) = (follow, timestamps)
        do {
            try await Session.blocking {
                try SandboxLog.print(directory: directory, follow: follow, tail: tail, timestamps: timestamps)
            }
        } catch let error as SandboxError {
            throw CommandFailure(error.description)
        }
    }
}

struct StopCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stop", abstract: "Ends sandboxes: SIGTERM, and SIGKILL after a while.",
        discussion: "  weft stop -t 2 a1 a2")

    @OptionGroup var connection: ConnectionOptions
    @Option(
        name: [.customShort("t", allowingJoined: true), .long],
        help: ArgumentHelp("How long to wait before SIGKILL.", valueName: "seconds"))
    var time: UInt32 = 10
    @Argument(help: ArgumentHelp("Names or ids.", valueName: "sandbox"), completion: .sandboxNames)
    var sandboxes: [String]

    func run() async throws {
        let connection = try connection.connect()
        try await forEach(sandboxes) {
            try await connection.post("weft", "v1", "sandboxes", $0, "stop", query: [("t", String(time))])
        }
    }
}

struct KillCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kill", abstract: "Sends sandboxes a signal.", discussion: "  weft kill -s HUP a1")

    @OptionGroup var connection: ConnectionOptions
    @Option(name: [.customShort("s", allowingJoined: true), .long], help: "The signal's name or number.")
    var signal = "KILL"
    @Argument(help: ArgumentHelp("Names or ids.", valueName: "sandbox"), completion: .sandboxNames)
    var sandboxes: [String]

    func run() async throws {
        let connection = try connection.connect()
        try await forEach(sandboxes) {
            try await connection.post("weft", "v1", "sandboxes", $0, "kill", query: [("signal", signal)])
        }
    }
}

struct RmCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Removes sandboxes.", discussion: "  weft rm -f a1 a2", aliases: ["remove"])

    @OptionGroup var connection: ConnectionOptions
    @Flag(name: .shortAndLong, help: "Also those that run.")
    var force = false
    @Argument(help: ArgumentHelp("Names or ids.", valueName: "sandbox"), completion: .sandboxNames)
    var sandboxes: [String]

    func run() async throws {
        let connection = try connection.connect()
        try await forEach(sandboxes) {
            try await connection.delete("weft", "v1", "sandboxes", $0, query: force ? [("force", "1")] : [])
        }
    }
}
