// A whole swarm in one process under one seed: the machines, a lossy network, stores that may fail, and checkers that look after
// every step. The same seed is the same run on every machine; a run that fails is told by its seed.
import WeftAgentCore
import WeftControl
package import WeftModel
import WeftNet
import WeftNode

/// What a simulated run is made of.
package struct SimOptions: Sendable {
    package var nodes = 3
    /// Simulated time during which operations and faults happen.
    package var duration: Duration = .seconds(120)
    /// Operations a simulated second, about.
    package var operationsPerSecond = 4
    /// Broken streams, crashes, failing commits and saves, kernels that refuse or are changed by others.
    package var faults = true
    /// Another manager that writes into the same store.
    package var secondManager = true
    /// In the end, whether every address of the small networks can be had from every node.
    package var fillsNetworks = false
    package init() {}
}

/// A run that broke a rule. Its description holds the seed, and the run's last events.
package struct SimFailure: Error, CustomStringConvertible {
    package let seed: UInt64
    package let time: Instant
    package let rule: String
    package let trace: [String]
    package var description: String {
        "seed \(seed), at \(time.nanoseconds / 1_000_000) ms: \(rule)\n" + trace.joined(separator: "\n")
    }
}

/// What a run did: zeros show that it tested nothing.
package struct SimReport: Hashable, Sendable {
    package var events = 0
    package var commits = 0
    package var attached = 0
    /// Attached and detached, of those on networks with IPv6.
    package var withIPv6 = 0
    package var detached = 0
    package var refused = 0
    package var brokenSessions = 0
    package var agentCrashes = 0
    package var managerCrashes = 0
    package var failedCommits = 0
    /// Transactions that the store took its time for, and most changes of one.
    package var slowCommits = 0
    package var mostWrites = 0
    /// Transactions that came later than another manager's.
    package var conflicts = 0
    /// What the other manager did.
    package var otherChanges = 0
    /// Saves of agents that failed, and what was taken back for it.
    package var failedSaves = 0
    package var takenBack = 0
    /// Rounds of the data path in which the kernel refused something.
    package var refusedRounds = 0
    /// How often what was kept by changes was compared with what is made at once.
    package var comparisons = 0
    package var networksCreated = 0
    package var networksRemoved = 0
    package var servicesCreated = 0
    /// Addresses and blocks that one node gave back because another needed them.
    package var addressesReturned = 0
    /// Addresses attached or refused while networks were filled to the last one.
    package var filled = 0
    package var nodesLeft = 0
    /// Of the data path's keys.
    package var finalEpoch: UInt64 = 0
    package var finalRevision: Version = .none
    /// A digest of the final state, for runs that must repeat themselves.
    package var fingerprint: UInt64 = 0
    package init() {}
}

/// A whole swarm in one process, driven by one seed: a manager with its store, nodes, and streams that delay and break.
/// A stream keeps its order, as TCP does; when it breaks, what is under way on it is lost, and each end learns of it in
/// its own time.
final class SimCluster {
    enum Event {
        case operate
        case managerTick
        case managerStart
        case agentTick(Int, life: Int)
        case agentStart(Int)
        case connect(Int, life: Int)
        case toManager(Int, SessionID, NodeMessage)
        case toNode(Int, SessionID, ManagerMessage)
        case renew(Int, life: Int)
        case managerSeesEnd(Int, SessionID)
        case nodeSeesEnd(Int, SessionID)
        case storeAnswers(Pending)
        case storeTells(StoreCommit)
        case operateOther
        case datapathRound(Int, life: Int)
        case reconciled(Int, life: Int, ReconcileOutcome)
        case keysDue(Int, life: Int)
    }

    let seed: UInt64
    let options: SimOptions
    var random: SeededGenerator
    var now = Instant(nanoseconds: 1_700_000_000_000_000_000)
    var queue = EventQueue<Event>()
    var store = SimStore()
    /// Nil while the manager is down.
    var manager: ManagerCore?
    var managerLife = 0
    /// Nil if there is no other.
    var other: ManagerCore?
    /// When the last commit that was told reaches those who follow.
    var watchedUntil = Instant(nanoseconds: 0)
    var nodes: [SimNode] = []
    /// Streams that carry messages: the node, and when the last message sent each way arrives.
    var streams: [SessionID: (node: Int, up: Instant, down: Instant)] = [:]
    var nextSession: UInt64 = 1
    var nextCommand: UInt64 = 1
    var nextRequest: UInt64 = 1
    var nextName = 1
    var nextRoot = 1
    /// False once only healing is left.
    var isStormy = true
    /// Whether the running event changed anything that the rules are about.
    var isChanged = false
    var hasCommitted = false
    /// Without a reply yet.
    var commands: [CommandID: ControlCommand] = [:]
    /// What attaches and detaches came to, once it is calm.
    var outcomes: [RequestID: Result<Endpoint, AttachError>] = [:]
    var report = SimReport()
    var trace: [String] = []
    var checker = Checker()

