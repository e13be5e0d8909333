import Logging
import WeftControl
import WeftModel
import WeftStore

/// The part that runs in the one task: inputs and news into the core, and what the core says out to streams, callers and
/// the log.
struct ManagerWorker {
    private var core: ManagerCore
    private let members: MemberSet
    private let eventLog: ClusterEventLog
    private let logger: Logger
    private var generator = SystemRandomNumberGenerator()
    private var outlets: [SessionID: SessionOutlet] = [:]
    private var callers: [CommandID: CheckedContinuation<ControlReply, any Error>] = [:]
    private var nextCommand: UInt64 = 1
    /// The revision that `members` is of.
    private var published: Version
    /// Why the last transaction did not go through.
    private var failure: (any Error)?

    init(_ core: ManagerCore, members: MemberSet, eventLog: ClusterEventLog, logger: Logger) {
        self.core = core
        self.members = members
        self.eventLog = eventLog
        self.logger = logger
        published = core.replica.revision
    }

    /// How many inputs the core may be given. While it waits for the store, inputs wait in the queue, which has a bound.
    var room: Int { core.isIdle ? ManagerCore.inputsMax : 0 }

    /// There is more to decide without anything new; what is new comes in between.
    var hasMore: Bool { core.hasMore }

    /// Takes a batch in, and returns the transaction that is to be committed, if any.
    mutating func process(_ batch: ManagerQueue.Batch, now: Instant, wallClock: Instant) -> Transaction? {
        var looks: [@Sendable (Replica) -> Void] = []
        for news in batch.news {
            switch news {
            case .outcome(let result): resolve(result, now: now, wallClock: wallClock)
            case .committed(let commit): core.follow(commit)
            case .startedOver(let snapshot): core.follow(snapshot)
            case .read(let look): looks.append(look)
            }
        }
        for input in batch.inputs {
            let accepted = accept(input)
            core.enqueue(accepted)
        }
        let transaction = perform(core.proceed(now: now, wallClock: wallClock, roundsMax: 1, random: &generator))
        for look in looks { look(core.replica) }
        return transaction
    }

    /// Ends all sessions, and refuses what still waits. What was committed last is answered.
    mutating func close(_ batch: ManagerQueue.Batch, now: Instant, wallClock: Instant) {
        for news in batch.news {
            switch news {
            case .outcome(let result): resolve(result, now: now, wallClock: wallClock)
            case .committed, .startedOver: break
            case .read(let look): look(core.replica)
            }
        }
        for input in batch.inputs { _ = accept(input) }
        for (_, outlet) in outlets.sorted(by: { $0.key < $1.key }) { outlet.close("the manager is going down") }
        outlets = [:]
        for (_, caller) in callers.sorted(by: { $0.key < $1.key }) { caller.resume(throwing: ManagerBusy()) }
        callers = [:]
    }

    private mutating func accept(_ input: ManagerInput) -> ControlInput {
        switch input {
        case .command(let command, let caller):
            let id = CommandID(nextCommand)
            nextCommand += 1
            callers[id] = caller
            return .command(id, command)
        case .connected(let node, let session, let address, let outlet):
            outlets[session] = outlet
            return .nodeConnected(node, session, address: address)
        case .received(let node, let session, let message): return .nodeMessage(node, session, message)
        case .disconnected(let node, let session):
            outlets[session] = nil
            return .nodeDisconnected(node, session)
        case .addressShown(let node, let address): return .addressShown(node, address)
        case .tick: return .tick
        }
    }

    private mutating func resolve(_ result: Result<Version, any Error>, now: Instant, wallClock: Instant) {
        let outcome = outcome(result)
        perform(core.resolve(outcome, now: now, wallClock: wallClock))
    }

    private mutating func outcome(_ result: Result<Version, any Error>) -> CommitOutcome {
        switch result {
        case .success(let revision): return .committed(revision)
        case .failure(let error):
            failure = error
            if case StoreError.outdated(_, let newest) = error {
                logger.debug("another manager's commit came first", metadata: ["newest": "\(newest)"])
                return .outdated(newest: newest)
            }
            logger.error("a commit failed", metadata: ["error": "\(error)"])
            return .failed
        }
    }

    // MARK: Actions

    /// Carries actions out, and returns the transaction that is to be committed.
    @discardableResult
    private mutating func perform(_ actions: [ControlAction]) -> Transaction? {
        if core.replica.revision != published {
            // Before anything is said: who was let in is let in.
            published = core.replica.revision
            members.set(core.replica)
        }
        var proposal: Transaction?
        for action in actions {
            if case .propose(let transaction) = action { proposal = transaction } else { perform(action) }
        }
        return proposal
    }

    private mutating func perform(_ action: ControlAction) {
        switch action {
        case .propose: break
        case .reply(let command, let result): answer(command, result.mapError { $0 as any Error })
        case .giveUp(let input): giveUp(input)
        case .announce(let events): eventLog.append(events)
        case .note(let sentence): logger.notice("\(sentence)")
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

    private mutating func giveUp(_ input: ControlInput) {
        switch input {
        case .command(let command, _): answer(command, .failure(failure ?? ManagerBusy()))
        case .nodeConnected(_, let session, _), .nodeMessage(_, let session, _):
            outlets.removeValue(forKey: session)?.close("the manager could not store what the node reported")
        case .nodeDisconnected, .addressShown, .tick: break
        }
    }

    private mutating func answer(_ command: CommandID, _ result: Result<ControlReply, any Error>) {
        callers.removeValue(forKey: command)?.resume(with: result)
    }
}
