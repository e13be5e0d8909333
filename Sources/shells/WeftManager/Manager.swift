// The manager's shell. It owns the ControlMachine: one task drains one bounded queue of commands, session events and
// ticks, commits what the machine asks for, and only then lets replies and messages out. It decides nothing itself.
package import Logging
import Synchronization
package import WeftControl
package import WeftModel
package import WeftNet
package import WeftStore

/// The machine could not take another event: the queue is full.
package struct ManagerBusy: KindedError {
    package var errorKind: ErrorKind { .unavailable }
    package var description: String { "the manager is busy: more than \(Manager.queueLimit) changes wait; try again" }
}

package final class Manager: Sendable {
    /// Events that may wait. Past it commands are refused and sessions closed, which resynchronises them later.
    static let queueLimit = 16_384

    private let store: any Store
    private let wallClock: @Sendable () -> Instant
    private let clock: @Sendable () -> Instant
    private let logger: Logger
    private let eventLog: ClusterEventLog
    private let events: AsyncStream<ManagerEvent>
    private let queue: AsyncStream<ManagerEvent>.Continuation
    /// Who is a member, for the check that every call of a node passes.
    private let members: Mutex<Set<NodeID>>
    private let nextSession = Mutex<UInt64>(1)

    /// Reads the store. `wallClock` is for what is shown; `clock`, which nobody sets, for all that waits.
    package init(
        store: any Store, eventLog: ClusterEventLog = ClusterEventLog(), wallClock: @escaping @Sendable () -> Instant,
        clock: @escaping @Sendable () -> Instant, logger: Logger
    ) async throws {
        self.store = store
        self.eventLog = eventLog
        self.wallClock = wallClock
        self.clock = clock
        self.logger = logger
        (events, queue) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.queueLimit))
        members = Mutex(Set(ControlMachine(snapshot: try await store.snapshot()).nodes.map(\.id)))
    }

    package func isMember(_ node: NodeID) -> Bool { members.withLock { $0.contains(node) } }

    /// Looks at the committed state, after everything queued before. Throws `ManagerBusy`.
    package func read<Value: Sendable>(_ body: @escaping @Sendable (ControlMachine) -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            if !enqueue(.read({ continuation.resume(returning: body($0)) })) { continuation.resume(throwing: ManagerBusy()) }
        }
    }

    /// Performs a command and returns once it is committed; throws `ControlError`, `StoreError` or `ManagerBusy`.
    package func perform(_ command: ControlCommand) async throws -> ControlReply {
        try await withCheckedThrowingContinuation { continuation in
            switch queue.yield(.command(command, continuation)) {
            case .enqueued: break
            case .dropped, .terminated: continuation.resume(throwing: ManagerBusy())
            @unknown default: continuation.resume(throwing: ManagerBusy())
            }
        }
    }

    /// Opens a node's session; the caller then hands over its messages, and its end.
    package func connect(_ node: NodeID, address: IPv4Address?, outlet: SessionOutlet) -> SessionID {
        let session = nextSession.withLock { number in
            defer { number += 1 }
            return SessionID(number)
        }
        if !enqueue(.connected(node, session, address: address, outlet)) { outlet.close("the manager is busy") }
        return session
    }

    /// Hands over a message; false when the session should be closed because the manager does not keep up.
    package func receive(_ message: NodeMessage, from node: NodeID, session: SessionID) -> Bool {
        enqueue(.received(node, session, message))
    }

    package func disconnect(_ node: NodeID, session: SessionID) {
        _ = enqueue(.disconnected(node, session))
    }

    /// A node called from an address.
    package func addressShown(_ address: IPv4Address, by node: NodeID) { _ = enqueue(.addressShown(node, address)) }

    /// Lets the machine look at the clock; call it about once a second.
    package func tick() {
        _ = enqueue(.tick)
    }

    private func enqueue(_ event: ManagerEvent) -> Bool {
        if case .enqueued = queue.yield(event) { return true }
        return false
    }

    /// Ends `run`; what still waits is refused.
    package func shutDown() {
        queue.finish()
    }

    /// Drains the queue until `shutDown` or cancellation.
    package func run() async {
        var worker: Worker
        do {
            worker = Worker(
                machine: ControlMachine(snapshot: try await store.snapshot()), store: store, eventLog: eventLog, logger: logger)
        } catch {
            logger.critical("the store cannot be read", metadata: ["error": "\(error)"])
            return
        }
        for await event in events {
            await worker.process(event, now: clock(), wallClock: wallClock())
            if worker.changed {
                worker.changed = false
                let nodes = Set(worker.machine.nodes.map(\.id))
                members.withLock { $0 = nodes }
            }
            worker.flushReplies()
        }
        worker.closeAll(reason: "the manager is going down")
    }
}

