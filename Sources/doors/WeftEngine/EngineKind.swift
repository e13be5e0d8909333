import FoundationEssentials
import NIOHTTP1
import WeftJSON

/// The engines that differ in how their containers come onto the swarm's networks.
package enum EngineKind: String, Sendable {
    /// Takes Weft's network driver.
    case docker
    /// Takes none: weftd prepares a network namespace for each container.
    case podman
}

extension Engine {
    /// Which engine it is, by its own word.
    package func kind() async throws -> EngineKind {
        struct Version: Decodable {
            struct Component: Decodable { let Name: String }
            let Components: [Component]?
        }
        let answer = try await client.request(.GET, "/version")
        if answer.headers.first(name: "Server")?.hasPrefix("Libpod/") == true { return .podman }
        let version = try? JSONText.decode(Version.self, from: answer.body)
        return version?.Components?.contains { $0.Name == "Podman Engine" } == true ? .podman : .docker
    }
}
