public import ArgumentParser
import Glibc
public import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import UnixSignals
import WeftAPI
import WeftAgent
import WeftLinux

@main
struct Weftd: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weftd",
        abstract: "Weft's daemon: one per host.",
        discussion: """
            Serves the Docker Engine API's swarm, node and network verbs, and Weft's own, on a unix socket. Starts as a member of
            the swarm it belonged to when it ended. Sandboxes and their traffic go on while it is stopped.

            EXAMPLE
              weftd
              weftd --run-dir /run/weft2 --state-dir /var/lib/weft2 --bpf-dir /sys/fs/bpf/weft2
            """,
        version: weftVersion)

    @Option(help: "Directory for the socket and the sandboxes; empty after a boot.")
    var runDir = "/run/weft"

    @Option(help: "Directory for identity, store and assignments.")
    var stateDir = "/var/lib/weft"

    @Option(help: "Directory on a BPF file system for pinned maps and programs.")
    var bpfDir = "/sys/fs/bpf/weft"

    @Option(help: ArgumentHelp("The API's unix socket (default: <run-dir>/docker.sock).", valueName: "path"))
    var socket: String?

    @Option(help: ArgumentHelp("The sandboxes' supervisor (default: weft-shim beside this executable).", valueName: "path"))
    var shim: String?

    @Option(help: "trace, debug, info, notice, warning, error or critical.")
    var logLevel = Logger.Level.info

    func validate() throws {
        for (option, path) in [("--run-dir", runDir), ("--state-dir", stateDir), ("--bpf-dir", bpfDir)]
        where !path.hasPrefix("/") {
            throw ValidationError("\(option) must be an absolute path, not \(path)")
        }
    }

    func run() async throws {
        guard getuid() == 0 else {
            throw ValidationError("weftd makes network interfaces and loads eBPF programs: start it as root")
        }
        // Control traffic is a trickle; every further loop costs memory on every host.
        NIOSingletons.groupLoopCountSuggestion = 1
        NIOSingletons.blockingPoolThreadCountSuggestion = 1
        LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
        var logger = Logger(label: "weftd")
        logger.logLevel = logLevel
        let settings = Settings(
            runDirectory: runDir, stateDirectory: stateDir, bpfDirectory: bpfDir,
            socketPath: socket ?? "\(runDir)/docker.sock", shimExecutable: try shim ?? Self.besideThisExecutable("weft-shim"))
        do {
            try FileSystem.makeDirectory(settings.runDirectory, mode: 0o755)
            try FileSystem.makeDirectory(settings.stateDirectory, mode: 0o700)
            let threads = NIOThreadPool(numberOfThreads: 8)
            threads.start()
            let sandboxes = try SandboxKeeper(
                runDirectory: settings.runDirectory, shimExecutable: settings.shimExecutable, threads: threads, logger: logger)
            let daemon = Daemon(settings: settings, keeper: sandboxes, threads: threads, logger: logger)
            let group = ServiceGroup(
                configuration: .init(
                    services: [.init(service: DaemonService(daemon: daemon, settings: settings, logger: logger))],
                    gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
            logger.info("weftd starts", metadata: ["version": "\(weftVersion)"])
            try await group.run()
        } catch {
            logger.critical("weftd ends", metadata: ["error": "\(error)"])
            throw ExitCode.failure
        }
    }

    private static func besideThisExecutable(_ name: String) throws -> String {
        let own = try FileSystem.readLink("/proc/self/exe")
        return own.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } + "/\(name)"
    }
}

extension Logger.Level: @retroactive ExpressibleByArgument {}

/// Membership and API, from start to the signal that ends them.
private struct DaemonService: Service {
    let daemon: Daemon
    let settings: Settings
    let logger: Logger

    func run() async throws {
        try await daemon.start()
        try await cancelWhenGracefulShutdown {
            try await APIServer(backend: daemon, socketPath: settings.socketPath, logger: logger).run()
        }
        await daemon.stop()
    }
}
