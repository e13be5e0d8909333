/// What tasks get as files: secrets, which are nobody else's to read, and configs.
package protocol SharedFile: StoredValue, AssignedValue where ID == String {
    var createdAt: Instant { get }
    var updatedAt: Instant { get set }
    var spec: SharedFileSpec { get set }
    /// Nodes with a task that refers to it.
    var neededBy: Set<NodeID> { get set }
    init(id: String, createdAt: Instant, spec: SharedFileSpec)
}

extension SharedFile {
    package var audience: Audience { .nodes(neededBy) }
    /// Fewer bytes than this may be in one: as Docker has it, less for secrets.
    package static var maxBytes: Int { kind == StoredSecret.kind ? 500 << 10 : 1000 << 10 }
}

package struct SharedFileSpec: Hashable, Sendable, Codable {
    package var name: String
    package var labels: [String: String] = [:]
    /// Base 64.
    package var data: Secret
    /// `golang` where the content is a template; nil: it is taken as it is.
    package var templating: LogDriver?

    package init(name: String, data: Secret) {
        self.name = name
        self.data = data
    }
}

package struct StoredSecret: SharedFile {
    package static let kind = StoreKind("secret", rank: 55)
    package static let hasSecrets = true
    package let id: String
    package var version: Version = .none
    package let createdAt: Instant
    package var updatedAt: Instant
    package var spec: SharedFileSpec
    package var neededBy: Set<NodeID> = []
    /// A node asks for it again after a restart: nothing secret lies in its file.
    package static var rows: String? { nil }

    package init(id: String, createdAt: Instant, spec: SharedFileSpec) {
        self.id = id
        self.createdAt = createdAt
        self.updatedAt = createdAt
        self.spec = spec
    }
}

package struct StoredConfig: SharedFile {
    package static let kind = StoreKind("config", rank: 56)
    package static let hasSecrets = true
    package let id: String
    package var version: Version = .none
    package let createdAt: Instant
    package var updatedAt: Instant
    package var spec: SharedFileSpec
    package var neededBy: Set<NodeID> = []

    package init(id: String, createdAt: Instant, spec: SharedFileSpec) {
        self.id = id
        self.createdAt = createdAt
        self.updatedAt = createdAt
        self.spec = spec
    }
}
