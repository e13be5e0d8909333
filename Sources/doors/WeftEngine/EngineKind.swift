import FoundationEssentials
import NIOHTTP1
import WeftJSON

/// The engines that differ in how their containers come onto the swarm's networks.
package enum EngineKind: String, Sendable {
    case docker
    case podman

    package enum Joining: Sendable {
        /// It takes Weft's network driver.
        case byDriver
        /// It takes none: weftd prepares a network namespace for each container.
        case byNamespace
    }

    /// All that differs: whoever does one thing for one engine and another for the next asks this.
    package var joining: Joining {
        switch self {
        case .docker: .byDriver
        case .podman: .byNamespace
        }
    }
}

extension Engine {
    /// Which engine it is, by its own word.
    package func kind() async throws -> EngineKind {
        struct Version: Decodable {
            struct Component: Decodable { let Name: String }
            let Components: [Component]?
        }
        let answer = try await client.request(.GET, "/version", within: limit)
        if answer.headers.first(name: "Server")?.hasPrefix("Libpod/") == true { return .podman }
        let version = try? JSONText.decode(Version.self, from: answer.body)
        return version?.Components?.contains { $0.Name == "Podman Engine" } == true ? .podman : .docker
    }
}
