import Foundation
import Testing
import WeftAgentCore
import WeftDNS
import WeftDatapath
import WeftModel
import WeftNet
import WeftNode
import WeftSim

/// A node of a swarm with 50 others and 4,000 endpoints, 40 of them its own.
private struct LargeNode {
    private struct Nowhere: AgentStore {
        func saveOwn(_ change: SavedNode.OwnChange, interfaceIndexes: [EndpointID: Int]) throws {}
        func saveView(_ change: Assignments) throws {}
    }

    private let heard = Heard()
    private var core: AgentCore<Nowhere, Heard, Numbers>
    private var datapath = NodeDatapath(node: NodeID("node0"), dataPathAddress: TestNode.vtep)
    private var names = NameTable(node: NodeID("node0"))
    private let kernel = MemoryKernel()
    private var revision: Int64 = 1

    init() throws {
        var saved = SavedNode()
        saved.view = try Self.assignments()
        saved.own.endpoints = try (0..<40).map { try Self.endpoint($0, on: 0) }
        saved.own.leases = [
            AddressLease(network: NetworkID("net"), block: try #require(AnyIPPrefix("10.1.0.0/25")), node: NodeID("node0"))
        ]
        core = AgentCore(
            machine: NodeMachine(
                id: NodeID("node0"), description: TestNode.description, dataPathAddress: TestNode.vtep, saved: saved),
            placements: Placements(), store: Nowhere(), outlet: heard, generator: Numbers())
        core.start()
        let paths = saved.own.endpoints.map { ($0.sandbox, "/ns/\($0.sandbox)") }
        kernel.change { $0.namespaces = Set(paths.map(\.1)) }
        core.process(.sandboxesFound(Dictionary(paths) { first, _ in first }), now: Instant(nanoseconds: 1))
        core.process(.node(.sessionOpened), now: Instant(nanoseconds: 2))
        catchUp(heard.due.take())
        receive(try Self.assignments())
        #expect(kernel.endpoints.count == 40)
    }

    private static func endpoint(_ number: Int, on node: Int) throws -> Endpoint {
        let address = try #require(IPv4Address("10.1.0.0").map { IPv4Address(rawValue: $0.rawValue + UInt32(2 + number)) })
        return Endpoint(
            id: EndpointID("endpoint-\(number)"), network: NetworkID("net"), node: NodeID("node\(node)"),
            sandbox: SandboxID("sandbox-\(number)"), ipv4: address, mac: MACAddress(forIPv4: address), name: "name-\(number)",
            aliases: ["service-\(number % 100)"])
    }

    private static func peer(_ number: Int, _ state: NodeState = .ready) -> Peer {
        Peer(
            id: NodeID("node\(number)"), hostname: "h\(number)", state: state,
            dataPathAddress: IPv4Address(rawValue: TestNode.vtep.rawValue + UInt32(number)), managerAddress: nil)
    }

    private static func assignments() throws -> Assignments {
        var all = Assignments(isFull: true, baseRevision: .none, revision: Version(1))
        all.cluster = ClusterView(id: ClusterID("c"), dataPathPort: 4789, heartbeatSeconds: 5, rootCertificatesPEM: "PEM")
        let subnet = try #require(IPv4Prefix("10.1.0.0/16"))
        all.networks = [
            Network(
                id: NetworkID("net"), createdAt: Instant(nanoseconds: 0), spec: NetworkSpec(name: "net"),
                vni: try #require(VNI(4097)), subnet: subnet, gateway: try #require(subnet.network.advanced(by: 1)))
        ]
        all.leases = [
            AddressLease(network: NetworkID("net"), block: try #require(AnyIPPrefix("10.1.0.0/25")), node: NodeID("node0"))
        ]
        all.peers = (0...50).map { peer($0) }
        all.endpoints = try (40..<4000).map { try endpoint($0, on: 1 + $0 % 50) }
        return all
    }

    private mutating func catchUp(_ due: (names: ViewChange, request: ReconcileRequest?)) {
        if let request = due.request { _ = datapath.reconcile(request, with: kernel) { .ethernet } }
        names.apply(due.names)
    }

    private mutating func receive(_ assignments: Assignments) {
        core.process(.node(.received(.assignments(assignments))), now: Instant(nanoseconds: 3))
        catchUp(heard.due.take())
    }

    /// One node's state is another; what that costs down to kernel and names.
    mutating func setState(_ state: NodeState, of number: Int) {
        var delta = Assignments(isFull: false, baseRevision: Version(revision), revision: Version(revision + 1))
        revision += 1
        delta.peers = [Self.peer(number, state)]
        receive(delta)
    }

    /// All that the node knows, given to kernel and names as if nothing of it were known to be as before.
    mutating func tellEverything() {
        heard.due.add(core.everything, generation: core.machine.generation, observe: false)
        catchUp(heard.due.take())
    }
}

@Suite("What a change costs", .serialized)
struct ChangeCostTests {
    /// Prints; nothing is asserted, as machines differ. `WEFT_MEASURE=1 swift test -c release --filter ChangeCostTests`.
    @Test(
        "a peer that goes down, among 50 peers and 4,000 endpoints",
        .enabled(if: ProcessInfo.processInfo.environment["WEFT_MEASURE"] != nil))
    func peerDown() throws {
        var node = try LargeNode()
        let clock = ContinuousClock()
        var parts: [Duration] = []
        var whole: [Duration] = []
        for round in 0..<21 {
            parts.append(clock.measure { node.setState(round % 2 == 0 ? .down : .ready, of: 7) })
            whole.append(clock.measure { node.tellEverything() })
        }
        print("by its parts: median \(parts.sorted()[10]), worst \(parts.max() ?? .zero)")
        print("as a whole: median \(whole.sorted()[10]), worst \(whole.max() ?? .zero)")
    }
}
