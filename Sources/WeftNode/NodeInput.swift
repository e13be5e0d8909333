package import WeftModel
package import WeftNet

/// Ties a request to its reply; the shell draws it.
package struct RequestID: Hashable, Sendable, Comparable {
    package let rawValue: UInt64
    package init(_ rawValue: UInt64) { self.rawValue = rawValue }
    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// A sandbox's wish to be on a network.
package struct AttachRequest: Hashable, Sendable {
    /// Id, name, or unique beginning of an id.
    package var network: String
    package var sandbox: SandboxID
    /// The container's or sandbox's name.
    package var name: String
    package var aliases: [String]
    /// One particular address, nil for any.
    package var ipv4: IPv4Address?
    /// Nil: derived from the address.
    package var mac: MACAddress?
    /// Asked for by a person rather than by a service's task: only attachable networks take it.
    package var manual: Bool

    package init(
        network: String, sandbox: SandboxID, name: String, aliases: [String] = [], ipv4: IPv4Address? = nil,
        mac: MACAddress? = nil, manual: Bool = true
    ) {
        self.network = network
        self.sandbox = sandbox
        self.name = name
        self.aliases = aliases
        self.ipv4 = ipv4
        self.mac = mac
        self.manual = manual
    }
}

/// Counts the desired states of the data path.
package typealias Generation = UInt64

/// What happened on or to this host.
package enum NodeInput: Hashable, Sendable {
    /// A manager's stream is open. Messages of an earlier one must not come after this.
    case sessionOpened
    case sessionClosed
    case received(ManagerMessage)
    /// Gets exactly one reply: the endpoint once it is in the data path, or why not.
    case attach(RequestID, AttachRequest)
    /// Gets exactly one reply: the endpoint once it is out of the data path.
    case detach(RequestID, EndpointID)
    /// Its endpoints go, without a reply.
    case sandboxGone(SandboxID)
    /// After a restart: endpoints of all other sandboxes go.
    case sandboxesFound(Set<SandboxID>)
    /// Every overlay address that an interface of this host has; replaces what was said before.
    case addressesHeld(Set<IPv4Address>)
    /// The data path is what `generation` asked for, but for the endpoints named, each with a sentence.
    /// `failure`: nothing could be applied.
    case datapathApplied(Generation, failures: [EndpointID: String] = [:], failure: String? = nil)
    /// The host's routes or engine changed.
    case descriptionChanged(NodeDescription)
    /// The operator makes this node leave: its endpoints go, and it is said in every session until the manager answers
    /// with goodbye.
    case leave
    /// Time passed. At least once a second keeps timeouts exact to the second.
    case tick
}
