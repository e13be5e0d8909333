import Logging
import WeftAPI
import WeftEngine

/// Runs a server until `body` is through.
func serve(
    _ backend: MemoryBackend, _ path: String, extra: [Route] = [], engine: LocalEngine? = nil,
    containers: (any ContainerNetworking)? = nil, _ body: @escaping @Sendable () async throws -> Void
) async throws {
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let server = APIServer(
        router: Router(
            backend: backend, sandboxes: backend, namespaces: backend, engine: engine, containers: containers,
            logger: logger, extra: extra),
        socketPath: path, logger: logger)
    let (started, signal) = AsyncStream<Void>.makeStream()
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await server.run { signal.finish() } }
        group.addTask {
            for await _ in started {}
            try await body()
        }
        try await group.next()
        group.cancelAll()
        try await group.waitForAll()
    }
}
