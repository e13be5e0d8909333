import WeftControl
import WeftModel
import WeftNet

/// The managers' shells. The first manager has the nodes' sessions. The other one, if there is any, writes into the same
/// store: it runs commands, and has no sessions.
extension SimCluster {
    /// A transaction that the store has not answered, and who wants it.
    struct Pending {
        let transaction: Transaction
        let writer: Writer
    }

    enum Writer: Hashable {
        /// The first manager, in one of its lives.
        case first(life: Int)
        case other
    }

    func manage(_ input: ControlInput) throws {
        guard manager != nil else { return }
        manager?.enqueue(input)
        try advanceManager()
    }

    /// Lets the first manager go on until it waits for the store, or has nothing to do.
    func advanceManager() throws {
        while var core = manager {
            manager = nil
            let actions = core.proceed(now: now, wallClock: now, random: &random)
            manager = core
            guard let transaction = try perform(actions) else { return }
            let pending = Pending(transaction: transaction, writer: .first(life: managerLife))
            if isStormy, random.chance(25) {
                // A slow store: what comes meanwhile goes into the next transaction together.
                report.slowCommits += 1
                queue.plan(.storeAnswers(pending), at: delay(1...600))
                return
            }
            try answer(pending)
        }
    }

    /// The store answers a transaction.
    func answer(_ pending: Pending) throws {
        switch pending.writer {
        case .first(let life):
            guard manager != nil, life == managerLife else {
                // Its manager is dead. It may have reached the store all the same.
                if random.chance(50), case .committed(let commit) = store.commit(pending.transaction) { committed(commit) }
                return
            }
            if options.faults, isStormy, random.chance(1) {
                note("commit fails")
                report.failedCommits += 1
                return try resolve(.failed)
            }
            let outcome = try commit(pending.transaction)
            if options.faults, isStormy, Int.random(in: 0..<1000, using: &random) == 0 { return crashManager() }
            try resolve(outcome)
        case .other:
            guard var core = other else { return }
            let outcome = try commit(pending.transaction)
            let actions = core.resolve(outcome, now: now, wallClock: now)
            other = core
            for case .reply(_, .success) in actions { report.otherChanges += 1 }
            advanceOther()
        }
    }

    private func resolve(_ outcome: CommitOutcome) throws {
        guard var core = manager else { return }
        manager = nil
        let actions = core.resolve(outcome, now: now, wallClock: now)
        manager = core
        if try perform(actions) != nil { throw failure("a proposal while the former is answered") }
    }

    private func commit(_ transaction: Transaction) throws -> CommitOutcome {
        switch store.commit(transaction) {
        case .committed(let commit):
            report.commits += 1
            report.mostWrites = max(report.mostWrites, transaction.writes.count)
            note("commit \(store.revision): \(transaction.writes.map(\.key))")
            committed(commit)
            return .committed(commit.revision)
        case .outdated:
            note("a commit comes too late: the store is at \(store.revision)")
            report.conflicts += 1
            return .outdated(newest: store.revision)
        case .conflict(let key): throw failure("the guard of \(key) in \(transaction) does not hold")
        }
    }

    /// The store tells its watchers, each at its own pace and in order.
    private func committed(_ commit: StoreCommit) {
        hasCommitted = true
        isChanged = true
        watchedUntil = max(watchedUntil, delay(0...80))
        queue.plan(.storeTells(commit), at: watchedUntil)
    }

    func storeTells(_ commit: StoreCommit) throws {
        manager?.follow(commit)
        other?.follow(commit)
        try advanceManager()
        advanceOther()
    }

    // MARK: What the first manager says

    /// Returns the transaction that is proposed.
    private func perform(_ actions: [ControlAction]) throws -> Transaction? {
        if !actions.isEmpty { isChanged = true }
        for (position, action) in actions.enumerated() {
            if options.faults, isStormy, position > 0, Int.random(in: 0..<3000, using: &random) == 0 {
                note("manager dies between its actions")
                crashManager()
                return nil
            }
            switch action {
            case .propose(let transaction):
                guard position == actions.count - 1 else { throw failure("a proposal that is not the last action") }
                return transaction
            case .send(let node, let session, let message): send(message, to: node, session)
            case .closeSession(_, let session, let reason): close(session, reason)
            case .reply(let id, let result): try replied(id, result)
            case .giveUp(let input): try gaveUp(input)
            case .announce(let events):
                note("manager announces \(events.map { "\($0.kind) \($0.id) \($0.action)" })")
            case .note(let text): note("manager notes: \(text)")
            }
        }
        return nil
    }

