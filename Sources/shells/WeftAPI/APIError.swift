package import WeftModel

/// What the client is told when a request fails: an HTTP status and a sentence, `{"message": …}` on the wire.
/// Clients compare some of the texts, so those are Docker's to the letter.
package struct APIError: Error, Hashable, CustomStringConvertible {
    package let status: Int
    package let message: String

    package init(_ status: Int, _ message: String) {
        self.status = status
        self.message = message
    }

    package var description: String { message }
}

extension APIError {
    package static func badRequest(_ message: String) -> APIError { APIError(400, message) }
    package static func notFound(_ message: String) -> APIError { APIError(404, message) }
    /// For what Docker has and this version of Weft has not.
    package static func unavailable(_ message: String) -> APIError { APIError(501, message) }

    package static let pageNotFound = APIError(404, "page not found")
    package static let noEngine = APIError(
        503, "no container engine is connected to weftd; `weft run` starts a sandbox without one")

    package static let alreadyInSwarm = APIError(
        503,
        "This node is already part of a swarm. Use \"docker swarm leave\" to leave this swarm and join another one.")
    package static let notInSwarm = APIError(503, "This node is not part of a swarm")
    package static let notAManagerOutsideSwarm = APIError(
        503,
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to "
            + "swarm and try again.")
    package static let notAManagerOnWorker = APIError(
        503,
        "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this "
            + "command on a manager node or promote the current node to a manager.")
    package static let lastManager = APIError(
        503,
        "You are attempting to leave the swarm on a node that is participating as a manager. Removing the last manager "
            + "erases all current state of the swarm. Use `--force` to ignore this message.")
    package static let swarmLocked = APIError(
        503,
        "Swarm is encrypted and needs to be unlocked before it can be used. Please use \"docker swarm unlock\" to unlock "
            + "it.")
    package static let lockedLeave = APIError(
        503,
        "Swarm is encrypted and locked. Please unlock it first or use `--force` to ignore this message.")
    package static let notLocked = APIError(409, "swarm is not locked")
    package static let badUnlockKey = APIError(400, "invalid key string")
    package static let wrongUnlockKey = APIError(401, "swarm could not be unlocked: invalid key provided")
    package static let outOfSequence = APIError(500, "rpc error: code = Unknown desc = update out of sequence")

    package static func nodeNotFound(_ name: String) -> APIError { APIError(404, "node \(name) not found") }
    package static func nodeNotDown(_ id: NodeID) -> APIError {
        APIError(
            400, "rpc error: code = FailedPrecondition desc = node \(id) is not down and can't be removed")
    }

    package static func networkExists(_ name: String) -> APIError {
        APIError(409, "network with name \(name) already exists")
    }
    package static func networkNotFound(_ name: String) -> APIError { APIError(404, "network \(name) not found") }
    /// A network of the swarm and one of the engine's have the name.
    package static func nameTwice(_ name: String, matches: Int) -> APIError {
        APIError(
            409,
            "network \(name) is ambiguous (\(matches) matches found on name): this node's container engine has a network of its own by "
                + "that name; give the id, or remove or rename one of the two")
    }
    /// `user` is the endpoint (or task) that still uses the network.
    package static func networkInUse(_ id: NetworkID, by user: String) -> APIError {
        APIError(400, "rpc error: code = FailedPrecondition desc = network \(id) is in use by task \(user)")
    }
    package static func notAttachable(_ name: String) -> APIError {
        APIError(
            403,
            "Could not attach to network \(name): rpc error: code = PermissionDenied desc = network \(name) not manually "
                + "attachable")
    }

    package static func sandboxNotFound(_ name: String) -> APIError { APIError(404, "No such sandbox: \(name)") }
    package static func sandboxExists(_ name: String, id: SandboxID) -> APIError {
        APIError(
            409,
            "the sandbox name \(name) is in use by sandbox \(id.rawValue.prefix(12)); remove that one or choose another "
                + "name")
    }
}
