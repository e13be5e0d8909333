import WeftModel

/// One workload: what is wanted of it, what there is of it, and the one step that is under way.
struct WorkloadEntry: Sendable {
    /// What somebody waits for.
    enum Wish: Hashable, Sendable {
        /// All of a new workload; it goes if it cannot be had.
        case complete
        case attached(interface: String)
        case detached(interface: String)
        case raised
        case recorded
        case started
        case ended
        case gone
        case settled
    }

    struct Waiter: Hashable, Sendable {
        let id: RequestID
        let wish: Wish
    }

    var workload: Workload
    /// As it is on record; nil before that.
    var saved: Workload?
    /// Where its namespace is, once it is made or found.
    var namespace: String?
    /// Its driver has something to take away.
    var isMade: Bool
    /// Making the namespace failed; it is tried again with the next wish.
    var isUnprepared = false
    var process: WorkloadProcess
    /// Since when it is there, in this run of weftd.
    let since: Instant
    /// By interface.
    var attached: [String: Endpoint] = [:]
    /// Interfaces to attach. One that failed is not tried again without a reason.
    var due: Set<String> = []
    /// What was attached for a wish that may fail yet, and would go with it.
    var fresh: Set<String> = []
    /// Interfaces to detach although the record has them.
    var retracted: Set<String> = []
    /// The driver does not know what is attached now.
    var isTold = true
    /// Telling it failed, and is tried again with the next tick.
    var isUntellable = false
    /// The endpoints' names are not what they should be.
    var isMisnamed = false
    var isLeaving = false
    /// What must end did not, and is tried again with the next tick.
    var isStuck = false
    /// Its namespace is gone, and with it all that was in it.
    var isDead = false
    var isStarting = false
    /// It ran, if only for a moment.
    var wasStarted = false
    var grace: Duration?
    /// Starts under way, during which no end counts.
    var holds = 0
    /// What its owner last said of a container; nil before.
    var isSeenRunning: Bool?
    var stoppedSince: Instant?
    /// The owner starts it no more by itself, or has not for long enough.
    var isOver = true

    var step: (number: StepNumber, step: WorkloadStep)?
    var waiting: [Waiter] = []
    /// Why a new workload that is leaving could not be had.
    var failure: WorkloadFailure?

    init(
        _ workload: Workload, saved: Workload? = nil, namespace: String? = nil,
        process: WorkloadProcess = .none,
        since: Instant = Instant(nanoseconds: 0)
    ) {
        self.since = since
        self.workload = workload
        self.saved = saved
        self.namespace = namespace
        self.process = process
        isMade = saved != nil || namespace != nil
    }

    var isAlive: Bool { process == .created || process == .running }

    /// Whether its interfaces have a place to be.
    var wantsEndpoints: Bool {
        guard !isLeaving, workload.sandbox != nil else { return false }
        return switch workload.kind {
        case .sandbox: process != .ended
        case .foreign: true
        case .prepared: holds > 0 || isSeenRunning == true || !isOver
        }
    }

    /// A container that does not run has no name.
    var showsNames: Bool { workload.kind != .prepared || holds > 0 || isSeenRunning != false }

    func interface(_ name: String) -> InterfaceSpec? { workload.interfaces.first { $0.interface == name } }

    /// An interface that has no place, or not on that network.
    var surplus: String? {
        attached.keys.sorted().first { name in
            !wantsEndpoints || retracted.contains(name)
                || interface(name)?.endpoint.network != attached[name]?.network
        }
    }

    /// What is to be done next; nil when nothing is, or something is under way.
    var next: WorkloadStep? {
        guard step == nil, !isStuck else { return nil }
        return isLeaving ? nextOfLeaving : nextOfStaying
    }

    private var nextOfLeaving: WorkloadStep? {
        if isAlive { return .shutDown(grace: .zero) }
        if let endings = nextOfEnding { return endings }
        if isMade { return .remove }
        if saved != nil { return .forget }
        return nil
    }

    private var nextOfEnding: WorkloadStep? {
        if let name = surplus, let endpoint = attached[name] {
            if isDead || process == .ended, let sandbox = workload.sandbox { return .release(sandbox) }
            return .detach(endpoint.id)
        }
        return isTold ? nil : .tell(endpoints)
    }

    private var nextOfStaying: WorkloadStep? {
        if saved != workload { return .save(workload) }
        if namespace == nil, !isUnprepared, process != .ended { return .prepare }
        if let name = surplus, attached[name] != nil { return nextOfEnding }
        if wantsEndpoints, let sandbox = workload.sandbox, let namespace,
            let wanted = workload.interfaces.first(where: {
                due.contains($0.interface) && attached[$0.interface] == nil
            })
        {
            return .attach(
                workload.endpoint(of: wanted), sandbox, namespace: namespace, interface: wanted.interface)
        }
        if !isTold { return .tell(endpoints) }
        if isMisnamed, let sandbox = workload.sandbox { return .rename(names, sandbox) }
        if let grace, isAlive { return .shutDown(grace: grace) }
        if isStarting, process == .created { return .start }
        return nil
    }

    /// In the order of the interfaces.
    var endpoints: [Endpoint] { workload.interfaces.compactMap { attached[$0.interface] } }

    private var names: [EndpointID: EndpointSpec] {
        var names: [EndpointID: EndpointSpec] = [:]
        for interface in workload.interfaces {
            guard let endpoint = attached[interface.interface] else { continue }
            var spec = workload.endpoint(of: interface)
            if !showsNames { (spec.name, spec.aliases) = ("", []) }
            names[endpoint.id] = spec
        }
        return names
    }

    /// Whether a wish came true.
    func isFulfilled(_ wish: Wish) -> Bool {
        switch wish {
        case .complete:
            namespace != nil && saved == workload && due.isEmpty && isTold && step == nil && !isLeaving
        case .raised:
            workload.sandbox == nil
                || (namespace != nil && due.isEmpty && isTold && step == nil && saved == workload)
        case .attached(let name): attached[name] != nil && isTold && step == nil
        case .detached(let name):
            attached[name] == nil && interface(name) == nil && isTold && saved == workload && step == nil
                && !isLeaving
        case .recorded: saved == workload
        case .started: wasStarted
        case .ended: !isAlive
        case .gone, .settled: false
        }
    }
}
