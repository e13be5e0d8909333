import Logging
import TestSupport
import Testing
import WeftAgent
import WeftAgentCore
import WeftModel
import WeftNet
import WeftNode
import WeftSim

@Suite("The agent, with disk and kernel in memory", .timeLimit(.minutes(5)))
struct AgentTests {
    private static func agent(on disk: MemoryDisk, _ kernel: MemoryKernel) -> Agent {
        let reconciler = KernelReconciler(kernel: kernel, node: NodeID("n1"), dataPathAddress: TestNode.vtep) { .ethernet }
        return Agent(
            machine: NodeMachine(
                id: NodeID("n1"), description: TestNode.description, dataPathAddress: TestNode.vtep, saved: disk.saved),
            placements: Placements(interfaceIndexes: disk.interfaceIndexes), store: disk, kernel: reconciler,
            names: { _ in }, now: { Instant(nanoseconds: 1_700_000_000_000_000_000) }, tasks: { _ in }, lost: { _, _ in },
            dismissed: { _ in }, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private static func begin(_ agent: Agent, _ kernel: MemoryKernel, _ sandboxes: [String]) throws {
        kernel.change { $0.namespaces = Set(sandboxes.map { "/ns/\($0)" }) }
        let paths = sandboxes.map { (SandboxID($0), "/ns/\($0)") }
        agent.sandboxesFound(Dictionary(paths) { first, _ in first })
        agent.sessionOpened { _ in true }
        #expect(agent.received(.assignments(try TestNode.assignments())))
    }

    @Test("ten attaches at once are in the kernel when they are confirmed, and come back after a restart")
    func attaches() async throws {
        let (disk, kernel) = (MemoryDisk(), MemoryKernel())
        let agent = Self.agent(on: disk, kernel)
        let running = Task { await agent.run() }
        let names = (0..<10).map { "s\($0)" }
        try Self.begin(agent, kernel, names)
        let made = try await withThrowingTaskGroup(of: Endpoint.self) { group in
            for name in names {
                group.addTask {
                    let request = AttachRequest(EndpointSpec(network: NetworkID("id-net"), name: name), sandbox: SandboxID(name))
                    let endpoint = try await agent.attach(request)
                    #expect(kernel.endpoints.contains(endpoint.id))
                    return endpoint
                }
            }
            return try await group.reduce(into: Set<Endpoint>()) { $0.insert($1) }
        }
        let first = try #require(made.min { $0.id < $1.id })
        #expect(try await agent.detach(first.id) == first)
        #expect(kernel.endpoints == Set(made.map(\.id)).subtracting([first.id]))
        agent.shutDown()
        await running.value

        let next = Self.agent(on: disk, kernel)
        let runningAgain = Task { await next.run() }
        #expect(try await next.read { Set($0.ownEndpoints) } == made.subtracting([first]))
        next.shutDown()
        await runningAgain.value
    }

    @Test("who waits when the agent ends is told so")
    func ends() async throws {
        let kernel = MemoryKernel()
        let agent = Self.agent(on: MemoryDisk(), kernel)
        let running = Task { await agent.run() }
        try Self.begin(agent, kernel, ["a"])
        // No address can be had, so that it waits.
        let address = try #require(IPAddress("10.0.1.77"))
        let reserved = Task {
            try await agent.reserveAddress(SubnetID(NetworkID("id-net"), .v4), address, for: .unknown)
        }
        try await eventually("nobody waits") { try await agent.read { $0.waitingRequests } > 0 }
        agent.shutDown()
        await #expect(throws: AgentUnavailable.ended) { try await reserved.value }
        await running.value
        await #expect(throws: AgentUnavailable.ended) { try await agent.read { $0.id } }
    }

    @Test("a full queue refuses: an attach with an error, the session by its end; what waits is served")
    func fullQueue() async throws {
        let kernel = MemoryKernel()
        let agent = Self.agent(on: MemoryDisk(), kernel)
        for _ in 0..<Agent.queueLimit { agent.describe(TestNode.description) }
        let request = AttachRequest(EndpointSpec(network: NetworkID("id-net"), name: "a"), sandbox: SandboxID("a"))
        await #expect(throws: AgentUnavailable.busy) { try await agent.attach(request) }
        #expect(!agent.received(.assignments(try TestNode.assignments())))

        let running = Task { await agent.run() }
        try await eventually("it is busy") { (try? await agent.read { $0.id }) != nil }
        try Self.begin(agent, kernel, ["a"])
        let endpoint = try await agent.attach(request)
        #expect(kernel.endpoints == [endpoint.id])
        agent.shutDown()
        await running.value
    }
}
