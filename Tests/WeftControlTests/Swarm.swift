import Testing
import WeftControl
import WeftModel
import WeftNet

func prefix(_ text: String) throws -> IPv4Prefix { try #require(IPv4Prefix(text)) }
func address(_ text: String) throws -> IPv4Address { try #require(IPv4Address(text)) }

/// A manager's core with a store that accepts what fits, and what it said.
struct Swarm {
    var core: ManagerCore
    var replica: Replica { core.replica }
    var now = Instant(nanoseconds: 1_700_000_000_000_000_000)
    /// By how much the clock on the wall differs.
    var wallClockOffset = Duration.zero
    var random = Steps()
    var sent: [(node: NodeID, message: ManagerMessage)] = []
    var closed: [(node: NodeID, reason: String)] = []
    var notes: [String] = []
    var events: [ClusterEvent] = []
    var commits = 0
    var largestCommit = 0
    var givenUp: [ControlInput] = []
    private var stored: [StoredObject] = []
    private var replies: [CommandID: Result<ControlReply, ControlError>] = [:]
    private var commands: UInt64 = 0
    private var sessions: [NodeID: SessionID] = [:]
    private var sessionCount: UInt64 = 0

    static let first = NodeID("manager")

    struct Steps: RandomNumberGenerator {
        var state: UInt64 = 7
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ state >> 29
        }
    }

    init(routes: [IPv4Prefix] = [], spec: ClusterSpec = ClusterSpec(), hasIPv6: Bool = false) throws {
        var node = Node(id: Self.first, createdAt: now, spec: NodeSpec(role: .manager))
        node.managerAddress = "172.30.0.1:2377"
        node.description = Self.description("h1", routes: routes)
        let cluster = Cluster(
            id: ClusterID("cluster"), createdAt: now, spec: spec, rootCertificatePEM: "PEM",
            workerTokenSecret: Secret("w"),
            managerTokenSecret: Secret("m"))
        let transaction = try Bootstrap.transaction(
            cluster: cluster, manager: node, hasIPv6: hasIPv6, now: now, random: &random)
        for change in StoreCommit(transaction, at: Version(1)).changes {
            guard case .put(let object) = change else { throw Unexpected(what: "\(change)") }
            stored.append(object)
        }
        core = ManagerCore(StoreSnapshot(revision: Version(1), objects: stored))
    }

    struct Unexpected: Error { let what: String }

    static func description(_ hostname: String, routes: [IPv4Prefix] = []) -> NodeDescription {
        var description = NodeDescription(
            hostname: hostname, architecture: "x86_64", nanoCPUs: 1, memoryBytes: 1, weftVersion: "test")
        description.routes = routes
        return description
    }

    mutating func feed(_ input: ControlInput) {
        core.enqueue(input)
        settle()
    }

    /// Lets the core go on until it has nothing to do.
    mutating func settle() {
        var proposal = perform(proceed())
        while let transaction = proposal {
            let revision = Version(replica.revision.index + 1)
            #expect(transaction.base == replica.revision)
            #expect(Set(transaction.writes.map(\.key)).count == transaction.writes.count)
            commits += 1
            largestCommit = max(largestCommit, transaction.writes.count)
            keep(StoreCommit(transaction, at: revision))
            resolve(.committed(revision))
            #expect(replica.revision == revision)
            proposal = perform(proceed())
        }
    }

    /// What the core proposes now.
    mutating func proposed() throws -> Transaction {
        guard let transaction = perform(proceed()) else { throw Unexpected(what: "no proposal") }
        return transaction
    }

    /// What the core says to an outcome.
    mutating func resolve(_ outcome: CommitOutcome) {
        let another = perform(core.resolve(outcome, now: now, wallClock: now + wallClockOffset))
        #expect(another == nil)
    }

    /// Whether the core waits for something.
    mutating func isWaiting() -> Bool { proceed().isEmpty }

    mutating func proceed() -> [ControlAction] {
        core.proceed(now: now, wallClock: now + wallClockOffset, random: &random)
    }

    /// Another manager commits these writes.
    mutating func another(_ writes: [StoreWrite]) {
        let commit = StoreCommit(Transaction(writes), at: Version(replica.revision.index + 3))
        keep(commit)
        core.follow(commit)
        settle()
    }

    func isConnected(_ node: NodeID) -> Bool { core.dispatcher.isConnected(node) }
    func reply(_ id: CommandID) -> Result<ControlReply, ControlError>? { replies[id] }

    /// Keeps what was said, and returns the transaction that is proposed.
    mutating func perform(_ actions: [ControlAction]) -> Transaction? {
        for (index, action) in actions.enumerated() {
            switch action {
            case .propose(let transaction):
                #expect(index == actions.count - 1)
                return transaction
            case .send(let node, let session, let message):
                // Only a goodbye may go to a session that was replaced.
                if case .goodbye = message {} else { #expect(session == sessions[node]) }
                sent.append((node, message))
            case .closeSession(let node, _, let reason): closed.append((node, reason))
            case .reply(let id, let result):
                #expect(replies[id] == nil)
                replies[id] = result
            case .giveUp(let input): givenUp.append(input)
            case .announce(let told): events += told
            case .note(let text): notes.append(text)
            }
        }
        return nil
    }

    private mutating func keep(_ commit: StoreCommit) {
        for change in commit.changes {
            stored.removeAll { $0.key == change.key }
            if case .put(let object) = change { stored.append(object) }
        }
    }

    mutating func run(_ command: ControlCommand) throws -> ControlReply {
        commands += 1
        feed(.command(CommandID(commands), command))
        return try #require(replies[CommandID(commands)]).get()
    }

    /// Runs a command that must be refused, without a change.
    mutating func refusal(_ command: ControlCommand) throws -> ControlError {
        let revision = replica.revision
        do {
            let reply = try run(command)
            throw Unexpected(what: "\(reply)")
        } catch let error as ControlError {
            #expect(replica.revision == revision)
            return error
        }
    }

    mutating func create(_ name: String, _ change: (inout NetworkSpec) throws -> Void = { _ in }) throws -> Network {
        var spec = NetworkSpec(name: name)
        spec.attachable = true
        try change(&spec)
        guard case .network(let network) = try run(.createNetwork(spec)) else { throw Unexpected(what: "reply") }
        return network
    }

    /// Admits a worker.
    mutating func admit(_ name: String) throws -> NodeID {
        let id = NodeID(name)
        guard case .node(let node) = try run(.admitNode(id, .worker, .active)) else { throw Unexpected(what: "reply") }
        #expect(node.state == .unknown && node.spec.role == .worker)
        return id
    }

    mutating func connect(_ node: NodeID, from source: IPv4Address? = nil) {
        sessionCount += 1
        sessions[node] = SessionID(sessionCount)
        feed(.nodeConnected(node, SessionID(sessionCount), address: source))
    }

    /// Connects a node, and says hello for it.
    mutating func hello(
        _ node: NodeID, vtep: String, from source: String? = nil, applied: Version = .none, endpoints: [Endpoint] = [],
        routes: [IPv4Prefix] = [], returnsAddresses: Bool = false
    ) throws {
        connect(node, from: try source.map(address))
        var description = Self.description("host-\(node)", routes: routes)
        if returnsAddresses { description.returnsAddresses = true }
        say(
            .hello(
                description, dataPathAddress: try address(vtep),
                appliedRevision: applied,
                endpoints: endpoints), as: node)
    }

    mutating func say(_ message: NodeMessage, as node: NodeID) {
        guard let session = sessions[node] else { return }
        feed(.nodeMessage(node, session, message))
    }

    /// Says it, and does not let the core go on.
    mutating func enqueue(_ message: NodeMessage, as node: NodeID) {
        guard let session = sessions[node] else { return }
        core.enqueue(.nodeMessage(node, session, message))
    }

    /// The store takes nothing until the core has given up what waits.
    mutating func failNext() {
        while perform(proceed()) != nil { _ = perform(core.resolve(.failed, now: now, wallClock: now)) }
    }

    mutating func disconnect(_ node: NodeID) {
        guard let session = sessions[node] else { return }
        feed(.nodeDisconnected(node, session))
    }

    /// The manager begins anew on what its store holds.
    mutating func restart() {
        core = ManagerCore(StoreSnapshot(revision: replica.revision, objects: stored))
        sessions = [:]
    }

    mutating func pass(_ duration: Duration) {
        now = now + duration
        feed(.tick)
    }

    /// What the node was told last.
    func assignments(_ node: NodeID) throws -> Assignments {
        for case (node, .assignments(let assignments)) in sent.reversed() { return assignments }
        throw Unexpected(what: "no assignments for \(node)")
    }

    func leases(_ node: NodeID, _ network: Network) -> [IPv4Prefix] {
        replica.leases.filter { $0.node == node && $0.network == network.id }.compactMap(\.block.v4)
    }

    /// An endpoint in a node's first block of a network.
    func endpoint(_ name: String, _ node: NodeID, _ network: Network, offset: UInt32 = 2) throws -> Endpoint {
        let block = try #require(leases(node, network).first)
        let ipv4 = try #require(block.network.advanced(by: offset))
        return Endpoint(
            id: EndpointID(name), network: network.id, node: node, sandbox: SandboxID("s-\(name)"), ipv4: ipv4,
            mac: MACAddress(forIPv4: ipv4), name: name)
    }
}
