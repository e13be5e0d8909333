import NIOHTTP1
import WeftJSON

/// What an engine says of itself, for who places containers.
package struct EngineWords: Hashable, Sendable {
    package let version: String
    package let labels: [String: String]
}

extension Engine {
    /// Gives the engine up after `limit` with `EngineError.silent`.
    package func words(within limit: Duration) async throws -> EngineWords {
        struct Info: Decodable {
            let ServerVersion: String?
            let Labels: [String]?
        }
        let answer = try await client.request(.GET, "/info", within: limit)
        guard answer.status < 400, let info = try? JSONText.decode(Info.self, from: answer.body), let version = info.ServerVersion else {
            throw EngineError.broken(reason: "it does not say what it is")
        }
        let labels = (info.Labels ?? []).map { label in
            let parts = label.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            return (parts[0], parts.count > 1 ? parts[1] : "")
        }
        return EngineWords(version: version, labels: Dictionary(labels) { $1 })
    }
}
