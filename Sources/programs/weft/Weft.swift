// The command line: the docker command's words for swarms, nodes and networks, and sandboxes. Every command is a request or two and a
// text; an option that the docker command has means the same here or is refused.
import ArgumentParser
import WeftClient

/// The command line of Weft: what `docker` does for swarms and networks, and sandboxes that need no container engine.
///
/// Every command is a request or two to weftd and a text on standard output; nothing here decides anything.
struct Weft: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weft",
        abstract: "Joins containers and sandboxes on many hosts into one network.",
        discussion: """
            A swarm of two hosts, and two sandboxes that reach each other by name:

              host1$ weft swarm init --advertise-addr 172.30.0.1
              host2$ weft swarm join --token SWMTKN-1-… 172.30.0.1:2377
              host1$ weft network create -d overlay --attachable my_net
              host1$ weft run -d --name a1 --network my_net -- sleep infinity
              host2$ weft run -it --network my_net -- ping a1
            """,
        version: "Weft \(Version.text)",
        subcommands: [
            SwarmCommand.self, NodeCommand.self, NetworkCommand.self, ServiceCommand.self, SecretCommand.self, ConfigCommand.self,
            RunCommand.self, PsCommand.self, ExecCommand.self, AttachCommand.self, LogsCommand.self, StopCommand.self,
            KillCommand.self, RmCommand.self, InspectCommand.self,
            InfoCommand.self, StatusCommand.self, VersionCommand.self, LabCommand.self,
        ])

    @OptionGroup var connection: ConnectionOptions

    /// Parses, runs and reports; returns the exit code.
    static func execute(_ arguments: [String]) async -> Int32 {
        do {
            // Completions that ask weftd need the asynchronous parser.
            var command = try await asyncParseAsRoot(Passthrough.marked(arguments))
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            return 0
        } catch {
            return report(error, arguments, isRun: Passthrough.verb(arguments).map { arguments[$0] } == "run")
        }
    }

    /// Prints what went wrong, or the help that was asked for.
    private static func report(_ error: any Error, _ arguments: [String], isRun: Bool) -> Int32 {
        switch error {
        case let failure as CommandFailure:
            if !failure.message.isEmpty { Terminal.complain(failure.message) }
            return failure.exitCode
        case let code as ExitCode: return code.rawValue
        case let error as ClientError:
            Terminal.complain(error.description)
            return isRun ? 125 : 1
        default:
            let text = fullMessage(for: error)
            if exitCode(for: error) == .success {
                Terminal.print(text.hasSuffix("\n") || text.isEmpty ? text : text + "\n")
                return 0
            }
            Terminal.complain(Suggestion.refusal(for: arguments) ?? message(for: error))
            if let suggestion = Suggestion.text(for: arguments) { Terminal.complain(suggestion) }
            // The parser's own text ends in a usage line and where to find help.
            let hint = text.split(separator: "\n").last { $0.contains("--help") }
            if let hint { Terminal.print(hint + "\n", to: .error) }
            return isRun ? 125 : 1
        }
    }
}

@main
enum Entry {
    static func main() async {
        let code = await Weft.execute(Array(CommandLine.arguments.dropFirst()))
        Terminal.exit(code)
    }
}
