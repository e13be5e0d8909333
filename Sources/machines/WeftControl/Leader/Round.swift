import WeftModel
import WeftNet

/// Inputs that are taken in together, and become one transaction: what the controllers read and write meanwhile, and what
/// is said once it is through.
struct Round: Sendable {
    var draft: Draft
    var dispatcher: Dispatcher
    /// Revisions after which the replica knows what changed.
    let remembered: ClosedRange<Version>
    /// Of a clock that nobody sets; decides how long things last.
    let now: Instant
    /// What the clock on the wall says. It may be set: it goes into what is shown, and decides nothing.
    let wallClock: Instant
    /// What follows the commit and the deltas.
    private(set) var effects: [ControlAction] = []
    private(set) var replies: [(id: CommandID, result: Result<ControlReply, ControlError>)] = []
    /// One of the inputs says that time passed.
    var isTick = false
    /// A session opened or ended.
    private(set) var sessionsChanged = false

    init(
        _ draft: consuming Draft, _ dispatcher: consuming Dispatcher, remembered: ClosedRange<Version>, now: Instant,
        wallClock: Instant
    ) {
        self.draft = draft
        self.dispatcher = dispatcher
        self.remembered = remembered
        self.now = now
        self.wallClock = wallClock
    }

    var tables: IndexedTables { draft.tables }
    var heartbeat: Duration { .seconds(ClusterView.heartbeat(of: tables.cluster?.spec)) }

    /// A sentence for the log.
    mutating func note(_ sentence: String) { effects.append(.note(sentence)) }

    mutating func send(_ node: NodeID, _ session: SessionID, _ message: ManagerMessage) {
        effects.append(.send(node, session, message))
    }

    mutating func reply(_ id: CommandID, _ result: Result<ControlReply, ControlError>) { replies.append((id, result)) }

    /// How far the round has come.
    struct Mark {
        let changes: Int
        fileprivate let effects: Int
    }

    var mark: Mark { Mark(changes: draft.mark, effects: effects.count) }

    /// Takes back what was written, and was to be said, since.
    mutating func undo(to mark: Mark) {
        draft.undo(to: mark.changes)
        effects.removeLast(effects.count - mark.effects)
    }

    mutating func open(_ node: NodeID, applied: Version) {
        dispatcher.open(node, applied: remembered.contains(applied) ? applied : .none)
        sessionsChanged = true
    }

    /// Ends a node's session here, and returns it.
    @discardableResult
    mutating func end(_ node: NodeID) -> Dispatcher.Session? {
        guard let session = dispatcher.end(node, now: now) else { return nil }
        sessionsChanged = true
        return session
    }

    /// Ends a node's session, if it has one, and says why.
    mutating func close(_ node: NodeID, reason: String, goodbye: Bool = false) {
        guard let session = end(node) else { return }
        if goodbye { send(node, session.id, .goodbye(reason: reason)) }
        effects.append(.closeSession(node, session.id, reason: reason))
    }

    /// Sends away who has no session.
    mutating func turnAway(_ node: NodeID, _ session: SessionID, reason: String) {
        send(node, session, .goodbye(reason: reason))
        effects.append(.closeSession(node, session, reason: reason))
    }
}

extension Node {
    /// What messages call the node: its host name, or its id before it told one.
    var label: String { description.map(\.hostname).flatMap { $0.isEmpty ? nil : $0 } ?? id.rawValue }
}
