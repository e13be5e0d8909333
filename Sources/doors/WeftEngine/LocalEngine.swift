import Synchronization

/// The container engine of this host, as the API and the watcher share it.
package final class LocalEngine: Sendable {
    package let engine: Engine
    package let shadows: ShadowNetworks
    private let longestPatience: Duration
    private let version = Mutex<String?>(nil)
    private let found = Mutex<EngineKind?>(nil)

    package init(socketPath: String, patience: Duration = .milliseconds(1200)) {
        longestPatience = patience
        engine = Engine(socketPath: socketPath)
        shadows = ShadowNetworks(engine: engine)
    }

    package var client: EngineClient { engine.client }

    /// How long an answer of the swarm's own waits for what this engine has to add. Less where it just did not answer: a command of
    /// the user's is several requests.
    package var patience: Duration { client.wasSilent ? min(longestPatience, .milliseconds(400)) : longestPatience }

    /// The API version that the engine last said it speaks, `1.41`; nil before it said anything.
    package var apiVersion: String? {
        get { version.withLock { $0 } }
        set { version.withLock { $0 = newValue } }
    }

    /// Which engine it is, nil before it answered.
    package var knownKind: EngineKind? { found.withLock { $0 } }

    /// Which engine it is; asked once.
    package func kind() async throws -> EngineKind {
        if let known = knownKind { return known }
        return try await askKind()
    }

    /// Asks anew: another engine may have come to the socket.
    @discardableResult
    package func askKind() async throws -> EngineKind {
        let kind = try await engine.kind()
        found.withLock { $0 = kind }
        return kind
    }
}
