// The agent's machine: what one host does with its assignments and its own endpoints, without doing it. The shell that owns one is
// `WeftAgent`: it saves what the machine notes before it acts on it, and tells it what came of each action.
import WeftIPAM
package import WeftModel
package import WeftNet

/// One host's agent: its session, what it was assigned, and its own endpoints, as one value.
///
/// The truth about this node's endpoints is here; the manager is told. Everything else is the manager's, and what was
/// last heard of it stays in force while no manager answers.
package struct NodeMachine: Sendable {
    /// How long an attach waits for an address.
    package static let patience: Duration = .seconds(5)
    /// How long an attach for which there are resting addresses waits for one that does not rest.
    static let freshPatience: Duration = .seconds(1)

    enum Session: Hashable, Sendable {
        case closed
        /// Hello is sent; nothing came back yet.
        case greeting
        case synchronised
        /// A delta did not fit; everything until the full set is dropped.
        case resynchronising
    }

    /// How long an address stays reserved without an endpoint.
    package static let reservationTime: Duration = .seconds(120)

    /// An attach or a reservation that has no address yet.
    struct Waiting: Hashable, Sendable {
        enum Purpose: Hashable, Sendable {
            case attach(AttachRequest, EndpointID)
            case reservation
        }
        /// An address of one family.
        struct Want: Hashable, Sendable {
            let family: IPAddress.Family
            /// The one that it must be, nil for any.
            let address: IPAddress?
            /// The lease request that it rides on; nil until one could be sent.
            var request: LeaseRequest?
        }
        let purpose: Purpose
        let network: NetworkID
        /// One for each family; all or none is had.
        var wants: [Want]
        let since: Instant
        var deadline: Instant { since + NodeMachine.patience }

        /// What rides on a lease request no longer does.
        mutating func forget(_ number: RequestNumber) {
            for index in wants.indices where wants[index].request?.number == number { wants[index].request = nil }
        }
    }

    struct LeaseRequest: Hashable, Sendable {
        let number: RequestNumber
        /// Nobody gives anything back for it.
        let isSpare: Bool
    }

    /// A part of a lease that was given back.
    struct Return: Hashable, Sendable {
        let subnet: SubnetID
        let prefix: AnyIPPrefix
        /// The lease and its version: as long as it is this one, the manager has not dealt with the return.
        let lease: String
        let version: Version

        var id: String { AddressLease(network: subnet.network, block: prefix, node: NodeID("")).id }
    }

    /// The manager asks for an address of this node's leases, the one named or any, and has no answer yet.
    struct Recall: Hashable, Sendable {
        let number: RequestNumber
        let subnet: SubnetID
        let address: IPAddress?
        let deadline: Instant
    }

    /// A reply that is due when the data path has reached a generation.
    struct Unconfirmed: Hashable, Sendable {
        let endpoint: Endpoint
        let generation: Generation
        let isAttach: Bool
    }

    package let id: NodeID
    package internal(set) var nodeDescription: NodeDescription
    /// The next description is told whether it is a new one or not: a swarm whose roots change counts what was told before no more.
    var owesDescription = false
    package let dataPathAddress: IPv4Address
    var view = ManagerView()
    /// This node's endpoints; changed by `setOwn` only.
    var own = EndpointTable()
    /// Those of `own`, by their sandboxes.
    var sandboxes: [SandboxID: Set<EndpointID>] = [:]
    /// Those of `own` that a container engine made, and since when.
    var engine: [EndpointID: Instant] = [:]
    /// Addresses without an endpoint that are not free, and since when.
    var reservations: [Place: Instant] = [:]
    /// Parts of leases given back; not to be used until the manager has changed those leases, or a new session tells where
    /// they are. At most one of each lease.
    var returned: [Return] = []
    var recalls: [Recall] = []
    var addresses: [SubnetID: NodeAddresses] = [:]
    var former: [SubnetID: FormerHolders] = [:]
    var held: Set<IPAddress> = []
    /// Rests on networks that are not known yet, after a restart.
    var strayRests: [SavedNode.Resting] = []

    /// Interfaces of which nothing is known, until a manager has said whose they are.
    var found: [EndpointID: FoundEndpoint] = [:]
    /// What the last input made and wants durable before it counts.
    package internal(set) var undurable: Set<EndpointID> = []
    var undurableReservations: [(RequestID, Place)] = []
    /// Each with the number of the recall that it answers, if it answers one.
    var undurableReturns: [(part: Return, recall: RequestNumber?)] = []

    /// Set for good once the operator makes the node leave.
    package internal(set) var isLeaving = false
    var session = Session.closed
    var nextNumber: RequestNumber = 1
    var waiting: [RequestID: Waiting] = [:]
    var unconfirmed: [RequestID: Unconfirmed] = [:]
    /// Requests for any addresses, by subnet: one at a time, and none for a spare block again soon after a refusal.
    var blockRequests: [SubnetID: LeaseRequest] = [:]
    var spareRefused: [SubnetID: Instant] = [:]
    var lastHeartbeat: Instant?
    /// How far what the manager said is in force here.
    var following = Following()
    /// Who waits for the other nodes.
    var awaits: [RequestID: AwaitedOthers] = [:]
    /// This node's tasks, as they were seen last.
    var taskReports: [TaskID: TaskStatus] = [:]
    var ownKeys = OwnKeys()
    /// This node's endpoints that the swarm does not know, each with the manager's sentence.
    var refusals: [EndpointID: String] = [:]
    /// What the shell has not taken yet, to make kernel and names from.
    var changes = NodeChanges()
    /// What the shell has not saved yet.
    var unsaved = Unsaved()
    /// When an endpoint on the ingress network was last asked for.
    var ingressAsked: Instant?
    /// The newest desired state of the data path.
    package internal(set) var generation: Generation = 0
    var effects = Effects()

    /// What the running input caused; becomes actions in one fixed order.
    struct Effects: Sendable {
        var persist = false
        var persistUrgent = false
        var messages: [NodeMessage] = []
        var reconcile = false
        var names = false
        var replies: [(RequestID, Result<Endpoint, AttachError>)] = []
        var reserved: [(RequestID, Result<IPAddress, AttachError>)] = []
        var lost: [(endpoints: [Endpoint], reason: String)] = []
        var followed: [RequestID] = []
        var tasks = false
        var keys = false
        var dismissal: String?
        var added: [Endpoint] = []
        var removed: [EndpointID] = []
        /// Of the successes in `reserved`.
        var places: [(RequestID, Place)] = []
        var returns: [(part: Return, recall: RequestNumber?)] = []
    }

    /// A node as it was when `saved`, or a new one.
    package init(id: NodeID, description: NodeDescription, dataPathAddress: IPv4Address, saved: SavedNode = SavedNode()) {
        self.id = id
        self.nodeDescription = Self.described(description)
        self.dataPathAddress = dataPathAddress
        _ = view.apply(saved.view)
        view.lacksKinds = saved.lacksKinds
        for lease in saved.own.leases { view.put(lease) }
        for endpoint in saved.own.endpoints { setOwn(endpoint.id, endpoint) }
        for entry in saved.own.engine where own[entry.id] != nil { engine[entry.id] = entry.since }
        for entry in saved.own.reservations {
            reservations[Place(network: entry.network, address: entry.address)] = entry.since
        }
        view.lacksSecrets = tasksLackSecrets
        following = Following(saved: view.appliedRevision)
        returned = saved.own.returned.compactMap { Return(id: $0, leases: view.leases) }
        strayRests = saved.own.resting
        isLeaving = saved.own.isLeaving
        refreshBlocks()
        unsaved = Unsaved()
        unsaved.view.everything = saved.isOfFormerForm
    }

    /// Takes one input in, and returns what is to be done.
    package mutating func handle(
        _ input: NodeInput, now: Instant, random: inout some RandomNumberGenerator
    ) -> [NodeAction] {
        switch input {
        case .sessionOpened:
            closeSession()
            session = .greeting
            refusals = [:]
            lastHeartbeat = now
            forgetRequests()
            owesDescription = false
            send(
                .hello(
                    nodeDescription, dataPathAddress: dataPathAddress, appliedRevision: view.greetingRevision,
                    endpoints: ownEndpoints))
            if isLeaving { send(.leaving) }
            for id in waiting.keys.sorted() { requestLease(for: id, now: now) }
        case .sessionClosed:
            closeSession()
            forgetRequests()
            serveWaiting(now: now)
        case .received(let message):
            received(message, now: now)
        case .attach(let id, let request):
            attach(id, request, now: now, random: &random)
        case .detach(let id, let endpoint):
            detach(id, endpoint, now: now)
        case .reserve(let id, let subnet, let address, let comer):
            reserve(id, subnet, address: address, for: comer, now: now)
        case .rotate(let rotations):
            rotate(rotations)
        case .awaitOthers(let id):
            awaitOthers(id, now: now)
        case .tasksObserved(let reports, let gone):
            tasksObserved(reports, gone: gone)
        case .keysStated(let statement): keysStated(statement)
        case .keysReady(let readiness): keysReady(readiness)
        case .containerGone(let container):
            for subnet in former.keys { former[subnet]?.forget(container) }
        case .release(let network, let address):
            release(Place(network: network, address: address), now: now)
        case .attachEngine(let id, let request):
            attachEngine(id, request, now: now)
        case .rename(let id, let endpoint, let sandbox, let name, let aliases):
            rename(id, endpoint, sandbox: sandbox, name: name, aliases: aliases)
        case .engineEndpointsFound(let endpoints, let instant):
            let started = engine.filter { $0.value <= instant }
            removeEndpoints(started.keys.filter { !endpoints.contains($0) }, now: now)
        case .sandboxGone(let sandbox):
            removeEndpoints(sandboxes[sandbox] ?? [], now: now)
            for (id, waiter) in waiting.sorted(by: { $0.key < $1.key }) {
                if case .attach(let request, _) = waiter.purpose, request.sandbox == sandbox {
                    fail(id, .sandboxGone(sandbox))
                }
            }
        case .sandboxesFound(let sandboxes):
            let gone = own.values.filter { engine[$0.id] == nil && !sandboxes.contains($0.sandbox) && $0.sandbox != .hostIngress }
            removeEndpoints(gone.map(\.id), now: now)
        case .endpointsFound(let endpoints):
            noteFound(endpoints)
        case .notSaved(let reason):
            takeBackUndurable(reason, now: now)
        case .addressesHeld(let addresses):
            held = addresses
            serveWaiting(now: now)
        case .datapathApplied(let generation, let failures, let failure):
            datapathApplied(generation, failures: failures, failure: failure, now: now)
        case .descriptionChanged(let description):
            let description = Self.described(description)
            guard description != nodeDescription || owesDescription else { break }
            owesDescription = false
            nodeDescription = description
            send(.descriptionChanged(description))
        case .leave:
            isLeaving = true
            unsaved.node = true
            effects.persist = true
            effects.persistUrgent = true
            for id in waiting.keys.sorted() { fail(id, .leaving) }
            removeEndpoints(Array(own.keys), now: now)
            for place in reservations.keys { release(place, now: now) }
            send(.leaving)
        case .tick:
            tick(now: now)
        }
        if case .tick = input { keepIngress(now: now, random: &random) }
        if case .received(.assignments) = input { keepIngress(now: now, random: &random) }
        answerRecalls(now: now)
        answerAwaits(now: now)
        return takeActions()
    }

    /// What this machine can do belongs to what the node says of itself.
    private static func described(_ description: NodeDescription) -> NodeDescription {
        var description = description
        description.returnsAddresses = true
        return description
    }

    /// Says something to the manager, if one listens. What is said while none does is in the next hello.
    mutating func send(_ message: NodeMessage) {
        if session != .closed { effects.messages.append(message) }
    }

    private mutating func forgetRequests() {
        blockRequests = [:]
        recalls = []
        for id in waiting.keys {
            for index in waiting[id]?.wants.indices ?? 0..<0 { waiting[id]?.wants[index].request = nil }
        }
    }

    private mutating func tick(now: Instant) {
        if session != .closed, let last = lastHeartbeat, now - last >= .seconds(view.cluster?.heartbeatSeconds ?? 5) {
            lastHeartbeat = now
            send(.heartbeat(appliedRevision: following.revision))
        }
        for subnet in Array(addresses.keys) { expireRests(on: subnet, now: now) }
        strayRests.removeAll { rest in
            guard rest.until <= now else { return false }
            unsaved.places.insert(Place(network: rest.network, address: rest.address))
            return true
        }
        for (place, since) in reservations where now - since >= Self.reservationTime { release(place, now: now) }
        serveWaiting(now: now)
        for (id, waiter) in waiting.sorted(by: { $0.key < $1.key }) where waiter.deadline <= now {
            let reason =
                session == .closed
                ? "this node's address blocks hold none, and no manager answers; try again once one does"
                : "the manager granted none within \(Self.patience.components.seconds) s; try again"
            refuse(id, waiter.wants.first { !isToBeHad($0, of: waiter, now: now) }?.address, reason: reason)
        }
        returnBlocks()
    }

    /// Ends an attach or reservation for the one address that it wanted, or for any.
    mutating func refuse(_ id: RequestID, _ address: IPAddress?, reason: String) {
        guard let waiter = waiting[id] else { return }
        let network = name(of: waiter.network)
        guard let address else { return fail(id, .noFreeAddress(network: network, reason: reason)) }
        let held = held.contains(address) ? IPAMError.addressHeld(address).description : nil
        fail(id, .addressRefused(address, network: network, reason: held ?? reason))
    }

    /// Ends an attach or reservation that got no address.
    mutating func fail(_ id: RequestID, _ error: AttachError) {
        if case .reservation? = waiting.removeValue(forKey: id)?.purpose {
            effects.reserved.append((id, .failure(error)))
        } else {
            effects.replies.append((id, .failure(error)))
        }
    }

    func name(of network: NetworkID) -> String { view.networks[network]?.spec.name ?? network.rawValue }

    private mutating func takeActions() -> [NodeAction] {
        var done = effects
        effects = Effects()
        let added = Set(done.added.map(\.id))
        undurable = []
        for pending in unconfirmed.values where pending.isAttach && pending.generation > generation {
            if added.contains(pending.endpoint.id) { undurable.insert(pending.endpoint.id) }
        }
        undurableReservations = done.places
        undurableReturns = done.returns
        if !done.added.isEmpty || !done.removed.isEmpty {
            done.persist = true
            done.persistUrgent = true
            done.reconcile = true
            done.names = true
        }
        var actions: [NodeAction] = []
        if done.persist { actions.append(.persist(urgent: done.persistUrgent)) }
        if session != .closed, !done.added.isEmpty || !done.removed.isEmpty {
            // An address may go from one endpoint to the next in one message: the manager takes removals first.
            actions.append(.send(.endpointsChanged(added: done.added, removed: done.removed.sorted())))
        }
        actions += done.messages.map { .send($0) }
        if done.reconcile {
            // Replies that wait for this change were filed under the generation that starts here.
            generation += 1
            actions.append(.reconcile(generation))
        }
        if done.names { actions.append(.namesChanged) }
        actions += done.lost.map { .endpointsLost($0.endpoints, reason: $0.reason) }
        actions += done.replies.filter { $0.0 != Self.ingressRequest }.map { .reply($0.0, $0.1) }
        actions += done.reserved.map { .reserved($0.0, $0.1) }
        actions += done.followed.map { .followed($0) }
        if done.tasks { actions.append(.tasksAssigned) }
        if done.keys { actions.append(.keysChanged) }
        if let reason = done.dismissal { actions.append(.dismissed(reason: reason)) }
        return actions
    }
}
