package import WeftModel

/// One interface in a network namespace that someone else made, as a CNI runtime does.
package struct AttachmentRecord: Hashable, Sendable, Codable {
    /// The runtime's id of the container.
    package let sandbox: SandboxID
    /// The interface's name inside, unique in its sandbox.
    package let interface: String
    package let network: NetworkID
    package let namespacePath: String
    /// The namespace's cookie: paths are used again, cookies are not before the next boot.
    package let namespace: UInt64
    package let takesDefaultRoute: Bool
    /// Whose it is: the name of the runtime's network configuration.
    package let owner: String

    package init(
        sandbox: SandboxID, interface: String, network: NetworkID, namespacePath: String, namespace: UInt64,
        takesDefaultRoute: Bool, owner: String
    ) {
        self.sandbox = sandbox
        self.interface = interface
        self.network = network
        self.namespacePath = namespacePath
        self.namespace = namespace
        self.takesDefaultRoute = takesDefaultRoute
        self.owner = owner
    }
}

/// Remembers attachments over restarts of weftd, not over boots: namespaces do not survive those. Blocks.
package protocol AttachmentStore: Sendable {
    /// Everything saved. What cannot be read any more is left out.
    func load() throws -> [AttachmentRecord]
    func save(_ record: AttachmentRecord) throws
    /// Nothing there is fine.
    func remove(_ record: AttachmentRecord) throws
    /// The cookie of the namespace at a path, nil if none is there; throws when that cannot be told.
    func namespace(at path: String) throws -> UInt64?
}

/// Why an attachment was refused.
package enum AttachmentError: Error, Hashable, Sendable, CustomStringConvertible {
    case noNamespace(String)
    case otherNamespace(SandboxID)
    case exists(SandboxID, interface: String)
    case notFound(SandboxID, interface: String)

    package var description: String {
        switch self {
        case .noNamespace(let path):
            "\(path) is no network namespace that weftd can open; it must be visible in weftd's mount namespace"
        case .otherNamespace(let sandbox): "container \(sandbox) is attached in another network namespace already"
        case .exists(let sandbox, let interface): "container \(sandbox) has an interface \(interface) already"
        case .notFound(let sandbox, let interface): "container \(sandbox) has no interface \(interface) of Weft's"
        }
    }
}
