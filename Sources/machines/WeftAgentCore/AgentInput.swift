package import WeftModel
package import WeftNode

/// What reaches the agent.
package enum AgentInput: Sendable {
    /// For the machine, as it is.
    case node(NodeInput)
    /// A sandbox's namespace exists; it comes before the sandbox's first attach.
    case place(SandboxID, namespacePath: String, interfaces: [NetworkID: Placements.ChosenInterface] = [:])
    case sandboxGone(SandboxID)
    /// After a start: the sandboxes that live, with the paths of their network namespaces.
    case sandboxesFound([SandboxID: String])
    /// Before that: the finished interfaces in the kernel.
    case interfacesFound([FoundEndpoint])
    /// All endpoints that the engine has; what was attached after the instant stays.
    case engineEndpointsFound(Set<EndpointID>, asOf: Instant)
    /// A round of the data path is over.
    case reconciled(ReconcileOutcome)
    /// A second passed.
    case tick
}