    private func send(_ message: ManagerMessage, to node: NodeID, _ session: SessionID) {
        guard let index = nodes.firstIndex(where: { $0.id == node }), var stream = streams[session] else { return }
        stream.down = max(stream.down, delay(1...40))
        streams[session] = stream
        queue.plan(.toNode(index, session, message), at: stream.down)
    }

    private func close(_ session: SessionID, _ reason: String) {
        guard let stream = streams[session] else { return }
        note("manager closes \(nodes[stream.node].description.hostname)'s stream: \(reason)")
        // What was sent before still arrives.
        queue.plan(.nodeSeesEnd(stream.node, session), at: max(stream.down, now) + .milliseconds(1))
    }

    private func replied(_ id: CommandID, _ result: Result<ControlReply, ControlError>) throws {
        guard let command = commands.removeValue(forKey: id) else { throw failure("command \(id) got a second reply") }
        note("reply \(result)")
        guard case .success(let reply) = result else { return }
        switch (command, reply) {
        case (.createNetwork, _): report.networksCreated += 1
        case (.createService, _): report.servicesCreated += 1
        case (.removeNetwork, .network(let network)):
            guard store.objects[network.key] == nil else { throw failure("network \(network.id) is removed and there") }
            report.networksRemoved += 1
        case (.admitNode, .node(let node)):
            if let cluster = manager?.replica.cluster { addNode(node.id, cluster) }
        default: break
        }
    }

    private func gaveUp(_ input: ControlInput) throws {
        switch input {
        case .command(let id, _):
            guard commands.removeValue(forKey: id) != nil else { throw failure("command \(id) got a second reply") }
        case .nodeConnected(_, let session, _), .nodeMessage(_, let session, _):
            close(session, "the manager could not store what the node reported")
        case .nodeDisconnected, .addressShown, .tick: break
        }
    }

    func command(_ command: ControlCommand) throws {
        guard manager != nil else { return }
        let id = CommandID(nextCommand)
        nextCommand += 1
        commands[id] = command
        note("command \(command)")
        try manage(.command(id, command))
    }

    func crashManager() {
        guard manager != nil else { return }
        note("manager crashes")
        report.managerCrashes += 1
        manager = nil
        managerLife += 1
        commands = [:]
        for session in streams.keys.sorted() { breakStream(session, managerSees: false) }
        queue.plan(.managerStart, at: delay(200...20_000))
    }

    // MARK: The other manager

    func operateOther() {
        guard let replica = other?.replica else { return }
        let command: ControlCommand
        switch Int.random(in: 0..<20, using: &random) {
        case 0..<6: command = .createNetwork(randomNetwork())
        case 6..<9:
            guard let network = replica.networks.filter({ !$0.spec.ingress }).randomElement(using: &random) else { return }
            command = .removeNetwork(network.id.rawValue)
        case 9..<12: command = .rotateToken(.manager)
        case 12:
            guard replica.nodes.count > 2, let node = replica.nodes.filter({ $0.spec.role == .worker }).randomElement(using: &random)
            else { return }
            command = .removeNode(node.id, force: random.chance(30))
        default:
            guard let node = replica.nodes.randomElement(using: &random) else { return }
            var spec = node.spec
            spec.labels = ["mark": "\(nextCommand)"]
            command = .updateNode(node.id, version: node.version, spec)
        }
        note("the other manager runs \(command)")
        other?.enqueue(.command(CommandID(nextCommand), command))
        nextCommand += 1
        advanceOther()
    }

    private func advanceOther() {
        guard var core = other else { return }
        other = nil
        let actions = core.proceed(now: now, wallClock: now, random: &random)
        other = core
        if case .propose(let transaction)? = actions.last {
            queue.plan(.storeAnswers(Pending(transaction: transaction, writer: .other)), at: delay(1...60))
        }
    }
}
