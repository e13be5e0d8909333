import Glibc
package import Logging
package import NIOCore
import NIOHTTP1
import NIOPosix

/// The plugin's unix socket: the engine finds it by its name in /run/docker/plugins, on first use.
package struct PluginServer: Sendable {
    /// How long calls that came before the end may take after it.
    private static let settlingTime: Duration = .seconds(3)

    private let service: PluginService
    private let socketPath: String
    private let inherited: CInt?
    private let logger: Logger

    /// - Parameter inherited: a listening socket that somebody else keeps open while this process is away; its file is
    ///   left alone. Nil: a socket is made at `socketPath`, whose directory exists, and removed at the end.
    package init(service: PluginService, socketPath: String, inherited: CInt?, logger: Logger) {
        self.service = service
        self.socketPath = socketPath
        self.inherited = inherited
        self.logger = logger
    }

    /// Serves until the task is cancelled. Calls `started` once the engine can connect.
    package func run(
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton, started: @Sendable () async -> Void = {}
    ) async throws {
        let service = service
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 256)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(PluginConnection(service: service))
                }
            }
        let channel: any Channel
        if let inherited {
            channel = try await bootstrap.withBoundSocket(inherited).get()
        } else {
            if let other = try? await ClientBootstrap(group: group).connect(unixDomainSocketPath: socketPath).get() {
                try? await other.close()
                throw PluginError(
                    "another daemon serves \(socketPath); stop it first, or give this one another --plugin-socket")
            }
            channel = try await bootstrap.bind(unixDomainSocketPath: socketPath, cleanupExistingSocketFile: true).get()
            chmod(socketPath, 0o600)
        }
        logger.info("serving the engine's plugin calls", metadata: ["socket": "\(socketPath)"])
        await started()
        await withTaskCancellationHandler {
            try? await channel.closeFuture.get()
        } onCancel: {
            channel.close(promise: nil)
        }
        if inherited == nil { unlink(socketPath) }
        // In a task of its own: this one is cancelled, and would not wait.
        await Task { await service.settle(limit: Self.settlingTime) }.value
        // What was answered last is written.
        await Task { try? await Task.sleep(for: .milliseconds(20)) }.value
    }
}
