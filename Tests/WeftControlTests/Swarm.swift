import Testing
import WeftControl
import WeftModel
import WeftNet

func prefix(_ text: String) throws -> IPv4Prefix { try #require(IPv4Prefix(text)) }
func address(_ text: String) throws -> IPv4Address { try #require(IPv4Address(text)) }

/// A manager's machine with a store that accepts what fits, and what it said.
struct Swarm {
    var machine: ControlMachine
    var now = Instant(nanoseconds: 1_700_000_000_000_000_000)
    /// By how much the clock on the wall differs.
    var wallClockOffset = Duration.zero
    var random = Steps()
    var sent: [(node: NodeID, message: ManagerMessage)] = []
    var closed: [(node: NodeID, reason: String)] = []
    var notes: [String] = []
    var events: [ClusterEvent] = []
    var commits = 0
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

    init(routes: [IPv4Prefix] = [], spec: ClusterSpec = ClusterSpec()) throws {
        var node = Node(id: Self.first, createdAt: now, spec: NodeSpec(role: .manager))
        node.managerAddress = "172.30.0.1:2377"
        node.description = Self.description("h1", routes: routes)
        let cluster = Cluster(
            id: ClusterID("cluster"), createdAt: now, spec: spec, rootCertificatePEM: "PEM",
            workerTokenSecret: Secret("w"),
            managerTokenSecret: Secret("m"))
        let transaction = try ControlMachine.bootstrap(cluster: cluster, manager: node, now: now, random: &random)
        var objects: [StoredObject] = []
        for write in transaction.writes {
            guard case .put(var object, expecting: .none) = write else { throw Unexpected(what: "\(write)") }
            object.version = Version(1)
            objects.append(object)
        }
        machine = ControlMachine(snapshot: StoreSnapshot(revision: Version(1), objects: objects))
        stored = objects
    }

    struct Unexpected: Error { let what: String }

    static func description(_ hostname: String, routes: [IPv4Prefix] = []) -> NodeDescription {
        var description = NodeDescription(
            hostname: hostname, architecture: "x86_64", nanoCPUs: 1, memoryBytes: 1, weftVersion: "test")
        description.routes = routes
        return description
    }

    mutating func feed(_ input: ControlInput) {
        let before = machine.revision
        let actions = machine.handle(input, now: now, wallClock: now + wallClockOffset, random: &random)
        for (index, action) in actions.enumerated() {
            switch action {
            case .commit(let transaction):
                #expect(index == 0 && machine.revision.index == before.index + 1)
                #expect(Set(transaction.writes.map(\.key)).count == transaction.writes.count)
                commits += 1
                keep(transaction)
            case .send(let node, let session, let message):
                // Only a goodbye may go to a session that was replaced.
                if case .goodbye = message {} else { #expect(session == sessions[node]) }
                sent.append((node, message))
            case .closeSession(let node, _, let reason): closed.append((node, reason))
            case .reply(let id, let result): replies[id] = result
            case .announce(let told): events += told
            case .note(let text): notes.append(text)
            }
        }
        if !actions.contains(where: { if case .commit = $0 { true } else { false } }) {
            #expect(machine.revision == before)
        }
    }

    private mutating func keep(_ transaction: Transaction) {
        for write in transaction.writes {
            stored.removeAll { $0.key == write.key }
            guard case .put(var object, _) = write else { continue }
            object.version = machine.revision
            stored.append(object)
        }
    }

    mutating func run(_ command: ControlCommand) throws -> ControlReply {
        commands += 1
        feed(.command(CommandID(commands), command))
        return try #require(replies[CommandID(commands)]).get()
    }

    /// Runs a command that must be refused, without a change.
    mutating func refusal(_ command: ControlCommand) throws -> ControlError {
        let revision = machine.revision
        do {
            let reply = try run(command)
            throw Unexpected(what: "\(reply)")
        } catch let error as ControlError {
            #expect(machine.revision == revision)
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

    mutating func disconnect(_ node: NodeID) {
        guard let session = sessions[node] else { return }
        feed(.nodeDisconnected(node, session))
    }

    /// The manager begins anew on what its store holds.
    mutating func restart() {
        machine = ControlMachine(snapshot: StoreSnapshot(revision: machine.revision, objects: stored))
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
        machine.leases.filter { $0.node == node && $0.network == network.id }.compactMap(\.block.v4)
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
