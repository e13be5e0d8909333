import WeftAPI
package import WeftModel
package import WeftNet

/// Why a change of this node's membership is refused.
package enum MembershipError: KindedError, Hashable {
    case alreadyInSwarm
    /// Another change is under way.
    case changing
    /// Leaving would be the end of the swarm.
    case lastManager
    /// The manager waits for its unlock key.
    case locked
    case notLocked
    /// What was given is no unlock key.
    case noUnlockKey
    case wrongUnlockKey
    /// What was given is no address of a host on a network.
    case noTunnel(to: IPv4Address)
    /// The node is in a swarm that it cannot take part in.
    case cannotTakePart(reason: String)

    package var errorKind: ErrorKind {
        switch self {
        case .alreadyInSwarm, .changing, .lastManager, .locked, .cannotTakePart: .unavailable
        case .notLocked: .conflict
        case .noUnlockKey, .noTunnel: .invalid
        case .wrongUnlockKey: .unauthorized
        }
    }

    /// Docker's words where it has any, as clients compare them.
    package var description: String {
        switch self {
        case .alreadyInSwarm: APIError.alreadyInSwarm.message
        case .changing: "this node is just joining or leaving a swarm; try again in a moment"
        case .lastManager: APIError.lastManager.message
        case .locked: APIError.lockedLeave.message
        case .notLocked: APIError.notLocked.message
        case .noUnlockKey: APIError.badUnlockKey.message
        case .wrongUnlockKey: APIError.wrongUnlockKey.message
        case .noTunnel(let address):
            "--data-path-addr \(address): no other host reaches this one there; give an address of the host's network"
        case .cannotTakePart(let reason): reason
        }
    }
}

/// What stands in the way of a node that is a member of a swarm, with the way out.
package struct CannotTakePart: Error, CustomStringConvertible {
    package let reason: String
    package init(_ error: any Error) { reason = "\(error)" }

    package var description: String {
        "this node cannot take part in its swarm: \(reason). What is attached goes on as it is. It tries again every few seconds: put "
            + "right what is wrong, restore the file from a backup, or give the swarm up with `weft swarm leave --force` and join again"
    }
}
