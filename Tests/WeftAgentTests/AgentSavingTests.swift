import Logging
import Synchronization
import Testing
import WeftAgent
import WeftAgentCore
import WeftModel
import WeftNet
import WeftNode

/// What a crash may find: the kernel is never ahead of the disk.
@Suite(.timeLimit(.minutes(5)))
struct AgentSavingTests {
    @Test("what the manager said is saved before the kernel hears of it")
    func order() async throws {
        let disk = Disk()
        let (heard, hear) = AsyncStream<[EndpointID: Bool]>.makeStream()
        let description = NodeDescription(
            hostname: "n1", architecture: "x86_64", nanoCPUs: 1, memoryBytes: 1, weftVersion: "1")
        let agent = Agent(
            machine: NodeMachine(
                id: NodeID("n1"), description: description, dataPathAddress: IPv4Address(rawValue: 0xac1e_0001)),
            placements: Placements(), store: disk, kernel: Kernel(disk: disk, hear: hear), names: { _ in },
            now: { Instant(nanoseconds: 1) }, tasks: { _ in }, lost: { _, _ in }, dismissed: { _ in }, logger: Logger(label: "test"))
        let running = Task { await agent.run() }
        agent.sandboxesFound([:])
        agent.sessionOpened { _ in true }
        #expect(agent.received(.assignments(try Self.assignments(revision: 1, endpoints: ["a", "b"]))))
        #expect(agent.received(.assignments(try Self.assignments(revision: 2, endpoints: ["c"]))))

        var known: Set<EndpointID> = []
        for await endpoints in heard {
            for (id, isSaved) in endpoints { #expect(isSaved, "\(id) reached the kernel first") }
            known.formUnion(endpoints.keys)
            if known.count == 3 { break }
        }
        agent.shutDown()
        await running.value
    }

    /// A network with endpoints on another node; the first revision is a full set.
    private static func assignments(revision: Int64, endpoints: [String]) throws -> Assignments {
        var assignments = Assignments(
            isFull: revision == 1, baseRevision: Version(revision - 1), revision: Version(revision))
        let subnet = try #require(IPv4Prefix("10.1.0.0/24"))
        if revision == 1 {
            assignments.networks = [
                Network(
                    id: NetworkID("net"), createdAt: Instant(nanoseconds: 0), spec: NetworkSpec(name: "net"),
                    vni: try #require(VNI(4096)), subnet: subnet, gateway: try #require(IPv4Address("10.1.0.1")))
            ]
            assignments.peers = ["n1", "n2"].map {
                Peer(id: NodeID($0), hostname: $0, state: .ready, dataPathAddress: nil, managerAddress: nil)
            }
        }
        assignments.endpoints = try endpoints.enumerated().map { number, id in
            let address = try #require(subnet.network.advanced(by: UInt32(10 * Int(revision) + number)))
            return Endpoint(
                id: EndpointID(id), network: NetworkID("net"), node: NodeID("n2"), sandbox: SandboxID(id), ipv4: address,
                mac: MACAddress(forIPv4: address), name: id)
        }
        return assignments
    }
}

/// Holds what was saved.
private final class Disk: AgentStore, Sendable {
    private let saved = Mutex<Set<EndpointID>>([])

    func has(_ id: EndpointID) -> Bool { saved.withLock { $0.contains(id) } }
    func saveOwn(_ change: SavedNode.OwnChange, interfaceIndexes: [EndpointID: Int]) throws {}
    func saveView(_ change: Assignments) throws { saved.withLock { $0.formUnion(change.endpoints.map(\.id)) } }
}

/// Tells what it heard of, and whether that was saved by then.
private struct Kernel: Reconciling {
    let disk: Disk
    let hear: AsyncStream<[EndpointID: Bool]>.Continuation

    func reconcile(_ request: ReconcileRequest) -> ReconcileOutcome {
        hear.yield(Dictionary(uniqueKeysWithValues: request.change.endpoints.keys.map { ($0, disk.has($0)) }))
        return ReconcileOutcome(generation: request.generation)
    }
}
