import Logging
import WeftAgentCore
import WeftModel
import WeftNet
import WeftNode

/// The part of the agent that runs in its one task: gives the core what comes, with who waits for the reply.
struct AgentWorker: Sendable {
    private var core: AgentCore<AnyAgentStore, AgentReplies, SystemRandomNumberGenerator>
    private let now: @Sendable () -> Instant

    init(
        core: AgentCore<AnyAgentStore, AgentReplies, SystemRandomNumberGenerator>, now: @escaping @Sendable () -> Instant
    ) {
        self.core = core
        self.now = now
    }

    mutating func start() { core.start() }

    mutating func process(_ event: AgentEvent) {
        switch event {
        case .input(let input):
            core.process(input, now: now())
        case .sessionOpened(let send):
            core.outlet.sender = send
            feed(.sessionOpened)
        case .sessionClosed:
            core.outlet.sender = nil
            feed(.sessionClosed)
        case .attach(let request, let continuation):
            let id = core.outlet.register(continuation)
            feed(.attach(id, request))
        case .detach(let endpoint, let continuation):
            let id = core.outlet.register(continuation)
            feed(.detach(id, endpoint))
        case .reserve(let subnet, let address, let comer, let continuation):
            let id = core.outlet.register(reserving: continuation)
            feed(.reserve(id, subnet, address, for: comer))
        case .attachEngine(let request, let continuation):
            let id = core.outlet.register(continuation)
            feed(.attachEngine(id, request))
        case .rename(let endpoint, let sandbox, let name, let aliases, let continuation):
            let id = core.outlet.register(continuation)
            feed(.rename(id, endpoint, sandbox: sandbox, name: name, aliases: aliases))
        case .awaitOthers(let continuation):
            let id = core.outlet.register(following: continuation)
            feed(.awaitOthers(id))
        case .read(let body):
            body(core.machine)
        }
    }

    /// Nobody who waits is left hanging, and what is known is on disk.
    mutating func end() {
        core.end()
        core.outlet.giveUp()
    }

    private mutating func feed(_ input: NodeInput) { core.process(.node(input), now: now()) }
}

/// Where the core's decisions go in weftd: the session, those who wait, the reconciler, the log.
struct AgentReplies: AgentOutlet, Sendable {
    var sender: SessionSender?
    private var waiting: [RequestID: CheckedContinuation<Endpoint, any Error>] = [:]
    private var reserving: [RequestID: CheckedContinuation<IPAddress, any Error>] = [:]
    private var following: [RequestID: CheckedContinuation<Void, Never>] = [:]
    private var nextRequest: UInt64 = 1
    private let reconciler: Reconciler
    private let whenAssigned: @Sendable (AssignedTasks) -> Void
    private let whenKeysChanged: @Sendable (KeyNews) -> Void
    private let whenLost: @Sendable ([Endpoint], String) -> Void
    private let whenDismissed: @Sendable (String) -> Void
    private let logger: Logger

    init(
        reconciler: Reconciler, assigned: @escaping @Sendable (AssignedTasks) -> Void,
        keys: @escaping @Sendable (KeyNews) -> Void,
        lost: @escaping @Sendable ([Endpoint], String) -> Void,
        dismissed: @escaping @Sendable (String) -> Void, logger: Logger
    ) {
        self.reconciler = reconciler
        whenAssigned = assigned
        whenKeysChanged = keys
        whenLost = lost
        whenDismissed = dismissed
        self.logger = logger
    }

    mutating func register(_ continuation: CheckedContinuation<Endpoint, any Error>) -> RequestID {
        let id = nextID()
        waiting[id] = continuation
        return id
    }

    mutating func register(reserving continuation: CheckedContinuation<IPAddress, any Error>) -> RequestID {
        let id = nextID()
        reserving[id] = continuation
        return id
    }

    mutating func register(following continuation: CheckedContinuation<Void, Never>) -> RequestID {
        let id = nextID()
        following[id] = continuation
        return id
    }

    private mutating func nextID() -> RequestID {
        defer { nextRequest += 1 }
        return RequestID(nextRequest)
    }

    mutating func giveUp() {
        for (_, continuation) in waiting.sorted(by: { $0.key < $1.key }) { continuation.resume(throwing: AgentUnavailable.ended) }
        waiting = [:]
        for (_, continuation) in reserving.sorted(by: { $0.key < $1.key }) { continuation.resume(throwing: AgentUnavailable.ended) }
        reserving = [:]
        for (_, continuation) in following.sorted(by: { $0.key < $1.key }) { continuation.resume() }
        following = [:]
    }

    mutating func send(_ message: NodeMessage) {
        if let sender, !sender(message) { self.sender = nil }
    }

    mutating func reply(_ request: RequestID, _ result: Result<Endpoint, AttachError>) {
        waiting.removeValue(forKey: request)?.resume(with: result.mapError { $0 as any Error })
    }

    mutating func replyReservation(_ request: RequestID, _ result: Result<IPAddress, AttachError>) {
        reserving.removeValue(forKey: request)?.resume(with: result.mapError { $0 as any Error })
    }

    mutating func replyFollowed(_ request: RequestID) { following.removeValue(forKey: request)?.resume() }

    func assigned(_ tasks: AssignedTasks) { whenAssigned(tasks) }

    func keysChanged(_ news: KeyNews) { whenKeysChanged(news) }

    func reconcile(_ change: ViewChange, generation: Generation?, observe: Bool) {
        reconciler.request(change, generation: generation, observe: observe)
    }

    func lost(_ endpoints: [Endpoint], reason: String) {
        logger.warning("endpoints ended", metadata: ["count": "\(endpoints.count)", "reason": "\(reason)"])
        whenLost(endpoints, reason)
    }

    func dismissed(reason: String) {
        logger.notice("the manager ended the session", metadata: ["reason": "\(reason)"])
        whenDismissed(reason)
    }

    func note(_ note: AgentNote) {
        switch note {
        case .adopted(let count):
            logger.notice("the endpoints of the interfaces found are this node's again", metadata: ["count": "\(count)"])
        case .recordsLost(let count):
            logger.error(
                "this node's records are lost; its interfaces are left as they are until a manager has said what it knows of them",
                metadata: ["interfaces": "\(count)"])
        case .leftoversRemoved(let count, let total):
            logger.notice(
                "endpoints of sandboxes that ended meanwhile are removed", metadata: ["count": "\(count)", "of": "\(total)"])
        case .strangersRemoved(let count, let total):
            logger.notice(
                "endpoints that the engine does not have any more are removed",
                metadata: ["count": "\(count)", "of": "\(total)"])
        case .datapathFailed(let failure):
            logger.error("the data path could not be changed", metadata: ["error": "\(failure)"])
        case .endpointFailed(let endpoint, let failure):
            logger.error("an endpoint is not in place", metadata: ["endpoint": "\(endpoint)", "error": "\(failure)"])
        case .savingFailed(let failure?):
            logger.error(
                "this node's records cannot be saved; it goes on trying, and attaches nothing meanwhile",
                metadata: ["error": "\(failure)"])
        case .savingFailed(nil):
            logger.notice("this node's records are saved again")
        }
    }
}

/// Whatever store the agent was given.
struct AnyAgentStore: AgentStore, Sendable {
    private let store: any AgentStore & Sendable

    init(_ store: any AgentStore & Sendable) { self.store = store }

    func saveOwn(_ change: SavedNode.OwnChange, interfaceIndexes: [EndpointID: Int]) throws {
        try store.saveOwn(change, interfaceIndexes: interfaceIndexes)
    }

    func saveView(_ change: Assignments) throws { try store.saveView(change) }
}
