import WeftAgentCore
import WeftControl
import WeftDNS
import WeftDatapath
import WeftModel
import WeftNet
import WeftNode

/// One host: its agent, what its disk holds, and its kernel. Disk, sandboxes and kernel outlive the agent.
struct SimNode {
    let id: NodeID
    var description: NodeDescription
    let vtep: IPv4Address
    /// Nil while weftd is down.
    var core: AgentCore<SimProcess, SimProcess, SeededGenerator>?
    let disk = SimDisk()
    /// The stream as this end sees it.
    var session: SessionID?
    /// Roots it trusts, and the one its certificate is from: on disk as soon as it has them.
    var roots: [String]
    /// The revision of its own store that a manager's host has read roots off.
    var ownRootsRevision = Version.none
    var issuer: String
    var sandboxes: Set<SandboxID> = []
    let kernel: SimKernelDoor
    /// The endpoints that the kernel was ever told of, as it was last.
    var told: [EndpointID: Endpoint] = [:]

    // What weftd has in memory beside its core.
    var datapath: NodeDatapath
    var names: NameTable
    var due = DueChanges()
    var isRoundPlanned = false
    var keys: SimKeys

    /// Requests that have no reply yet.
    var requests: Set<RequestID> = []
    /// What the engine asked for and has no endpoint for yet, by the request.
    var promises: [RequestID: Promise] = [:]
    /// Addresses for an endpoint to come; an engine asks for one after the other.
    struct Promise {
        let network: NetworkID
        var ipv4: IPv4Address?
        var ipv6: IPv6Address?
        /// A request for one of them is under way.
        var isWaiting = true
    }
    /// Counts the starts of weftd: what an earlier one had planned is void.
    var life = 0
    var isGone = false

    init(id: NodeID, description: NodeDescription, vtep: IPv4Address, roots: [String], issuer: String, seed: UInt64) {
        self.id = id
        self.description = description
        self.vtep = vtep
        self.roots = roots
        self.issuer = issuer
        kernel = SimKernelDoor(SimKernel(dataPathAddress: vtep), seed: seed)
        datapath = NodeDatapath(node: id, dataPathAddress: vtep)
        names = NameTable(node: id)
        keys = SimKeys(node: id, seed: seed)
    }
}

extension SimNode {
    var agent: NodeMachine? { core?.machine }

    /// The endpoints that have an interface, as the kernel was last told of them.
    var interfaces: [EndpointID: Endpoint] {
        var found: [EndpointID: Endpoint] = [:]
        for case let id? in kernel.kernel.state.endpoints.values.lazy.map(\.id) { found[id] = told[id] }
        return found
    }

    static func namespacePath(of sandbox: SandboxID) -> String { "/ns/\(sandbox)" }

    /// A new process of weftd: nothing in memory but what the disk holds.
    mutating func start(random: inout SeededGenerator) {
        life += 1
        let process = SimProcess(disk: disk, seed: random.next())
        core = AgentCore(
            machine: NodeMachine(id: id, description: description, dataPathAddress: vtep, saved: disk.saved),
            placements: Placements(interfaceIndexes: disk.interfaceIndexes), store: process, outlet: process,
            generator: SeededGenerator(seed: random.next()))
        datapath = NodeDatapath(node: id, dataPathAddress: vtep)
        names = NameTable(node: id)
        ownRootsRevision = .none
        due = DueChanges()
        isRoundPlanned = false
        keys = SimKeys(node: id, seed: random.next())
    }

    /// The end of the process, and of all that it had in memory.
    mutating func stop() {
        core = nil
        life += 1
        requests = []
    }

    // MARK: What it should come to

    /// What the data path should hold by all that the agent knows, made at once.
    func compiledAnew() -> DesiredState? {
        guard let core else { return nil }
        let whole = core.everything
        let kept = datapath.compilation
        return compile(
            NodeView(
                node: id, host: HostConfiguration(dataPathAddress: vtep, dataPathPort: kept.desired.host.dataPathPort),
                underlayMTU: kept.underlayMTU, attachments: whole.endpoints.values.compactMap(\.attachment),
                networks: whole.networks.values.compactMap(\.self), peers: whole.peers.values.compactMap(\.self),
                endpoints: whole.endpoints.values.compactMap(\.endpoint), services: whole.services.values.compactMap(\.self))
        ).settled
    }

    /// What names should be answered from, made at once.
    func namesAnew() -> NameTable? {
        guard let core else { return nil }
        var table = NameTable(node: id)
        table.apply(core.everything)
        return table
    }
}

extension DesiredState {
    /// Whether an engine waits for an endpoint is of no matter once it is there.
    var settled: DesiredState {
        var settled = self
        for (id, endpoint) in endpoints where endpoint.placement == .engine(isNew: true) {
            settled.endpoints[id]?.placement = .engine(isNew: false)
        }
        return settled
    }
}

/// The way to a kernel that refuses something now and then, and may lose who asks in the middle.
final class SimKernelDoor: Datapath {
    var kernel: SimKernel
    private var random: SeededGenerator
    private var isStormy = false
    /// Who asked has died: of what it still had to do nothing is done.
    private(set) var isDeserted = false
    private var refusesAll = false

    private struct OutOfOrder: Error, CustomStringConvertible { var description: String { "the data path is out of order" } }

    init(_ kernel: SimKernel, seed: UInt64) {
        self.kernel = kernel
        random = SeededGenerator(seed: seed)
    }

    func begin(isStormy: Bool) {
        self.isStormy = isStormy
        isDeserted = false
        refusesAll = isStormy && random.chance(1)
    }

    func observe(for host: HostConfiguration) throws -> ObservedState {
        if isStormy, random.chance(1) { throw OutOfOrder() }
        return kernel.observe(for: host)
    }

    func apply(_ operations: [DatapathOperation]) -> [DatapathFailure] { kernel.apply(operations, refusal: refusal) }

    private func refusal(_ operation: DatapathOperation) -> String? {
        guard isStormy else { return nil }
        if Int.random(in: 0..<3000, using: &random) == 0 { isDeserted = true }
        if isDeserted { return "nobody asks any more" }
        if refusesAll { return "the data path is out of order" }
        let chance = if case .createEndpoint = operation { 200 } else { 20 }
        return Int.random(in: 0..<10_000, using: &random) < chance ? "refused" : nil
    }
}
