package import WeftAgentCore
package import WeftModel
package import WeftNet
package import WeftNode

/// Queues a message to the manager, without waiting; false when the session is over.
package typealias SessionSender = @Sendable (NodeMessage) -> Bool

/// What reaches the agent's queue.
enum AgentEvent: Sendable {
    case sessionOpened(SessionSender)
    case sessionClosed
    case received(ManagerMessage)
    case place(SandboxID, namespacePath: String, interfaces: [NetworkID: Placements.ChosenInterface])
    case attach(AttachRequest, CheckedContinuation<Endpoint, any Error>)
    case detach(EndpointID, CheckedContinuation<Endpoint, any Error>)
    case reserve(SubnetID, IPAddress?, for: Comer, CheckedContinuation<IPAddress, any Error>)
    case release(NetworkID, IPAddress)
    case attachEngine(EngineAttachment, CheckedContinuation<Endpoint, any Error>)
    case rename(
        EndpointID, sandbox: SandboxID, name: String, aliases: [String], CheckedContinuation<Endpoint, any Error>)
    case engineEndpointsFound(Set<EndpointID>, asOf: Instant)
    case containerGone(SandboxID)
    case sandboxGone(SandboxID)
    case sandboxesFound([SandboxID: String])
    case interfacesFound([FoundEndpoint])
    case describe(NodeDescription)
    case reconciled(ReconcileOutcome)
    case leave
    case tick
    case read(@Sendable (NodeMachine) -> Void)
}

/// How a round of the reconciler went.
package struct ReconcileOutcome: Sendable {
    package var generation: Generation
    /// Endpoints that are not what they should be, each with a sentence.
    package var failures: [EndpointID: String] = [:]
    /// Nothing could be applied, and why.
    package var failure: String?
    /// Overlay addresses that interfaces of this host have now.
    package var addressesHeld: Set<IPAddress> = []

    package init(generation: Generation) { self.generation = generation }
}

/// What a round of the reconciler is to reach.
package struct ReconcileRequest: Sendable {
    /// Since the request before; the first one has everything.
    package let change: ViewChange
    package let generation: Generation
    /// Look at the kernel anew instead of trusting what was read and written before.
    package let observe: Bool
}

/// The kernel's side of the agent, used from one thread of its own. Blocks.
package protocol Reconciling: Sendable {
    func reconcile(_ request: ReconcileRequest) -> ReconcileOutcome
}

/// The agent's queue is full, or the agent has ended.
package struct AgentBusy: Error, CustomStringConvertible {
    package var description: String { "weftd is busy: more than \(Agent.queueLimit) changes wait; try again" }
}
