import Synchronization

/// The container engine of this host, as the API and the watcher share it.
package final class LocalEngine: Sendable {
    package let engine: Engine
    package let shadows: ShadowNetworks
    private let version = Mutex<String?>(nil)

    package init(socketPath: String) {
        engine = Engine(socketPath: socketPath)
        shadows = ShadowNetworks(engine: engine)
    }

    package var client: EngineClient { engine.client }

    /// The API version that the engine last said it speaks, `1.41`; nil before it said anything.
    package var apiVersion: String? {
        get { version.withLock { $0 } }
        set { version.withLock { $0 = newValue } }
    }
}
