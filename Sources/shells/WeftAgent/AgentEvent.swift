package import WeftAgentCore
package import WeftModel
import WeftNet
import WeftNode

/// Queues a message to the manager, without waiting; false when the session is over.
package typealias SessionSender = @Sendable (NodeMessage) -> Bool

/// What reaches the agent's queue.
enum AgentEvent: Sendable {
    /// As it is.
    case input(AgentInput)
    case sessionOpened(SessionSender)
    case sessionClosed
    case attach(AttachRequest, CheckedContinuation<Endpoint, any Error>)
    case detach(EndpointID, CheckedContinuation<Endpoint, any Error>)
    case reserve(SubnetID, IPAddress?, for: Comer, CheckedContinuation<IPAddress, any Error>)
    case attachEngine(EngineAttachment, CheckedContinuation<Endpoint, any Error>)
    case rename(
        EndpointID, sandbox: SandboxID, name: String, aliases: [String], CheckedContinuation<Endpoint, any Error>)
    case awaitOthers(CheckedContinuation<Void, Never>)
    case read(@Sendable (NodeMachine) -> Void)
}

/// The kernel's side of the agent, used from one thread of its own. Blocks.
package protocol Reconciling: Sendable {
    func reconcile(_ request: ReconcileRequest) -> ReconcileOutcome
}

/// Why the agent takes nothing.
package enum AgentUnavailable: Error, Equatable, CustomStringConvertible {
    /// Its queue is full.
    case busy
    case ended

    package var description: String {
        switch self {
        case .busy: "weftd is busy: more than \(Agent.queueLimit) changes wait; try again"
        case .ended: "weftd is stopping, or the node's membership of the swarm ends; try again"
        }
    }

    init<Element>(_ result: AsyncStream<Element>.Continuation.YieldResult) {
        if case .terminated = result { self = .ended } else { self = .busy }
    }
}