    init(seed: UInt64, options: SimOptions) throws {
        self.seed = seed
        self.options = options
        random = SeededGenerator(seed: seed)
        var managerNode = Node(id: .random(using: &random), createdAt: now, spec: NodeSpec(role: .manager))
        managerNode.managerAddress = "172.30.0.1:2377"
        let cluster = Cluster(
            id: .random(using: &random), createdAt: now, spec: ClusterSpec(), rootCertificatePEM: "[root]",
            workerTokenSecret: Secret("w"), managerTokenSecret: Secret("m"))
        var first = try Bootstrap.transaction(cluster: cluster, manager: managerNode, now: now, random: &random)
        let authority = AuthorityKey(id: cluster.id, privateKeyPEM: Secret("key of [root]"))
        first.writes.append(.put(StoredObject(authority), expecting: .none))
        guard case .committed = store.commit(first) else { throw failure("the first commit does not fit an empty store") }
        manager = ManagerCore(store.snapshot)
        if options.secondManager { other = ManagerCore(store.snapshot) }
        addNode(managerNode.id, cluster, role: .manager)
        for _ in 1..<options.nodes { join() }
        queue.plan(.managerTick, at: now + .seconds(1))
        if options.duration > .zero {
            queue.plan(.operate, at: now + .milliseconds(500))
            if options.secondManager { queue.plan(.operateOther, at: now + .milliseconds(700)) }
        }
    }

    func failure(_ rule: String) -> SimFailure {
        SimFailure(seed: seed, time: now, rule: rule, trace: trace)
    }

    func note(_ text: @autoclosure () -> String) {
        trace.append("  \(now.nanoseconds / 1_000_000 % 10_000_000) \(text())")
        if trace.count > 400 { trace.removeFirst(200) }
    }

    func delay(_ milliseconds: ClosedRange<Int>) -> Instant {
        now + .milliseconds(Int.random(in: milliseconds, using: &random))
    }

    /// Runs until `end`, checking the rules that hold at all times after each event.
    func run(until end: Instant) throws {
        while let (time, event) = queue.next() {
            if time > end {
                queue.plan(event, at: time)
                break
            }
            now = time
            report.events += 1
            isChanged = false
            hasCommitted = false
            try perform(event)
            guard isChanged else { continue }
            if let broken = checker.brokenRule(in: self) { throw failure(broken) }
        }
        now = max(now, end)
    }

    private func perform(_ event: Event) throws {
        switch event {
        case .operate:
            guard isStormy else { return }
            try operate()
            queue.plan(.operate, at: delay(1...(2000 / options.operationsPerSecond)))
        case .managerTick:
            try manage(.tick)
            queue.plan(.managerTick, at: now + .seconds(1))
        case .managerStart:
            if manager == nil {
                note("manager starts at revision \(store.revision)")
                manager = ManagerCore(store.snapshot)
            }
        case .agentTick(let index, let life):
            guard nodes[index].life == life, nodes[index].core != nil else { return }
            try feed(index, agent: .tick)
            try keepKeys(index) { $0.tick(now: now) }
            queue.plan(.agentTick(index, life: life), at: now + .seconds(1))
        case .agentStart(let index):
            try startAgent(index)
        case .connect(let index, let life):
            try connect(index, life: life)
        case .toManager(let index, let session, let message):
            if streams[session] != nil { try manage(.nodeMessage(nodes[index].id, session, message)) }
            if case .addressesReturned = message, options.faults, isStormy, random.chance(10) { crashManager() }
        case .toNode(let index, let session, let message):
            if streams[session] != nil, nodes[index].session == session {
                followRoots(index, message)
                try feed(index, .received(message))
            }
        case .renew(let index, let life):
            try renew(index, life: life)
        case .managerSeesEnd(let index, let session):
            try manage(.nodeDisconnected(nodes[index].id, session))
        case .nodeSeesEnd(let index, let session):
            guard nodes[index].session == session else { return }
            nodes[index].session = nil
            try feed(index, .sessionClosed)
            queue.plan(.connect(index, life: nodes[index].life), at: delay(50...1500))
        case .datapathRound(let index, let life):
            try datapathRound(index, life: life)
        case .reconciled(let index, let life, let outcome):
            if nodes[index].life == life { try feed(index, agent: .reconciled(outcome)) }
        case .keysDue(let index, let life):
            if nodes[index].life == life { try keepKeys(index) { $0.takeNews(now: now) } }
        case .storeAnswers(let pending):
            try answer(pending)
            try advanceManager()
        case .storeTells(let commit): try storeTells(commit)
        case .operateOther:
            guard isStormy else { return }
            operateOther()
            queue.plan(.operateOther, at: delay(1...(6000 / options.operationsPerSecond)))
        }
    }

    // MARK: Streams

    /// Loses what is under way; both ends learn of it some time.
    func breakStream(_ session: SessionID, managerSees: Bool = true) {
        guard let stream = streams.removeValue(forKey: session) else { return }
        note("stream \(session.rawValue) of \(nodes[stream.node].description.hostname) breaks")
        queue.plan(.nodeSeesEnd(stream.node, session), at: delay(1...3000))
        if managerSees { queue.plan(.managerSeesEnd(stream.node, session), at: delay(1...6000)) }
    }

    private func connect(_ index: Int, life: Int) throws {
        guard nodes[index].life == life, nodes[index].core != nil, nodes[index].session == nil, !nodes[index].isGone
        else { return }
        guard manager != nil else {
            queue.plan(.connect(index, life: life), at: delay(200...2000))
            return
        }
        let session = SessionID(nextSession)
        nextSession += 1
        streams[session] = (index, now, now)
        nodes[index].session = session
        note("\(nodes[index].description.hostname) connects, stream \(session.rawValue)")
        try manage(.nodeConnected(nodes[index].id, session, address: nodes[index].vtep))
        if nodes[index].session == session {
            queue.plan(.renew(index, life: life), at: delay(1...2000))
            try feed(index, .sessionOpened)
        }
    }
}
