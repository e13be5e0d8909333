package import WeftModel
package import WeftNet
package import WeftNode

/// Where what the agent decides goes to, in the order of the calls.
package protocol AgentOutlet {
    /// A message that does not go out is not lost: the hello of the next session says it all again.
    mutating func send(_ message: NodeMessage)
    mutating func reply(_ request: RequestID, _ result: Result<Endpoint, AttachError>)
    mutating func replyReservation(_ request: RequestID, _ result: Result<IPAddress, AttachError>)
    mutating func replyFollowed(_ request: RequestID)
    /// What this node is to run is different, at the start, and later.
    mutating func assigned(_ tasks: AssignedTasks)
    /// What there is to know of the data path's keys is different, at the start, and later.
    mutating func keysChanged(_ news: KeyNews)
    /// For names and data path. `generation`: what the data path reaches with this change and those before; nil when only
    /// names matter for now. `observe`: the data path looks at the kernel anew.
    mutating func reconcile(_ change: ViewChange, generation: Generation?, observe: Bool)
    /// Endpoints of this node ended without its doing.
    mutating func lost(_ endpoints: [Endpoint], reason: String)
    /// The manager ended the session for good.
    mutating func dismissed(reason: String)
    /// Something that the operator should find in the log.
    mutating func note(_ note: AgentNote)
}

/// What the agent tells the operator.
package enum AgentNote: Hashable, Sendable {
    /// The interfaces found at the start have become this node's endpoints again.
    case adopted(endpoints: Int)
    /// The node's records are lost, and the kernel is left as it is until a manager has spoken.
    case recordsLost(interfaces: Int)
    /// Endpoints of sandboxes that ended while weftd was away are removed.
    case leftoversRemoved(Int, of: Int)
    /// Endpoints that the engine does not have any more are removed.
    case strangersRemoved(Int, of: Int)
    case datapathFailed(String)
    case endpointFailed(EndpointID, String)
    /// Nil: saving works again.
    case savingFailed(String?)
}
