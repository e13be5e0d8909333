import Testing
import WeftModel
import WeftNet
import WeftNode

func prefix(_ text: String) throws -> IPv4Prefix { try #require(IPv4Prefix(text)) }
func address(_ text: String) throws -> IPv4Address { try #require(IPv4Address(text)) }

/// An agent's machine, what its disk holds, and what it said.
struct Host {
    static let id = NodeID("n1")
    static let peer = NodeID("n2")

    var machine: NodeMachine
    var now = Instant(nanoseconds: 1_700_000_000_000_000_000)
    var random = Steps()
    var disk = SavedNode()
    var sent: [NodeMessage] = []
    var replies: [RequestID: Result<Endpoint, AttachError>] = [:]
    var reservations: [RequestID: Result<IPAddress, AttachError>] = [:]
    var lost: [Endpoint] = []
    var dismissal: String?
    var followed: [RequestID] = []
    var assignments: [AssignedTasks?] = []
    var keys: [KeyNews?] = []
    /// The newest generation that the data path has to reach.
    var generation: Generation?
    var namesChanged = 0
    private var requests: UInt64 = 0

    struct Unexpected: Error { let what: String }

    struct Steps: RandomNumberGenerator {
        var state: UInt64 = 11
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ state >> 29
        }
    }

    init(saved: SavedNode = SavedNode()) throws {
        disk = saved
        machine = NodeMachine(
            id: Self.id,
            description: NodeDescription(
                hostname: "h1", architecture: "x86_64", nanoCPUs: 1, memoryBytes: 1, weftVersion: "test"),
            dataPathAddress: try address("172.30.0.1"), saved: saved)
    }

    mutating func feed(_ input: NodeInput) {
        for action in machine.handle(input, now: now, random: &random) {
            switch action {
            case .persist(let urgent): if urgent { save() }
            case .send(let message): sent.append(message)
            case .reconcile(let generation): self.generation = generation
            case .namesChanged: namesChanged += 1
            case .reply(let id, let result):
                #expect(replies[id] == nil, "a second reply")
                replies[id] = result
            case .reserved(let id, let result):
                #expect(reservations[id] == nil, "a second reply")
                reservations[id] = result
            case .followed(let id):
                #expect(!followed.contains(id), "a second reply")
                followed.append(id)
            case .keysChanged: keys.append(machine.keyNews)
            case .tasksAssigned: assignments.append(machine.assignedTasks)
            case .endpointsLost(let endpoints, _): lost += endpoints
            case .dismissed(let reason): dismissal = reason
            }
        }
    }

    /// Writes what is not on disk yet.
    mutating func save() {
        disk.apply(machine.takeOwnChange())
        disk.apply(machine.takeViewChange())
        #expect(disk == machine.saved)
    }

    static func network(_ name: String, _ subnet: String, vni: UInt32, attachable: Bool = true) throws -> Network {
        var spec = NetworkSpec(name: name)
        spec.attachable = attachable
        let subnet = try prefix(subnet)
        return Network(
            id: NetworkID("id-\(name)"), createdAt: Instant(nanoseconds: 0), spec: spec, vni: try #require(VNI(vni)),
            subnet: subnet,
            gateway: try #require(subnet.network.advanced(by: 1)))
    }

    static func lease(_ network: String, _ block: String, node: NodeID = id) throws -> AddressLease {
        AddressLease(network: NetworkID("id-\(network)"), block: try #require(AnyIPPrefix(block)), node: node)
    }

    /// The manager's full set: two networks, two nodes, one block of 10.0.1.0/24.
    static func everything(revision: Int64 = 10) throws -> Assignments {
        var all = Assignments(isFull: true, baseRevision: .none, revision: Version(revision))
        all.cluster = ClusterView(
            id: ClusterID("c"), dataPathPort: 4789, heartbeatSeconds: 5, rootCertificatesPEM: "PEM")
        all.networks = [
            try network("net", "10.0.1.0/24", vni: 4097),
            try network("ingress", "10.0.0.0/24", vni: 4096, attachable: false),
        ]
        all.peers = [
            Peer(
                id: id, hostname: "h1", state: .ready, dataPathAddress: try address("172.30.0.1"), managerAddress: nil),
            Peer(
                id: peer, hostname: "h2", state: .ready, dataPathAddress: try address("172.30.0.2"), managerAddress: nil
            ),
        ]
        all.leases = [try lease("net", "10.0.1.0/29")]
        return all
    }

    /// A host in a session that was told everything.
    static func synchronised() throws -> Host {
        var host = try Host()
        host.feed(.sessionOpened)
        host.feed(.received(.assignments(try everything())))
        #expect(host.machine.isSynchronised)
        host.sent = []
        return host
    }

    mutating func delta(_ revision: Int64, _ change: (inout Assignments) throws -> Void) throws {
        var delta = Assignments(isFull: false, baseRevision: machine.appliedRevision, revision: Version(revision))
        try change(&delta)
        feed(.received(.assignments(delta)))
    }

    @discardableResult
    mutating func attach(_ network: String, _ name: String, _ change: (inout AttachRequest) throws -> Void = { _ in })
        throws -> RequestID
    {
        requests += 1
        var request = AttachRequest(
            EndpointSpec(network: NetworkID("id-\(network)"), name: name), sandbox: SandboxID("s-\(name)"))
        try change(&request)
        feed(.attach(RequestID(requests), request))
        return RequestID(requests)
    }

    /// The data path did all that was asked.
    mutating func applied() {
        if let generation { feed(.datapathApplied(generation)) }
    }

    mutating func attached(_ network: String, _ name: String) throws -> Endpoint {
        let id = try attach(network, name)
        applied()
        return try #require(replies[id]).get()
    }

    /// Attaches, and gives the error that comes at once.
    mutating func refusal(_ network: String, _ name: String, _ change: (inout AttachRequest) throws -> Void = { _ in })
        throws -> AttachError
    {
        let id = try attach(network, name, change)
        return try error(id)
    }

    func error(_ id: RequestID) throws -> AttachError {
        guard case .failure(let error)? = replies[id] else {
            throw Unexpected(what: "\(String(describing: replies[id]))")
        }
        return error
    }

    /// The number of the lease request that was sent last.
    func leaseRequest() throws -> RequestNumber {
        for case .leaseRequest(let number, _, _, _) in sent.reversed() { return number }
        throw Unexpected(what: "no lease request")
    }
}
