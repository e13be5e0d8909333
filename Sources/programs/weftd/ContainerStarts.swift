import Synchronization

/// Containers of the engine's that clients of weftd's socket are having started, as they call them.
final class ContainerStarts: Sendable {
    private let names = Mutex<[String]>([])

    var underWay: [String] { names.withLock { $0 } }

    /// Runs what has one started.
    func during<Answer: Sendable>(
        _ container: String, _ body: @Sendable () async throws -> Answer
    ) async throws -> Answer {
        names.withLock { $0.append(container) }
        defer {
            names.withLock { names in
                if let index = names.firstIndex(of: container) { names.remove(at: index) }
            }
        }
        return try await body()
    }
}
