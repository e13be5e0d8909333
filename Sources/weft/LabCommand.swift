import ArgumentParser
import Glibc
import WeftLab

/// `weft lab`: a swarm of hosts that are namespaces on this machine.
struct LabCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lab", abstract: "Tries Weft out: a swarm of hosts that are namespaces on this machine.",
        discussion: """
            The hosts are real to Weft: each has a network of its own and runs a weftd of its own. This machine's
            network is left alone.

              weft lab up --nodes 3
              weft lab exec 1 -- weft network create -d overlay --attachable my_net
              weft lab exec 2 -- weft run -d --name a1 --network my_net -- sleep infinity
              weft lab exec 3 -- weft run -it --network my_net -- ping a1
              weft lab down
            """,
        subcommands: [LabUp.self, LabList.self, LabExec.self, LabStop.self, LabStart.self, LabKill.self, LabDown.self])

    static var lab: Lab {
        get throws {
            var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
            let count = readlink("/proc/self/exe", &buffer, buffer.count)
            let path = String(decoding: buffer.prefix(max(count, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
            let end = path.lastIndex(of: "/") ?? path.startIndex
            return Lab(weftd: path[..<end] + "/weftd")
        }
    }

    /// Turns the lab's errors into sentences for the user.
    static func reporting<Result>(_ body: () async throws -> Result) async throws -> Result {
        do { return try await body() } catch let error as LabError {
            // As a shell has it, for `lab exec`.
            switch error {
            case .commandNotFound: throw CommandFailure(error.description, exitCode: 127)
            case .commandFailed: throw CommandFailure(error.description, exitCode: 126)
            default: throw CommandFailure(error.description)
            }
        }
    }

    /// The hosts as a table.
    static func table(_ hosts: [LabHost]) -> String {
        let rows = [["HOST", "ADDRESS", "WEFTD", "SANDBOXES", "SOCKET"]]
            + hosts.map { host in
                let weftd = host.pid.map { "running (pid \($0))" } ?? "stopped"
                return [host.name, host.address, weftd, String(host.sandboxCount), host.socket]
            }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let cells = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
            var line = cells.joined(separator: "   ")
            while line.hasSuffix(" ") { line.removeLast() }
            return line + "\n"
        }.joined()
    }
}

struct LabUp: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up", abstract: "Makes the hosts, starts weftd on each, and joins them into a swarm.",
        discussion: "  weft lab up --nodes 3")

    @Option(name: [.customShort("n"), .long], help: "How many hosts, 1 to \(Lab.hostsMax).")
    var nodes = 3

    func run() async throws {
        try await LabCommand.reporting {
            let lab = try LabCommand.lab
            let start = ContinuousClock.now
            do {
                try await lab.up(hosts: nodes)
            } catch LabError.alreadyUp(let hosts) {
                throw LabError.alreadyUp(hosts: hosts)
            } catch {
                Terminal.complain("the lab is left as it is, to look into; `weft lab down` removes it")
                throw error
            }
            let took = (ContinuousClock.now - start) / .milliseconds(1)
            Terminal.print(LabCommand.table(lab.hosts()))
            Terminal.print(
                """

                \(nodes == 1 ? "1 host" : "\(nodes) hosts") up in \(Int(took)) ms, host1 is the manager. What to try next:

                  weft lab exec 1 -- weft node ls
                  weft lab exec 1 -- weft network create -d overlay --attachable my_net
                  weft lab exec 1 -- weft run -d --name a1 --network my_net -- sleep infinity
                  weft lab exec \(min(nodes, 2)) -- weft run -it --network my_net -- ping a1
                  weft lab down

                """)
        }
    }
}

struct LabList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "Lists the hosts.", discussion: "  weft lab ls", aliases: ["list"])

    func run() async throws { Terminal.print(LabCommand.table(try LabCommand.lab.hosts())) }
}

struct LabExec: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exec", abstract: "Runs a command on a host.",
        discussion: """
            The command has the host's network, name, /run/weft and /var/lib/weft; otherwise it sees this machine. Its exit
            code is the command's.

              weft lab exec 2 -- weft ps
              weft lab exec 1 -- bash
            """)

    @Argument(help: "The host's number.")
    var number: Int
    @Argument(parsing: .captureForPassthrough, help: "The command and its arguments.")
    var command: [String]

    func run() async throws {
        try await LabCommand.reporting {
            let words = command.first == "--" ? Array(command.dropFirst()) : command
            try LabCommand.lab.existing(number).execute(words)
        }
    }
}

struct LabStop: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stop", abstract: "Stops a host's weftd; its sandboxes and their traffic go on.",
        discussion: "  weft lab stop 2")

    @Argument(help: "The host's number.")
    var number: Int

    func run() async throws {
        try await LabCommand.reporting { try LabCommand.lab.existing(number).endDaemon(signal: SIGTERM) }
    }
}

struct LabStart: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "start", abstract: "Starts a host's weftd again.", discussion: "  weft lab start 2")

    @Argument(help: "The host's number.")
    var number: Int

    func run() async throws {
        try await LabCommand.reporting {
            let host = try LabCommand.lab.existing(number)
            try host.startDaemon()
            try host.waitForDaemon()
        }
    }
}

struct LabKill: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kill", abstract: "Kills a host's weftd, as a crash would (SIGKILL).",
        discussion: "  weft lab kill 2")

    @Argument(help: "The host's number.")
    var number: Int

    func run() async throws {
        try await LabCommand.reporting { try LabCommand.lab.existing(number).endDaemon(signal: SIGKILL) }
    }
}

struct LabDown: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "down", abstract: "Ends everything on the hosts and removes them.",
        discussion: "  weft lab down")

    func run() async throws {
        try await LabCommand.reporting {
            let problems = try LabCommand.lab.down()
            if !problems.isEmpty { throw CommandFailure(problems.joined(separator: "\n")) }
        }
    }
}
