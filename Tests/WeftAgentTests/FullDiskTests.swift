import Logging
import Synchronization
import Testing
import WeftAgent
import WeftAgentCore
import WeftModel
import WeftNet
import WeftNode

/// The agent on a disk that takes nothing for a while, with a kernel that does all that is asked.
@Suite("An agent on a full disk", .timeLimit(.minutes(5)))
struct FullDiskTests {
    private final class Disk: AgentStore, Sendable {
        struct Full: Error, CustomStringConvertible { var description: String { "the disk is full" } }
        private struct State {
            var isFull = false
            var saved = SavedNode()
        }
        private let state = Mutex(State())

        func setFull(_ isFull: Bool) { state.withLock { $0.isFull = isFull } }
        var endpoints: [Endpoint] { state.withLock { $0.saved.own.endpoints } }

        func saveOwn(_ change: SavedNode.OwnChange, interfaceIndexes: [EndpointID: Int]) throws {
            try state.withLock { state in
                if state.isFull { throw Full() }
                state.saved.apply(change)
            }
        }
        func saveView(_ change: Assignments) throws {
            try state.withLock { state in
                if state.isFull { throw Full() }
                state.saved.apply(change)
            }
        }
    }

    private struct Kernel: Reconciling {
        func reconcile(_ request: ReconcileRequest) -> ReconcileOutcome { ReconcileOutcome(generation: request.generation) }
    }

    private static func assignments() throws -> Assignments {
        var all = Assignments(isFull: true, baseRevision: .none, revision: Version(10))
        all.cluster = ClusterView(id: ClusterID("c"), dataPathPort: 4789, heartbeatSeconds: 5, rootCertificatesPEM: "PEM")
        var spec = NetworkSpec(name: "net")
        spec.attachable = true
        let subnet = try #require(IPv4Prefix("10.0.1.0/24"))
        let network = Network(
            id: NetworkID("id-net"), createdAt: Instant(nanoseconds: 0), spec: spec, vni: try #require(VNI(4097)), subnet: subnet,
            gateway: try #require(subnet.network.advanced(by: 1)))
        all.networks = [network]
        all.leases = [AddressLease(network: network.id, block: try #require(AnyIPPrefix("10.0.1.0/28")), node: NodeID("n1"))]
        return all
    }

    private static func agent(on disk: Disk) throws -> Agent {
        let description = NodeDescription(hostname: "h1", architecture: "x86_64", nanoCPUs: 1, memoryBytes: 1, weftVersion: "test")
        return Agent(
            machine: NodeMachine(id: NodeID("n1"), description: description, dataPathAddress: try #require(IPv4Address("172.30.0.1"))),
            placements: Placements(), store: disk, kernel: Kernel(), names: { _ in }, now: { Instant(nanoseconds: 1_700_000_000_000_000_000) },
            tasks: { _ in }, lost: { _, _ in }, dismissed: { _ in }, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    @Test("An attach fails with the reason, nothing is told of it, and the next one works when there is room")
    func attach() async throws {
        let disk = Disk()
        let told = Mutex<[EndpointID]>([])
        let agent = try Self.agent(on: disk)
        let running = Task { await agent.run() }
        agent.sessionOpened { message in
            if case .endpointsChanged(let added, _) = message { told.withLock { $0 += added.map(\.id) } }
            return true
        }
        #expect(agent.received(.assignments(try Self.assignments())))
        agent.sandboxesFound([SandboxID("s1"): "/proc/1/ns/net", SandboxID("s2"): "/proc/1/ns/net"])
        let kept = try await agent.attach(AttachRequest(EndpointSpec(network: NetworkID("id-net"), name: "kept"), sandbox: SandboxID("s1")))

        disk.setFull(true)
        let error = await #expect(throws: AttachError.self) {
            try await agent.attach(AttachRequest(EndpointSpec(network: NetworkID("id-net"), name: "lost"), sandbox: SandboxID("s2")))
        }
        #expect(error == .notSaved("the disk is full"))
        #expect(told.withLock { $0 } == [kept.id])
        #expect(try await agent.read { $0.ownEndpoints.map(\.id) } == [kept.id])

        disk.setFull(false)
        let late = try await agent.attach(AttachRequest(EndpointSpec(network: NetworkID("id-net"), name: "late"), sandbox: SandboxID("s2")))
        #expect(Set(disk.endpoints.map(\.id)) == [kept.id, late.id])
        agent.shutDown()
        await running.value
    }

    @Test("Addresses that a manager wants stay this node's, and it is told so instead of nothing")
    func recall() async throws {
        let disk = Disk()
        let told = Mutex<[NodeMessage]>([])
        let agent = try Self.agent(on: disk)
        let running = Task { await agent.run() }
        agent.sessionOpened { message in
            told.withLock { $0.append(message) }
            return true
        }
        #expect(agent.received(.assignments(try Self.assignments())))
        let leased = try await agent.read { $0.usableLeases.map(\.block) }
        disk.setFull(true)
        #expect(agent.received(.addressesWanted(7, SubnetID(NetworkID("id-net"), .v4), address: nil)))
        #expect(try await agent.read { $0.usableLeases.map(\.block) } == leased)
        let answers = told.withLock { $0 }.compactMap { message -> RequestNumber? in
            switch message {
            case .addressesKept(let number, _): number
            case .addressesReturned: 0
            default: nil
            }
        }
        #expect(answers == [7])
        agent.shutDown()
        await running.value
    }
}
