// The manager's shell. It owns the ManagerCore: one task drains one bounded queue of inputs and of news from the store, and
// carries out what the core says. It decides nothing, and never waits for the store: a transaction is on its way while the
// task goes on, so that whoever wants to look is answered, and what comes meanwhile goes into the next transaction together.
package import Logging
import Synchronization
package import WeftControl
package import WeftModel
package import WeftNet
package import WeftStore

/// The manager could not take another input: the queue is full, or it is going down.
package struct ManagerBusy: KindedError {
    package var errorKind: ErrorKind { .unavailable }
    package var description: String {
        "the manager takes nothing: more than \(Manager.queueLimit) changes wait, or it is stopping; try again"
    }
}

package final class Manager: Sendable {
    /// Inputs that may wait. Past it commands are refused and sessions closed, which resynchronises them later.
    static let queueLimit = 16_384

    private let store: any Store
    private let wallClock: @Sendable () -> Instant
    private let clock: @Sendable () -> Instant
    private let logger: Logger
    private let eventLog: ClusterEventLog
    private let queue = ManagerQueue(limit: queueLimit)
    /// Until `run` takes it.
    private let core: Mutex<ManagerCore?>
    /// Who is a member, for the check that every call of a node passes.
    private let members: MemberSet
    private let nextSession = Mutex<UInt64>(1)

    /// Begins at the store's snapshot. `wallClock` is for what is shown; `clock`, which nobody sets, for all that waits.
    package init(
        store: any Store, snapshot: StoreSnapshot, eventLog: ClusterEventLog = ClusterEventLog(),
        wallClock: @escaping @Sendable () -> Instant, clock: @escaping @Sendable () -> Instant, logger: Logger
    ) {
        self.store = store
        self.eventLog = eventLog
        self.wallClock = wallClock
        self.clock = clock
        self.logger = logger
        let core = ManagerCore(snapshot)
        members = MemberSet(core.replica)
        self.core = Mutex(core)
    }

    package func isMember(_ node: NodeID) -> Bool { members.contains(node) }

    /// Looks at what is committed, also while a commit is on its way. Throws `ManagerBusy`.
    package func read<Value: Sendable>(_ body: @escaping @Sendable (Replica) -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            if !queue.push(.read({ continuation.resume(returning: body($0)) })) { continuation.resume(throwing: ManagerBusy()) }
        }
    }

    /// Performs a command and returns once it is committed; throws `ControlError`, `StoreError` or `ManagerBusy`.
    package func perform(_ command: ControlCommand) async throws -> ControlReply {
        try await withCheckedThrowingContinuation { continuation in
            if !queue.push(.command(command, continuation)) { continuation.resume(throwing: ManagerBusy()) }
        }
    }

    /// Opens a node's session; the caller then hands over its messages, and its end.
    package func connect(_ node: NodeID, address: IPv4Address?, outlet: SessionOutlet) -> SessionID {
        let session = nextSession.withLock { number in
            defer { number += 1 }
            return SessionID(number)
        }
        if !queue.push(.connected(node, session, address: address, outlet)) { outlet.close("the manager is busy") }
        return session
    }

    /// Hands over a message; false when the session should be closed because the manager does not keep up.
    package func receive(_ message: NodeMessage, from node: NodeID, session: SessionID) -> Bool {
        queue.push(.received(node, session, message))
    }

    package func disconnect(_ node: NodeID, session: SessionID) { _ = queue.push(.disconnected(node, session)) }

    /// A node called from an address.
    package func addressShown(_ address: IPv4Address, by node: NodeID) { _ = queue.push(.addressShown(node, address)) }

    /// Lets the controllers look at the clock; call it about once a second.
    package func tick() { _ = queue.push(.tick) }

    /// How many inputs wait while others are on their way into the store.
    package var waitingCount: Int { queue.inputCount }

    /// Ends `run`; what still waits is refused.
    package func shutDown() { queue.finish() }

    /// Drains the queue until `shutDown` or cancellation. A transaction that is on its way is waited for.
    package func run() async {
        guard let core = core.withLock({ $0.take() }) else { return }
        let follower = StoreFollower(store: store, queue: queue, logger: logger)
        let start = core.replica.revision
        var worker = ManagerWorker(core, members: members, eventLog: eventLog, logger: logger)
        await withDiscardingTaskGroup { group in
            group.addTask { await follower.run(from: start) }
            await withDiscardingTaskGroup { commits in
                while let batch = await queue.next(inputsMax: worker.room, isAwaited: !worker.hasMore) {
                    guard let transaction = worker.process(batch, now: clock(), wallClock: wallClock()) else { continue }
                    commits.addTask { await self.commit(transaction) }
                }
            }
            group.cancelAll()
        }
        queue.finish()
        worker.close(queue.drain(), now: clock(), wallClock: wallClock())
    }

    private func commit(_ transaction: Transaction) async {
        let outcome: Result<Version, any Error>
        do { outcome = .success(try await store.commit(transaction)) } catch { outcome = .failure(error) }
        queue.pushOutcome(outcome)
    }
}

/// The swarm's members, as the manager's task knows them.
final class MemberSet: Sendable {
    private let members: Mutex<Set<NodeID>>

    init(_ replica: Replica) { members = Mutex(replica.members) }

    func contains(_ node: NodeID) -> Bool { members.withLock { $0.contains(node) } }

    func set(_ replica: Replica) {
        let now = replica.members
        members.withLock { $0 = now }
    }
}
