package import WeftModel

/// What a command came to.
package enum ControlReply: Hashable, Sendable {
    case network(Network)
    case node(Node)
    case cluster(Cluster)
}

/// Why a command was refused. `message` is a sentence for the user, Docker's words where clients compare them.
package struct ControlError: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Kind: Hashable, Sendable {
        case notFound, conflict, invalid, forbidden, unavailable, outOfSequence
        /// The object's state does not allow it now (gRPC's FailedPrecondition).
        case failedPrecondition
    }

    package let kind: Kind
    package let message: String

    package init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    package var description: String { message }

    static let outOfSequence = ControlError(.outOfSequence, "rpc error: code = Unknown desc = update out of sequence")
}

/// What the shell must do, in this order.
package enum ControlAction: Hashable, Sendable {
    /// At most one, and the first. Nothing of the rest may happen before it is durable.
    case commit(Transaction)
    case send(NodeID, SessionID, ManagerMessage)
    /// Ends the stream after what was sent before.
    case closeSession(NodeID, SessionID, reason: String)
    case reply(CommandID, Result<ControlReply, ControlError>)
    /// What those who watch the swarm are told.
    case announce([ClusterEvent])
    /// A sentence for the log: something an operator may want to know.
    case note(String)
}
