package import WeftModel
package import WeftNet

/// `POST /weft/v1/attachments`: an interface in a network namespace that someone else made.
package struct NamespaceAttachmentRequest: Hashable, Sendable {
    /// The caller's id of the container.
    package let sandbox: SandboxID
    /// The interface's name inside.
    package let interface: String
    package let namespacePath: String
    package var name: String
    package let network: NetworkID
    package var aliases: [String] = []
    /// Nil: the next free one.
    package var ipv4: IPv4Address?
    package var ipv6: IPv6Address?
    /// Nil: derived from the address.
    package var mac: MACAddress?
    /// Whether the outside is reached by it.
    package var takesDefaultRoute = true
    /// Whatever the caller tells its attachments from others' by.
    package var owner = ""

    package init(sandbox: SandboxID, interface: String, namespacePath: String, name: String, network: NetworkID) {
        self.sandbox = sandbox
        self.interface = interface
        self.namespacePath = namespacePath
        self.name = name
        self.network = network
    }
}

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
