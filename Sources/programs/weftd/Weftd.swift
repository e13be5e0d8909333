// The daemon's program: reads the options, opens files and sockets, makes the shells and connects them. What can be tested without a
// process belongs to a target below.
public import ArgumentParser
import Glibc
public import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import UnixSignals
import WeftAPI
import WeftBPF
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

    @Option(help: "How eBPF programs are attached: auto, tcx (Linux 6.6) or tc.")
    var attach = AttachmentChoice.auto

    @Option(help: "Where TCP connections to services are given their task: socket (where they are made) or interface.")
    var translate = ServiceTranslation.socket

    @Option(help: ArgumentHelp("The API's unix socket (default: <run-dir>/docker.sock).", valueName: "path"))
    var socket: String?

    @Option(
        help: ArgumentHelp("The unix socket where dockerd finds the network driver \"weft\"; empty for none.", valueName: "path"))
    var pluginSocket = "/run/docker/plugins/weft.sock"

    @Flag(help: "Start weft-supervisor, which keeps the sockets open and starts weftd again whenever it ends.")
    var supervise = false

    @Option(help: ArgumentHelp("The sandboxes' supervisor (default: weft-shim beside this executable).", valueName: "path"))
    var shim: String?

    @Option(help: ArgumentHelp("What encrypts (default: weft-tunnel beside this executable).", valueName: "path"))
    var tunnel: String?

    @Flag(help: "Remove what Weft made on this host, sandboxes too, but for the state directory; weftd must be stopped.")
    var cleanup = false

    @Option(help: ArgumentHelp("The container engine's socket; it may come and go.", valueName: "path"))
    var engineSocket = "/var/run/docker.sock"

    @Option(help: ArgumentHelp("Serve the API on this TCP address as well, to clients with a certificate.", valueName: "host:port"))
    var tcp: String?

    @Option(help: ArgumentHelp("PEM file of the authorities whose clients --tcp lets in.", valueName: "path"))
    var tlsCa: String?

    @Option(help: ArgumentHelp("PEM file of the server's certificate for --tcp.", valueName: "path"))
    var tlsCert: String?

    @Option(help: ArgumentHelp("PEM file of the server's private key for --tcp.", valueName: "path"))
    var tlsKey: String?

    @Option(help: "trace, debug, info, notice, warning, error or critical.")
    var logLevel = Logger.Level.info

    func validate() throws {
        for (option, path) in [("--run-dir", runDir), ("--state-dir", stateDir), ("--bpf-dir", bpfDir), ("--engine-socket", engineSocket)]
        where !path.hasPrefix("/") {
            throw ValidationError("\(option) must be an absolute path, not \(path)")
        }
        guard (tcp == nil) == (tlsCa == nil), (tcp == nil) == (tlsCert == nil), (tcp == nil) == (tlsKey == nil) else {
            throw ValidationError("--tcp, --tls-ca, --tls-cert and --tls-key go together: who can connect rules this host")
        }
        guard pluginSocket.isEmpty || pluginSocket.hasPrefix("/") else {
            throw ValidationError("--plugin-socket must be an absolute path, not \(pluginSocket)")
        }
    }

    func run() async throws {
        guard getuid() == 0 else {
            throw ValidationError("weftd makes network interfaces and loads eBPF programs: start it as root")
        }
        if cleanup {
            let sockets = [socket ?? "\(runDir)/docker.sock"] + (pluginSocket.isEmpty ? [] : [pluginSocket])
            return try Cleanup(runDirectory: runDir, bpfDirectory: bpfDir, sockets: sockets).run()
        }
        if supervise { return try becomeSupervisor() }
        let inherited = ListeningSockets.inherited()
        // Control traffic is a trickle; every further loop costs memory on every host.
        NIOSingletons.groupLoopCountSuggestion = 1
        NIOSingletons.blockingPoolThreadCountSuggestion = 1
        LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
        var logger = Logger(label: "weftd")
        logger.logLevel = logLevel
        let descriptors: DescriptorLimit.Raised
        do { descriptors = try DescriptorLimit.raise() } catch {
            logger.critical("weftd ends", metadata: ["error": "\(error)"])
            throw ExitCode.failure
        }
        let settings = Settings(
            runDirectory: runDir, stateDirectory: stateDir, bpfDirectory: bpfDir, attachment: attach.kind, translation: translate,
            socketPath: socket ?? "\(runDir)/docker.sock", shimExecutable: try shim ?? Self.besideThisExecutable("weft-shim"),
            tunnelExecutable: try tunnel ?? Self.besideThisExecutable("weft-tunnel"),
            pluginSocketPath: pluginSocket.isEmpty ? nil : pluginSocket, inheritedSockets: inherited,
            engineSocketPath: engineSocket, descriptors: descriptors.current)
        do {
            try FileSystem.makeDirectory(settings.runDirectory, mode: 0o755)
            try FileSystem.makeDirectory(settings.stateDirectory, mode: 0o700)
            // Two daemons would undo each other's work. The pin directory is locked by the member: it comes and goes with a swarm.
            let locks = try [settings.runDirectory, settings.stateDirectory].map { try DirectoryLock($0) }
            let secure: SecureListener? =
                if let tcp, let tlsCa, let tlsCert, let tlsKey {
                    try SecureListener(address: tcp, authority: tlsCa, certificate: tlsCert, key: tlsKey)
                } else { nil }
            let daemon = try Daemon(
                settings: settings, sandboxDescriptors: descriptors.former, secure: secure, locks: locks, logger: logger)
            let group = ServiceGroup(
                configuration: .init(
                    services: [.init(service: daemon)], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
            logger.info("weftd starts", metadata: ["version": "\(weftVersion)"])
            try await group.run()
        } catch {
            logger.critical("weftd ends", metadata: ["error": "\(error)"])
            throw ExitCode.failure
        }
    }

    /// The supervisor, which starts this program without `--supervise`.
    private func becomeSupervisor() throws {
        var sockets = [socket ?? "\(runDir)/docker.sock"]
        if !pluginSocket.isEmpty { sockets.append(pluginSocket) }
        let own = try FileSystem.readLink("/proc/self/exe")
        let arguments = CommandLine.arguments.dropFirst().filter { $0 != "--supervise" }
        try SupervisedProcess.become(
            [try Self.besideThisExecutable("weft-supervisor")] + sockets.flatMap { ["--listen", $0] } + ["--", own] + arguments)
    }

    private static func besideThisExecutable(_ name: String) throws -> String {
        let own = try FileSystem.readLink("/proc/self/exe")
        return own.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } + "/\(name)"
    }
}

extension AttachmentChoice: ExpressibleByArgument {}
extension ServiceTranslation: ExpressibleByArgument {}
extension Logger.Level: @retroactive ExpressibleByArgument {}
