/// What was asked for needs a swarm, and this node is in none.
package struct NotInSwarm: KindedError, Hashable {
    /// Why a node that is to be in one is not; nil: it is not to be.
    package let reason: String?

    package var errorKind: ErrorKind { .unavailable }

    package init(reason: String? = nil) { self.reason = reason }

    /// Docker's words, which clients compare.
    package var description: String { reason ?? "This node is not part of a swarm" }
}
