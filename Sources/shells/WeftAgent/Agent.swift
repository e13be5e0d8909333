// The agent's shell. It owns the NodeMachine: one task drains one bounded queue of session messages, attaches, outcomes and
// ticks, and performs the actions. The kernel is brought to the desired state by the reconciler's own thread.
package import Logging
package import WeftAgentCore
package import WeftModel
package import WeftNet
package import WeftNode
import WeftThreads

package final class Agent: Sendable {
    /// Events that may wait; past it requests are refused, and a session is closed, which resynchronises it later.
    package static let queueLimit = 65_536

    private let events: AsyncStream<AgentEvent>
    private let queue: AsyncStream<AgentEvent>.Continuation
    private let reconciler: Reconciler
    private let worker: AgentWorker
    /// What counts only once it is durable is written in the middle of an event.
    private let thread = BlockingExecutor()

    /// `names` gets every change of what names are answered from; `now` is the wall clock; `tasks` gets what this node is to run,
    /// whenever that is different, `keys` what there is to know of the data path's keys; `lost` learns of endpoints that ended by themselves,
    /// `dismissed` of the end of this node's membership.
    package init(
        machine: NodeMachine, placements: Placements, store: any AgentStore & Sendable, kernel: any Reconciling,
        names: @escaping @Sendable (ViewChange) -> Void, now: @escaping @Sendable () -> Instant,
        tasks: @escaping @Sendable (AssignedTasks) -> Void, keys: @escaping @Sendable (KeyNews) -> Void = { _ in },
        lost: @escaping @Sendable ([Endpoint], String) -> Void, dismissed: @escaping @Sendable (String) -> Void,
        logger: Logger
    ) {
        (events, queue) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.queueLimit))
        let queue = queue
        reconciler = Reconciler(kernel: kernel, names: names) { outcome in queue.yield(.input(.reconciled(outcome))) }
        let outlet = AgentReplies(
            reconciler: reconciler, assigned: tasks, keys: keys, lost: lost, dismissed: dismissed, logger: logger)
        worker = AgentWorker(
            core: AgentCore(
                machine: machine, placements: placements, store: AnyAgentStore(store), outlet: outlet,
                generator: SystemRandomNumberGenerator()),
            now: now)
    }

    /// Drains the queue until `shutDown` or cancellation. The kernel keeps what it has.
    package func run() async {
        await withTaskGroup { group in
            group.addTask { await self.reconciler.run() }
            group.addTask {
                while !Task.isCancelled {
                    self.queue.yield(.input(.tick))
                    try? await Task.sleep(for: .seconds(1))
                }
            }
            await withTaskExecutorPreference(thread) {
                var worker = self.worker
                worker.start()
                for await event in events { worker.process(event) }
                worker.end()
            }
            reconciler.finish()
            group.cancelAll()
        }
    }

    package func shutDown() { queue.finish() }

    /// Why the event is not taken; nil when it is.
    @discardableResult
    private func enqueue(_ event: AgentEvent) -> AgentUnavailable? {
        let result = queue.yield(event)
        if case .enqueued = result { return nil }
        return AgentUnavailable(result)
    }

    // MARK: The session

    /// A manager's stream is open; its messages follow, then its end.
    package func sessionOpened(_ send: @escaping SessionSender) { enqueue(.sessionOpened(send)) }
    /// False: the agent does not keep up, and the session must end.
    package func received(_ message: ManagerMessage) -> Bool {
        enqueue(.input(.node(.received(message)))) == nil
    }
    package func sessionClosed() { enqueue(.sessionClosed) }
    /// Tells the manager that this node leaves.
    package func leave() { enqueue(.input(.node(.leave))) }
    package func describe(_ description: NodeDescription) { enqueue(.input(.node(.descriptionChanged(description)))) }

    // MARK: Keys

    /// This node has new keys: the managers are told, in each session until they have it.
    package func keysStated(_ statement: SignedStatement) { enqueue(.input(.node(.keysStated(statement)))) }
    /// How far this node has come with everybody's keys.
    package func keysReady(_ readiness: Readiness) { enqueue(.input(.node(.keysReady(readiness)))) }

    // MARK: Sandboxes

    /// After a start: these sandboxes live, with the paths of their network namespaces; endpoints of others go.
    package func sandboxesFound(_ namespaces: [SandboxID: String]) { enqueue(.input(.sandboxesFound(namespaces))) }
    /// Before that: the finished interfaces in the kernel, which count if what was known of them is lost.
    package func interfacesFound(_ endpoints: [FoundEndpoint]) { enqueue(.input(.interfacesFound(endpoints))) }
    /// A sandbox's namespace exists; call it before the first attach. `interfaces`: names that its maker chose, by
    /// network; others are ethN.
    package func place(
        _ sandbox: SandboxID, namespacePath: String, interfaces: [NetworkID: Placements.ChosenInterface] = [:]
    ) {
        enqueue(.input(.place(sandbox, namespacePath: namespacePath, interfaces: interfaces)))
    }

    /// Returns once the endpoint is in the kernel. Throws `AttachError` or `AgentUnavailable`.
    package func attach(_ request: AttachRequest) async throws -> Endpoint {
        try await withCheckedThrowingContinuation { continuation in
            if let refusal = enqueue(.attach(request, continuation)) { continuation.resume(throwing: refusal) }
        }
    }

    /// Returns once the endpoint is out of the kernel. Throws `AttachError` or `AgentUnavailable`.
    @discardableResult
    package func detach(_ endpoint: EndpointID) async throws -> Endpoint {
        try await withCheckedThrowingContinuation { continuation in
            if let refusal = enqueue(.detach(endpoint, continuation)) { continuation.resume(throwing: refusal) }
        }
    }

    /// A container of the engine's was removed: nobody comes back for its address.
    package func containerGone(_ container: SandboxID) { enqueue(.input(.node(.containerGone(container)))) }

    /// The sandbox ended, and its namespace with it.
    package func sandboxGone(_ sandbox: SandboxID) { enqueue(.input(.sandboxGone(sandbox))) }

    // MARK: Tasks

    /// The endpoints of tasks enter or leave rotation, which everybody is told.
    package func rotate(_ rotations: [TaskID: ServingTask.Rotation]) { enqueue(.input(.node(.rotate(rotations)))) }

    /// Returns once all nodes have in force what was told before, or after about two seconds.
    package func awaitOthers() async {
        await withCheckedContinuation { continuation in
            if enqueue(.awaitOthers(continuation)) != nil { continuation.resume() }
        }
    }

    /// What became of tasks, for the manager.
    package func tasksObserved(_ reports: [TaskReport], gone: [TaskID]) {
        enqueue(.input(.node(.tasksObserved(reports, gone: gone))))
    }

    // MARK: A container engine's endpoints

    /// Takes an address for an endpoint to come; nil for any, the one that the comer had last where that is known and free. It
    /// stays taken over restarts, until it is released, or for two minutes without an endpoint. Waits at most five seconds.
    /// Throws `AttachError` or `AgentUnavailable`.
    package func reserveAddress(_ subnet: SubnetID, _ address: IPAddress?, for comer: Comer) async throws -> IPAddress {
        try await withCheckedThrowingContinuation { continuation in
            if let refusal = enqueue(.reserve(subnet, address, for: comer, continuation)) { continuation.resume(throwing: refusal) }
        }
    }

    /// The engine is done with an address; it rests before it is used again. One that an endpoint has is kept.
    package func releaseAddress(_ network: NetworkID, _ address: IPAddress) { enqueue(.input(.node(.release(network, address)))) }

    /// Returns once the endpoint is in the kernel, its far end beside its host end under the name
    /// `engineInterfaceName`. It has no name until `rename`. Throws `AttachError` or `AgentUnavailable`.
    package func attachEngine(_ request: EngineAttachment) async throws -> Endpoint {
        try await withCheckedThrowingContinuation { continuation in
            if let refusal = enqueue(.attachEngine(request, continuation)) { continuation.resume(throwing: refusal) }
        }
    }

    /// Says what an endpoint is called and whose it is. Throws `AttachError` or `AgentUnavailable`.
    @discardableResult
    package func rename(
        _ endpoint: EndpointID, sandbox: SandboxID, name: String, aliases: [String]
    ) async throws -> Endpoint {
        try await withCheckedThrowingContinuation { continuation in
            if let refusal = enqueue(.rename(endpoint, sandbox: sandbox, name: name, aliases: aliases, continuation)) {
                continuation.resume(throwing: refusal)
            }
        }
    }

    /// All endpoints that the engine has, by its own word: of its endpoints, others go. `asOf`: an instant before the
    /// engine was asked; what was attached after it stays.
    package func engineEndpointsFound(_ endpoints: Set<EndpointID>, asOf: Instant) {
        enqueue(.input(.engineEndpointsFound(endpoints, asOf: asOf)))
    }

    /// Looks at the machine, after everything queued before. Throws `AgentUnavailable`.
    package func read<Value: Sendable>(_ body: @escaping @Sendable (NodeMachine) -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            if let refusal = enqueue(.read({ continuation.resume(returning: body($0)) })) { continuation.resume(throwing: refusal) }
        }
    }
}
