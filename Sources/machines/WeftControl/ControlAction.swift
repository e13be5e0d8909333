package import WeftModel

/// What a command came to.
package enum ControlReply: Hashable, Sendable {
    case network(Network)
    case node(Node)
    case cluster(Cluster)
    case service(Service)
    case secret(StoredSecret)
    case config(StoredConfig)
}

/// Why a command was refused. `message` is a sentence for the user, Docker's words where clients compare them.
package struct ControlError: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Kind: Hashable, Sendable {
        case notFound, conflict, invalid, forbidden, unavailable, outOfSequence
        /// The object's state does not allow it now (gRPC's FailedPrecondition).
        case failedPrecondition
        /// What stands in the way is about to go by itself.
        case ending
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
    /// Hands a transaction to the store, and what becomes of it back to the core. The last action, while no other is out.
    case propose(Transaction)
    case send(NodeID, SessionID, ManagerMessage)
    /// Ends the stream after what was sent before.
    case closeSession(NodeID, SessionID, reason: String)
    case reply(CommandID, Result<ControlReply, ControlError>)
    /// The store did not take what this input wants: who is behind it is told, by an error or the end of the session.
    case giveUp(ControlInput)
    /// What those who watch the swarm are told.
    case announce([ClusterEvent])
    /// A sentence for the log: something an operator may want to know.
    case note(String)
}

/// What became of a proposal.
package enum CommitOutcome: Hashable, Sendable {
    case committed(Version)
    /// The store is at another revision than the one that it was worked out at.
    case outdated(newest: Version)
    /// It was not written, and will not be.
    case failed
}
