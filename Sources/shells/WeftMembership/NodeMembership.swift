import Synchronization
import WeftModel

/// What this node is to its swarm at the moment. Everybody who needs the member looks here, each time anew; only
/// `NodeLifecycle` changes it.
package final class NodeMembership<Member: Sendable>: Sendable {
    package struct Standing: Sendable {
        package var member: Member?
        /// Membership could not be taken up; why.
        package var failure: String?
        /// This node is a manager that waits for its unlock key.
        package var isLocked = false
        /// An init, join or leave is under way.
        package var isChanging = false
    }

    private let state = Mutex(Standing())

    package init() {}

    package var standing: Standing { state.withLock { $0 } }
    package var member: Member? { state.withLock { $0.member } }

    /// The member, for what can be done in a swarm only.
    package var required: Member {
        get throws(NotInSwarm) {
            let standing = standing
            guard let member = standing.member else { throw NotInSwarm(reason: standing.failure) }
            return member
        }
    }

    /// For `NodeLifecycle`.
    func change<Value: Sendable>(_ body: (inout Standing) -> Value) -> Value { state.withLock { body(&$0) } }
}
