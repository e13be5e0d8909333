package import WeftEngine
package import WeftModel

/// What weftd does for the containers of an engine that takes no network driver: their network namespaces, endpoints and
/// published ports. What cannot be done throws an `APIError`.
package protocol ContainerNetworking: Sendable {
    /// All containers that weftd prepared, in any order.
    func containers() async throws -> [ContainerStatus]
    /// Makes the namespace of a container to be, and returns its path.
    func prepare(_ container: PreparedContainer) async throws -> String
    /// The engine created the container.
    func created(token: String, container: SandboxID, name: String) async throws
    /// The engine did not create it.
    func discard(token: String) async
    /// Runs what makes the engine start a container, with its interfaces in place before.
    func starting(
        token: String, _ body: @Sendable @escaping () async throws -> EngineResponse
    ) async throws -> EngineResponse
    /// Takes up what the engine says of a container now. `isStop`: a client asked for its end.
    func settle(_ container: SandboxID, isStop: Bool) async
    func connect(
        token: String, _ attachment: InterfaceSpec, networkName: String, isRunning: Bool
    ) async throws
    func disconnect(token: String, network: NetworkID, networkName: String) async throws
}

/// A container that weftd prepared, and what it has now.
package struct ContainerStatus: Hashable, Sendable {
    package let container: PreparedContainer
    package let namespacePath: String
    /// By network; empty while it does not run.
    package let endpoints: [NetworkID: Endpoint]

    package init(container: PreparedContainer, namespacePath: String, endpoints: [NetworkID: Endpoint]) {
        self.container = container
        self.namespacePath = namespacePath
        self.endpoints = endpoints
    }
}