/// The part that runs in the one task.
private struct Worker {
    var machine: ControlMachine
    /// A commit went through since the members were last published.
    var changed = true
    let store: any Store
    let eventLog: ClusterEventLog
    let logger: Logger
    private var wallClock = Instant(nanoseconds: 0)
    private var generator = SystemRandomNumberGenerator()
    private var outlets: [SessionID: SessionOutlet] = [:]
    private var waiting: [CommandID: CheckedContinuation<ControlReply, any Error>] = [:]
    private var answered: [(CheckedContinuation<ControlReply, any Error>, Result<ControlReply, any Error>)] = []
    private var nextCommand: UInt64 = 1

    init(machine: ControlMachine, store: any Store, eventLog: ClusterEventLog, logger: Logger) {
        self.machine = machine
        self.store = store
        self.eventLog = eventLog
        self.logger = logger
    }

    mutating func process(_ event: ManagerEvent, now: Instant, wallClock: Instant) async {
        self.wallClock = wallClock
        switch event {
        case .command(let command, let continuation):
            let id = CommandID(nextCommand)
            nextCommand += 1
            waiting[id] = continuation
            await handle(.command(id, command), now: now, failing: id)
        case .read(let body):
            body(machine)
        case .connected(let node, let session, let address, let outlet):
            outlets[session] = outlet
            if await !handle(.nodeConnected(node, session, address: address), now: now) { await abandon(node, session, now: now) }
        case .received(let node, let session, let message):
            if await !handle(.nodeMessage(node, session, message), now: now) { await abandon(node, session, now: now) }
        case .disconnected(let node, let session):
            outlets[session] = nil
            await handle(.nodeDisconnected(node, session), now: now)
        case .addressShown(let node, let address):
            await handle(.addressShown(node, address), now: now)
        case .tick:
            await handle(.tick, now: now)
        }
    }

    /// What the node said is lost: it says all of it again when it comes back.
    private mutating func abandon(_ node: NodeID, _ session: SessionID, now: Instant) async {
        outlets.removeValue(forKey: session)?.close("the manager could not store what the node reported")
        await handle(.nodeDisconnected(node, session), now: now)
    }

    /// Runs the machine, and takes the input back if what it wants written was not written: false then. In place, as a copy
    /// to go back to would be one of every object for a change of one.
    @discardableResult
    private mutating func handle(_ input: ControlInput, now: Instant, failing command: CommandID? = nil) async -> Bool {
        let checkpoint = machine.checkpoint
        var actions = machine.handle(input, now: now, wallClock: wallClock, random: &generator)[...]
        if case .commit(let transaction)? = actions.first {
            actions.removeFirst()
            do {
                let revision = try await store.commit(transaction)
                precondition(revision == machine.revision, "the store and the machine count revisions differently")
            } catch {
                logger.error("a commit failed", metadata: ["error": "\(error)"])
                machine.rollBack(to: checkpoint)
                if let command { answer(command, .failure(error)) }
                return false
            }
            changed = true
        }
        for action in actions { perform(action) }
        return true
    }

    private mutating func perform(_ action: ControlAction) {
        switch action {
        case .commit:
            preconditionFailure("a commit is the machine's first action, and the only one of its kind")
        case .reply(let command, let result):
            answer(command, result.mapError { $0 as any Error })
        case .announce(let events):
            eventLog.append(events)
        case .note(let sentence):
            logger.notice("\(sentence)")
        case .send(let node, let session, let message):
            guard let outlet = outlets[session], !outlet.send(message) else { return }
            logger.warning("a node does not keep up, its session is closed", metadata: ["node": "\(node)"])
            outlets[session] = nil
            outlet.close("the node does not keep up with the manager")
        case .closeSession(let node, let session, let reason):
            logger.info("session closed", metadata: ["node": "\(node)", "reason": "\(reason)"])
            outlets.removeValue(forKey: session)?.close(reason)
        }
    }

    private mutating func answer(_ command: CommandID, _ result: Result<ControlReply, any Error>) {
        guard let continuation = waiting.removeValue(forKey: command) else { return }
        answered.append((continuation, result))
    }

    /// Resumes who waited. Called after the members were published: who was let in is let in.
    mutating func flushReplies() {
        let replies = answered
        answered = []
        for (continuation, result) in replies { continuation.resume(with: result) }
    }

    mutating func closeAll(reason: String) {
        for (_, outlet) in outlets.sorted(by: { $0.key < $1.key }) { outlet.close(reason) }
        outlets = [:]
        for (_, continuation) in waiting.sorted(by: { $0.key < $1.key }) { continuation.resume(throwing: ManagerBusy()) }
        waiting = [:]
    }
}
