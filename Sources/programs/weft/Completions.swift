import ArgumentParser
import WeftTemplate

extension CompletionKind {
    static var networkNames: CompletionKind {
        dynamic { try await $0.get("networks").array.compactMap { $0["Name"].string } }
    }
    static var nodeNames: CompletionKind {
        dynamic { try await $0.get("nodes").array.compactMap { $0["Description"]["Hostname"].string } }
    }
    static var sandboxNames: CompletionKind {
        dynamic {
            try await $0.get("weft", "v1", "sandboxes", query: [("all", "1")]).array.compactMap { $0["Name"].string }
        }
    }

    static var serviceNames: CompletionKind { names(of: "services") }
    static var secretNames: CompletionKind { names(of: "secrets") }
    static var configNames: CompletionKind { names(of: "configs") }

    private static func names(of kind: String) -> CompletionKind {
        dynamic { try await $0.get(kind).array.compactMap { $0["Spec"]["Name"].string } }
    }

    /// Asks weftd; a shell that completes gets no error texts.
    private static func dynamic(_ names: @escaping @Sendable (Connection) async throws -> [String]) -> CompletionKind {
        .custom { _, _, prefix in
            guard let connection = try? ConnectionOptions.parse([]).connect(),
                let names = try? await names(connection)
            else {
                return []
            }
            return names.filter { $0.hasPrefix(prefix) }.sorted()
        }
    }
}
