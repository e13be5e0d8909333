import Synchronization
import Testing
import WeftAgentCore
import WeftDNS
import WeftDatapath
import WeftModel
import WeftNet
import WeftNode
import WeftSim
import WeftWire

/// A disk in memory, which may be full.
final class MemoryDisk: AgentStore, Sendable {
    struct Full: Error, CustomStringConvertible { var description: String { "the disk is full" } }

    private struct State {
        var isFull = false
        var saved = SavedNode()
        var interfaceIndexes: [EndpointID: Int] = [:]
    }
    private let state = Mutex(State())

    func setFull(_ isFull: Bool) { state.withLock { $0.isFull = isFull } }
    var saved: SavedNode { state.withLock { $0.saved } }
    var interfaceIndexes: [EndpointID: Int] { state.withLock { $0.interfaceIndexes } }

    func saveOwn(_ change: SavedNode.OwnChange, interfaceIndexes: [EndpointID: Int]) throws {
        try state.withLock { state in
            if state.isFull { throw Full() }
            state.saved.apply(change)
            state.interfaceIndexes.merge(interfaceIndexes) { _, new in new }
        }
    }

    func saveView(_ change: Assignments) throws {
        try state.withLock { state in
            if state.isFull { throw Full() }
            state.saved.apply(change)
        }
    }
}

/// A kernel in memory, which may refuse everything.
final class MemoryKernel: Datapath, Sendable {
    private let kernel: Mutex<SimKernel>
    private let isRefusing = Mutex(false)

    init() { kernel = Mutex(SimKernel(dataPathAddress: TestNode.vtep)) }

    func setRefusing(_ refuses: Bool) { isRefusing.withLock { $0 = refuses } }
    func change<Value: Sendable>(_ body: (inout SimKernel) -> Value) -> Value { kernel.withLock { body(&$0) } }
    var endpoints: Set<EndpointID> { kernel.withLock { $0.endpoints } }

    func observe(for host: HostConfiguration) throws -> ObservedState { kernel.withLock { $0.observe(for: host) } }
    func apply(_ operations: [DatapathOperation]) -> [DatapathFailure] {
        let refuses = isRefusing.withLock { $0 }
        return kernel.withLock { $0.apply(operations, refusal: { _ in refuses ? "out of order" : nil }) }
    }
}

/// What the agent said, in its order.
final class Heard: AgentOutlet {
    var messages: [NodeMessage] = []
    var replies: [RequestID: Result<Endpoint, AttachError>] = [:]
    var notes: [AgentNote] = []
    /// Rounds asked for since they were last taken.
    var rounds = 0
    var due = DueChanges()

    func send(_ message: NodeMessage) { messages.append(message) }
    func reply(_ request: RequestID, _ result: Result<Endpoint, AttachError>) { replies[request] = result }
    func replyReservation(_ request: RequestID, _ result: Result<IPAddress, AttachError>) {}
    func reconcile(_ change: ViewChange, generation: Generation?, observe: Bool) {
        due.add(change, generation: generation, observe: observe)
        if generation != nil { rounds += 1 }
    }
    var assignments: [AssignedTasks] = []
    var followed: [RequestID] = []
    func replyFollowed(_ request: RequestID) { followed.append(request) }
    func assigned(_ tasks: AssignedTasks) { assignments.append(tasks) }
    var keys: [KeyNews] = []
    func keysChanged(_ news: KeyNews) { keys.append(news) }
    func lost(_ endpoints: [Endpoint], reason: String) {}
    func dismissed(reason: String) {}
    func note(_ note: AgentNote) { notes.append(note) }

    var told: [EndpointID] {
        messages.flatMap { message -> [EndpointID] in
            if case .endpointsChanged(let added, _) = message { added.map(\.id) } else { [] }
        }
    }
}

struct Numbers: RandomNumberGenerator, Sendable {
    var state: UInt64 = 1
    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ state >> 31
    }
}

/// A node with all that is around its agent's core, in memory; nothing happens by itself.
struct TestNode {
    static let vtep = IPv4Address(rawValue: 0xac1e_0001)

