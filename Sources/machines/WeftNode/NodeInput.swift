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
    package var sandbox: SandboxID
    package var endpoint: EndpointSpec
    /// Asked for by a person rather than by a service's task: only attachable networks take it.
    package var manual: Bool

    package init(_ endpoint: EndpointSpec, sandbox: SandboxID, manual: Bool = true) {
        self.sandbox = sandbox
        self.endpoint = endpoint
        self.manual = manual
    }
}

/// An endpoint of a container engine: the engine chose its id, and asked for its address before.
package struct EngineAttachment: Hashable, Sendable {
    package var id: EndpointID
    /// With an IPv4 address; names come later, from the engine's events.
    package var endpoint: EndpointSpec
    /// What groups a container's endpoints until the engine tells which container it is.
    package var sandbox: SandboxID

    package init(id: EndpointID, _ endpoint: EndpointSpec, sandbox: SandboxID) {
        self.id = id
        self.endpoint = endpoint
        self.sandbox = sandbox
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
    /// Takes an address of a subnet for an endpoint that is to follow; nil for any, the comer's last one if it is known and
    /// free. Gets exactly one `reserved`.
    case reserve(RequestID, SubnetID, IPAddress?, for: Comer = .unknown)
    /// The engine is done with an address. One that an endpoint still has is kept.
    case release(NetworkID, IPAddress)
    /// Gets exactly one reply, as `attach`. A second one with the same id and address finds what the first one made.
    case attachEngine(RequestID, EngineAttachment)
    /// What the engine calls an endpoint; it is in no name before. Gets exactly one reply.
    case rename(RequestID, EndpointID, sandbox: SandboxID, name: String, aliases: [String])
    /// The engine's own endpoints, all of them at a time: others of its go, but for those attached after it.
    case engineEndpointsFound(Set<EndpointID>, asOf: Instant)
    /// What the node's tasks are to be in: their endpoints change, which everybody is told.
    case rotate([TaskID: ServingTask.Rotation])
    /// Gets exactly one `followed`: once all nodes have in force what was told before, or cannot be waited for any longer.
    case awaitOthers(RequestID)
    /// What became of tasks of this node, and those that are none of its any more.
    case tasksObserved([TaskReport], gone: [TaskID] = [])
    /// This node has new keys. It is said in every session until the manager has it, as is what follows.
    case keysStated(SignedStatement)
    /// How far this node has come with everybody's keys.
    case keysReady(Readiness)
    /// A container that will not come back.
    case containerGone(SandboxID)
    /// Its endpoints go, without a reply.
    case sandboxGone(SandboxID)
    /// After a restart: endpoints of all other sandboxes go, but for an engine's.
    case sandboxesFound(Set<SandboxID>)
    /// Right after a start: what the kernel has. It counts only if nothing is known of this node's endpoints any more.
    case endpointsFound([FoundEndpoint])
    /// What the last input wanted saved could not be, and why. What must be durable before it counts is taken back.
    case notSaved(String)
    /// Every overlay address that an interface of this host has; replaces what was said before.
    case addressesHeld(Set<IPAddress>)
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
