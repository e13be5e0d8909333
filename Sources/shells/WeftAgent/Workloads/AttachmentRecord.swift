package import WeftModel
import WeftNode

/// One interface in a network namespace that someone else made, or that weftd made for an engine's container.
package struct AttachmentRecord: Hashable, Sendable {
    package let sandbox: SandboxID
    /// The interface's name inside, unique in its sandbox.
    package let interface: String
    package let network: NetworkID
    package let namespacePath: String
    /// Whose it is: the name of the runtime's network configuration.
    package let owner: String
    /// Nil once its network or its node's membership has ended.
    package let endpoint: Endpoint?

    /// Of a container of an engine.
    private static let engine = "engine"

    init(_ workload: Workload, _ interface: InterfaceSpec, namespacePath: String, endpoint: Endpoint?) {
        sandbox = workload.sandbox ?? SandboxID(workload.id.rawValue)
        self.interface = interface.interface
        network = interface.endpoint.network
        self.namespacePath = namespacePath
        owner = workload.kind == .foreign ? interface.owner : Self.engine
        self.endpoint = endpoint
    }
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
        case .otherNamespace(let sandbox):
            "container \(sandbox) is attached in another network namespace already"
        case .exists(let sandbox, let interface): "container \(sandbox) has an interface \(interface) already"
        case .notFound(let sandbox, let interface):
            "container \(sandbox) has no interface \(interface) of Weft's"
        }
    }
}