    let disk: MemoryDisk
    let kernel: MemoryKernel
    let heard = Heard()
    var core: AgentCore<MemoryDisk, Heard, Numbers>
    var datapath = NodeDatapath(node: NodeID("n1"), dataPathAddress: TestNode.vtep)
    var names = NameTable(node: NodeID("n1"))
    var now = Instant(nanoseconds: 1_700_000_000_000_000_000)
    private var nextRequest: UInt64 = 1

    /// Starts on what disk and kernel hold.
    init(disk: MemoryDisk = MemoryDisk(), kernel: MemoryKernel = MemoryKernel()) {
        self.disk = disk
        self.kernel = kernel
        core = AgentCore(
            machine: NodeMachine(
                id: NodeID("n1"), description: Self.description, dataPathAddress: Self.vtep, saved: disk.saved),
            placements: Placements(interfaceIndexes: disk.interfaceIndexes), store: disk, outlet: heard,
            generator: Numbers())
        core.start()
    }

    static let description = NodeDescription(
        hostname: "h1", architecture: "x86_64", nanoCPUs: 1, memoryBytes: 1, weftVersion: "test")

    mutating func feed(_ input: AgentInput) { core.process(input, now: now) }

    /// A second passes.
    mutating func tick() {
        now = now + .seconds(1)
        feed(.tick)
    }

    /// Kernel and names catch up, and the agent hears of it.
    @discardableResult
    mutating func round() -> ReconcileOutcome? {
        let (change, request) = heard.due.take()
        heard.rounds = 0
        let outcome = request.map { datapath.reconcile($0, with: kernel) { .ethernet } }
        names.apply(change)
        if let outcome { feed(.reconciled(outcome)) }
        return outcome
    }

    mutating func begin(_ sandboxes: [String]) throws {
        let paths = sandboxes.map { (SandboxID($0), "/ns/\($0)") }
        kernel.change { $0.namespaces = Set(paths.map(\.1)) }
        feed(.sandboxesFound(Dictionary(paths) { first, _ in first }))
        feed(.node(.sessionOpened))
        feed(.node(.received(.assignments(try Self.assignments()))))
        round()
    }

    mutating func attach(_ name: String) -> RequestID {
        let id = RequestID(nextRequest)
        nextRequest += 1
        feed(.node(.attach(id, AttachRequest(EndpointSpec(network: NetworkID("id-net"), name: name), sandbox: SandboxID(name)))))
        return id
    }

    mutating func detach(_ endpoint: EndpointID) -> RequestID {
        let id = RequestID(nextRequest)
        nextRequest += 1
        feed(.node(.detach(id, endpoint)))
        return id
    }

    func resolves(_ name: String, for asker: Endpoint) throws -> [IPAddress]? {
        let view = try #require(names.view(from: asker.ipv4))
        return names.addresses(of: try #require(DNSName(name)), in: view)
    }

    /// A network, this node's lease of it, and another node with an endpoint there.
    static func assignments() throws -> Assignments {
        var all = Assignments(isFull: true, baseRevision: .none, revision: Version(10))
        all.cluster = ClusterView(id: ClusterID("c"), dataPathPort: 4789, heartbeatSeconds: 5, rootCertificatesPEM: "PEM")
        var spec = NetworkSpec(name: "net")
        spec.attachable = true
        let subnet = try #require(IPv4Prefix("10.0.1.0/24"))
        let network = Network(
            id: NetworkID("id-net"), createdAt: Instant(nanoseconds: 0), spec: spec, vni: try #require(VNI(4097)),
            subnet: subnet, gateway: try #require(subnet.network.advanced(by: 1)))
        all.networks = [network]
        all.leases = [
            AddressLease(network: network.id, block: try #require(AnyIPPrefix("10.0.1.0/28")), node: NodeID("n1"))
        ]
        all.peers = ["n1", "n2"].enumerated().map { number, id in
            Peer(
                id: NodeID(id), hostname: id, state: .ready, dataPathAddress: IPv4Address(rawValue: vtep.rawValue + UInt32(number)),
                managerAddress: nil)
        }
        let far = try #require(IPv4Address("10.0.1.200"))
        all.endpoints = [
            Endpoint(
                id: EndpointID("far"), network: network.id, node: NodeID("n2"), sandbox: SandboxID("far"), ipv4: far,
                mac: MACAddress(forIPv4: far), name: "far")
        ]
        return all
    }
}
