import Synchronization
import WeftModel

/// What this node is to its swarm at the moment. Everybody who needs the member looks here, each time anew; only
/// `NodeLifecycle` changes it.
final class Membership: Sendable {
    struct Standing: Sendable {
        var member: Member?
        /// Membership could not be taken up; why.
        var failure: String?
        /// The data key of a manager that waits for its unlock key.
        var isLocked = false
        /// An init, join or leave is under way.
        var isChanging = false
    }

    private let state = Mutex(Standing())

    var standing: Standing { state.withLock { $0 } }
    var member: Member? { state.withLock { $0.member } }

    /// The member, for what can be done in a swarm only.
    var required: Member {
        get throws(NotInSwarm) {
            let standing = standing
            guard let member = standing.member else { throw NotInSwarm(reason: standing.failure) }
            return member
        }
    }

    /// For `NodeLifecycle`.
    func change<Value: Sendable>(_ body: (inout Standing) -> Value) -> Value { state.withLock { body(&$0) } }
}
