import ArgumentParser
import NIOHTTP1
import WeftClient
import WeftSandbox
import WeftTemplate

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Runs a command in a sandbox of its own, on the networks named.",
        usage: "weft run [OPTIONS] [--] [COMMAND] [ARG...]",
        discussion: """
            The sandbox has its own network, processes, mounts and host name; no container engine is needed. Without a \
            command it runs $SHELL. What follows the command belongs to it. Exit code: the command's, 127 when it was not \
            found, 126 when it cannot be executed, 125 when weft itself failed.

              weft run -it --rm --network my_net -- sh
              weft run -d --name db --network name=my_net,alias=sql,ip=10.9.0.50 --rootfs /srv/db postgres
            """,
        helpNames: .long)

    @OptionGroup var connection: ConnectionOptions
    @Flag(name: .shortAndLong, help: "Leave it in the background and print its id.")
    var detach = false
    @Flag(name: .shortAndLong, help: "Pass standard input on.")
    var interactive = false
    @Flag(name: .shortAndLong, help: "Give it a terminal.")
    var tty = false
    @Flag(help: "Remove it when it has exited.")
    var rm = false
    @Option(help: "Its name, also in DNS.")
    var name: String?
    @Option(name: [.customShort("h", allowingJoined: true), .long], help: "Its host name.")
    var hostname: String?
    @Option(help: ArgumentHelp("A network; may be repeated.", valueName: "network"), completion: .networkNames)
    var network: [String] = []
    @Option(help: ArgumentHelp("A further name on the first network.", valueName: "name"))
    var networkAlias: [String] = []
    @Option(help: ArgumentHelp("Its address on the first network.", valueName: "address"))
    var ip: String?
    @Option(help: ArgumentHelp("Its IPv6 address on the first network.", valueName: "address"))
    var ip6: String?
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
    @Option(help: ArgumentHelp("The directory to be its /.", valueName: "directory"), completion: .directory)
    var rootfs: String?
    @Option(help: ArgumentHelp("Where names outside the swarm are looked up.", valueName: "address"))
    var dns: [String] = []
    @Argument(help: ArgumentHelp("The command and its arguments.", valueName: "command"))
    var arguments: [String] = []

    /// The command; this user's shell when there is none and the sandbox has this host's files.
    var command: [String] {
        guard arguments.isEmpty else { return arguments }
        return [rootfs == nil ? Terminal.environment("SHELL").flatMap { $0.isEmpty ? nil : $0 } ?? "sh" : "sh"]
    }

    func networks() throws -> [NetworkAttachment] {
        var attachments = try network.map { try NetworkAttachment(argument: $0) }
        guard !networkAlias.isEmpty || ip != nil || ip6 != nil else { return attachments }
        guard var first = attachments.first else {
            throw CommandFailure("--ip, --ip6 and --network-alias need a --network", exitCode: 125)
        }
        guard ip == nil || first.ipv4 == nil, ip6 == nil || first.ipv6 == nil else {
            throw CommandFailure(
                "conflicting options: cannot specify both \(ip == nil ? "--ip6" : "--ip") and per-network IP address",
                exitCode: 125)
        }
        first.ipv4 = try ip.map { try NetworkAttachment.ipv4($0, option: "--ip") } ?? first.ipv4
        first.ipv6 = try ip6.map { try NetworkAttachment.ipv6($0, option: "--ip6") } ?? first.ipv6
        first.aliases += networkAlias
        attachments[0] = first
        return attachments
    }

    func body() throws -> TemplateValue {
        let environment = try Environment.entries(files: envFile, arguments: env)
        var body: TemplateValue = ["Command": .strings(command)]
        if let name { body["Name"] = .string(name) }
        if let hostname { body["Hostname"] = .string(hostname) }
        body["Env"] = .strings(environment)
        if let rootfs { body["RootFS"] = .string(Path.absolute(rootfs)) }
        if let workdir { body["WorkingDir"] = .string(workdir) }
        body["Tty"] = .bool(tty)
        body["OpenStdin"] = .bool(interactive)
        body["AutoRemove"] = .bool(rm)
        body["Dns"] = .strings(dns)
        body["Networks"] = .array(try networks().map(\.value))
        return body
    }

    func run() async throws {
        let body = try body()
        if tty, interactive, !detach, !Terminal.isTerminal(0) {
            throw CommandFailure("the input device is not a TTY", exitCode: 125)
        }
        let connection = try connection.connect()
        let created = try await connection.post("weft", "v1", "sandboxes", body: body)
        let id = created["Id"].string ?? ""
        created["Warnings"].array.compactMap(\.string).forEach { Terminal.complain("warning: \($0)") }

        let start: @Sendable () async throws -> Void = {
            do {
                try await connection.post("weft", "v1", "sandboxes", id, "start")
            } catch let error as ClientError {
                // It never ran: its name and address are free for the next try.
                try? await connection.delete("weft", "v1", "sandboxes", id, query: [("force", "1")])
                throw CommandFailure(error.description, exitCode: Self.exitCode(startFailure: error.description))
            }
        }
        if detach {
            try await start()
            Terminal.line(id)
            return
        }
        let code: Int32
        do {
            code = try await Session.attach(created, onAttached: start)
        } catch let error as SandboxError {
            throw CommandFailure(error.description, exitCode: 125)
        }
        if rm { await removed(id, connection) }
        if code != 0 { throw ExitCode(code) }
    }

    /// Waits until weftd has removed the sandbox, so that its name can be used again at once. A daemon that is away
    /// removes it when it is back, and the command's exit code counts all the same.
    private func removed(_ id: String, _ connection: Connection) async {
        for _ in 0..<250 {
            let response = try? await connection.client.request(.GET, "/weft/v1/sandboxes/\(id)")
            guard response?.status == 200 else { return }
            try? await Task.sleep(for: .milliseconds(20))
        }
    }

    /// As docker tells from the text why a command did not start.
    static func exitCode(startFailure text: String) -> Int32 {
        let text = text.lowercased()
        let refusals = ["cannot run", "cannot enter the working directory", "permission denied", "exec format error"]
        if refusals.contains(where: text.contains) { return 126 }
        if text.contains("command not found") || text.contains("no such file") { return 127 }
        return 125
    }
}

enum Path {
    /// weftd has another working directory.
    static func absolute(_ path: String) -> String {
        path.hasPrefix("/") ? path : (Terminal.workingDirectory ?? "") + "/" + path
    }
}
