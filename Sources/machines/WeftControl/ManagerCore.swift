// The manager, as one value: what is stored, what nodes are told, and what is wanted. docs/design/manager.md draws it.
//
// It must not know a clock, a store or a stream. Its neighbours are WeftManager, which owns one of these and carries out
// what it says, and WeftSim, which does the same under a seed.
package import WeftModel

/// The replica, the dispatcher and the leader, and how inputs become transactions.
///
/// The shell hands inputs in by `enqueue`, commits of others by `follow`, and lets the core `proceed`, as often as it
/// likes. Actions are carried out in their order. At most one proposal is out: `.propose` is the last action, and the shell
/// tells what became of it by `resolve`. Meanwhile inputs wait; those that waited go into one transaction together.
///
/// Nothing that was to be said because of an input is said before its transaction is through. If the store has moved on, the
/// inputs are worked out anew on what it holds by then. If it does not take the transaction, they are tried one by one, and
/// those that fail are given up: `.giveUp`.
package struct ManagerCore: Sendable {
    /// Most inputs, and changes, that go into one transaction together.
    package static let inputsMax = 256
    static let changesMax = 2048
    /// So often inputs are worked out anew because another was faster, before they are given up.
    static let attemptsMax = 16

    private struct Proposal: Sendable {
        let transaction: Transaction
        let inputs: ArraySlice<ControlInput>
        /// What the dispatcher and the leader were before the inputs.
        let dispatcher: Dispatcher
        let leader: Leader
        let effects: [ControlAction]
        let replies: [(id: CommandID, result: Result<ControlReply, ControlError>)]
        /// Whether the controllers had their say in it.
        let isAdvanced: Bool
    }

    private enum Followed: Sendable {
        case commit(StoreCommit)
        case snapshot(StoreSnapshot)
    }

    package private(set) var replica: Replica
    package private(set) var dispatcher = Dispatcher()
    private var leader = Leader()
    private var waiting: ArraySlice<ControlInput> = []
    /// What the store told, and was not taken in yet.
    private var followed: [Followed] = []
    private var proposal: Proposal?
    /// No input is taken before the replica is here.
    private var needed: Version = .none
    private var attempts = 0
    /// So many of the inputs that wait are tried one by one, without the controllers.
    private var singles = 0

    package init(_ snapshot: StoreSnapshot) { replica = Replica(snapshot) }

    /// `proceed` would go on, without anything new.
    package var hasMore: Bool { proposal == nil && replica.revision >= needed && (!waiting.isEmpty || leader.hasMore) }

    /// False while inputs wait, or are out in a proposal.
    package var isIdle: Bool { waiting.isEmpty && proposal == nil }

    package mutating func enqueue(_ input: ControlInput) { waiting.append(input) }

    /// A commit that the store tells of, own or foreign. In their order; those that are known already do nothing.
    package mutating func follow(_ commit: StoreCommit) { followed.append(.commit(commit)) }

    /// Goes on from a snapshot, where the commits before it are not to be had.
    package mutating func follow(_ snapshot: StoreSnapshot) { followed.append(.snapshot(snapshot)) }

    /// Takes in what there is to take in, in so many rounds at most: while `hasMore`, there is more. `now` is of a clock that nobody sets.
    package mutating func proceed(
        now: Instant, wallClock: Instant, roundsMax: Int = .max, random: inout some RandomNumberGenerator
    ) -> [ControlAction] {
        guard proposal == nil else { return [] }
        var actions = catchUp(now: now, wallClock: wallClock)
        var rounds = 0
        while hasMore, rounds < roundsMax {
            actions += round(now: now, wallClock: wallClock, random: &random)
            rounds += 1
        }
        return actions
    }

    /// What became of the proposal. Follow with `proceed`.
    package mutating func resolve(_ outcome: CommitOutcome, now: Instant, wallClock: Instant) -> [ControlAction] {
        guard let proposal else { preconditionFailure("an outcome without a proposal") }
        self.proposal = nil
        switch outcome {
        case .committed(let revision):
            attempts = 0
            singles = max(0, singles - proposal.inputs.count)
            return committed(proposal, at: revision, now: now, wallClock: wallClock)
        case .outdated(let newest):
            takeBack(proposal)
            attempts += 1
            needed = newest
            return attempts < Self.attemptsMax ? [] : failed(proposal)
        case .failed:
            takeBack(proposal)
            return failed(proposal)
        }
    }

    // MARK: Rounds

    private mutating func round(
        now: Instant, wallClock: Instant, random: inout some RandomNumberGenerator
    ) -> [ControlAction] {
        let before = (dispatcher, leader)
        var round = Round(
            replica.lend(), dispatcher, remembered: replica.remembered, now: now, wallClock: wallClock)
        if waiting.isEmpty { singles = 0 }
        let isAdvanced = singles == 0
        let start = waiting.startIndex
        let limit = start + (isAdvanced ? Self.inputsMax : 1)
        var end = start
        while end < min(limit, waiting.endIndex), round.mark.changes < Self.changesMax {
            leader.take(waiting[end], in: &round, random: &random)
            end += 1
        }
        if isAdvanced { leader.advance(&round, random: &random) }
        let inputs = waiting[start..<end]
        waiting = waiting[end...]
        let transaction = round.draft.transaction()
        dispatcher = round.dispatcher
        let (effects, replies) = (round.effects, round.replies)
        replica.takeBack(&round.draft)
        guard let transaction else {
            singles = max(0, singles - inputs.count)
            return said(effects, replies, now: now)
        }
        proposal = Proposal(
            transaction: transaction, inputs: inputs, dispatcher: before.0, leader: before.1, effects: effects,
            replies: replies, isAdvanced: isAdvanced)
        return [.propose(transaction)]
    }

    private mutating func committed(
        _ proposal: Proposal, at revision: Version, now: Instant, wallClock: Instant
    ) -> [ControlAction] {
        var actions = take(StoreCommit(proposal.transaction, at: revision), now: now, wallClock: wallClock)
        actions += said(proposal.effects, proposal.replies, now: now)
        return actions
    }

    /// Deltas first, then the rest. Replies carry the versions that the commit gave.
    private mutating func said(
        _ effects: [ControlAction], _ replies: [(id: CommandID, result: Result<ControlReply, ControlError>)], now: Instant
    ) -> [ControlAction] {
        var actions = dispatcher.assignmentsDue(replica)
        actions += effects
        actions += dispatcher.answerAwaits(now: now)
        for (id, result) in replies { actions.append(.reply(id, result.map(stamped))) }
        return actions
    }

    private func stamped(_ reply: ControlReply) -> ControlReply {
        switch reply {
        case .network(let network): .network(replica.network(network.id) ?? network)
        case .node(let node): .node(replica.node(node.id) ?? node)
        case .cluster(let cluster): .cluster(replica.cluster ?? cluster)
        case .service(let service): .service(replica[Service.self, service.id] ?? service)
        case .secret(let secret): .secret(replica[StoredSecret.self, secret.id] ?? secret)
        case .config(let config): .config(replica[StoredConfig.self, config.id] ?? config)
        }
    }

    // MARK: Commits

    /// Takes in what the store told. While a proposal is out it waits: the proposal may be what comes next.
    private mutating func catchUp(now: Instant, wallClock: Instant) -> [ControlAction] {
        guard !followed.isEmpty else { return [] }
        var actions: [ControlAction] = []
        for told in followed {
            switch told {
            case .commit(let commit): actions += take(commit, now: now, wallClock: wallClock)
            case .snapshot(let snapshot): actions += startOver(snapshot)
            }
        }
        followed = []
        return actions + dispatcher.assignmentsDue(replica)
    }

    private mutating func startOver(_ snapshot: StoreSnapshot) -> [ControlAction] {
        guard snapshot.revision > replica.revision else { return [] }
        replica = Replica(snapshot)
        leader.startOver()
        return dispatcher.dismissStrangers(replica)
    }

    /// Takes a commit in, whoever made it.
    private mutating func take(_ commit: StoreCommit, now: Instant, wallClock: Instant) -> [ControlAction] {
        let changes = replica.apply(commit)
        guard !changes.isEmpty else { return [] }
        leader.noted(changes, now: now)
        let events = changes.compactMap { $0.event(now: wallClock) }
        var actions = dispatcher.dismiss(changes)
        if !events.isEmpty { actions.insert(.announce(events), at: 0) }
        return actions
    }

    // MARK: What does not go through

    private mutating func takeBack(_ proposal: Proposal) {
        dispatcher = proposal.dispatcher
        leader = proposal.leader
        waiting = proposal.inputs + waiting
    }

    /// Each input is tried on its own, and without what the controllers want besides: nobody's change fails for another's.
    private mutating func failed(_ proposal: Proposal) -> [ControlAction] {
        attempts = 0
        leader.pause()
        guard proposal.inputs.count == 1, !proposal.isAdvanced, let input = waiting.popFirst() else {
            singles = proposal.inputs.count
            return []
        }
        singles = max(0, singles - 1)
        if let (node, session) = input.session {
            // What the node said is lost: it says all of it again when it comes back.
            waiting.insert(.nodeDisconnected(node, session), at: waiting.startIndex)
            singles += 1
        }
        return [.giveUp(input)]
    }
}

extension ControlInput {
    /// The session that the input is of, if it opens it or is said in it.
    fileprivate var session: (NodeID, SessionID)? {
        switch self {
        case .nodeConnected(let node, let session, _), .nodeMessage(let node, let session, _): (node, session)
        case .command, .nodeDisconnected, .addressShown, .tick: nil
        }
    }
}
