package import WeftModel
package import WeftNet

/// An interface in a network namespace that someone else made, as it is.
package struct NamespaceAttachment: Hashable, Sendable {
    package let sandbox: SandboxID
    package let interface: String
    package let namespacePath: String
    package let network: NetworkID
    package var owner: String
    /// Nil once its network or its node's membership has ended.
    package var endpoint: EndpointSummary?
    /// The other end, on the host.
    package var hostInterface = ""
    /// The sandbox reaches the outside by it.
    package var hasDefaultRoute = false
    /// What the sandbox shall ask for names: said by one of its attachments only, as a runtime that detaches another
    /// takes that one's server away.
    package var nameserver: IPv4Address?
    /// What is not as it should be, empty when all is well. Looked for only where one attachment is asked for.
    package var problem = ""

    package init(
        sandbox: SandboxID, interface: String, namespacePath: String, network: NetworkID, owner: String
    ) {
        self.sandbox = sandbox
        self.interface = interface
        self.namespacePath = namespacePath
        self.network = network
        self.owner = owner
    }
}
