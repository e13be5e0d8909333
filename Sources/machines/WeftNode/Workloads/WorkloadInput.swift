package import WeftModel

/// Counts the steps of a workload: what comes back of a former one is not taken for the present one's.
package typealias StepNumber = UInt64

/// What reaches the machine of this node's workloads.
package enum WorkloadInput: Hashable, Sendable {
    /// What earlier runs left, before all else. `namespace`: where it is, if it is there still; `process`: as
    /// its driver found it.
    case found([FoundWorkload])
    /// This node is in a swarm, in which its sandboxes have these endpoints; nil: it is in none.
    case membership([Endpoint]?)

    /// Makes a workload: replied to once it is complete, but for its process. Nothing is left of one that
    /// fails.
    case prepare(RequestID, Workload)
    /// One more interface, or another wish for one; replied to with its endpoint, at once where it has no
    /// place now. A runtime's workload is made if it is not there.
    case attach(RequestID, Workload, InterfaceSpec)
    /// Replied to once the interface is gone; what is not there is gone already.
    case detach(RequestID, WorkloadID, interface: String)
    /// All interfaces are to be in place, until `lower`, whatever is observed meanwhile.
    case raise(RequestID, WorkloadID)
    case lower(WorkloadID)
    /// Lets its process go.
    case start(RequestID, WorkloadID)
    /// Ends its process, with force after the grace.
    case shutDown(RequestID, WorkloadID, grace: Duration)
    /// `force`: whatever runs in it ends.
    case remove(RequestID, WorkloadID, force: Bool)
    /// Replied to once nothing is left to do for it, or of it.
    case settle(RequestID, WorkloadID)
    /// Whose it is, and how it is called.
    case identify(RequestID, WorkloadID, sandbox: SandboxID, name: String)
    /// The driver's part of the record changed.
    case describe(RequestID, WorkloadID, Workload.Prepared)

    /// What is said of a workload by whom it belongs to.
    case observed(WorkloadID, Observation)
    /// All containers that the engine has, asked after an instant.
    case containersFound(Set<SandboxID>, asOf: Instant)
    /// Endpoints ended without the workload's doing.
    case lost([EndpointID])
    /// A step is through.
    case done(WorkloadID, StepNumber, StepResult)
    /// Time passed. At least every few seconds.
    case tick
}

package struct FoundWorkload: Hashable, Sendable {
    package var workload: Workload
    package var namespace: String?
    package var process: WorkloadProcess
    /// False: what a former version left, which has no record yet.
    package var isRecorded: Bool

    package init(
        _ workload: Workload, namespace: String? = nil, process: WorkloadProcess = .none,
        isRecorded: Bool = true
    ) {
        self.workload = workload
        self.isRecorded = isRecorded
        self.namespace = namespace
        self.process = process
    }
}

/// What runs in a workload, as far as weftd is concerned with it.
package enum WorkloadProcess: Hashable, Sendable {
    /// Nothing of weftd's.
    case none
    /// It waits for `start`.
    case created
    case running
    case ended
}

package enum Observation: Hashable, Sendable {
    case running
    /// `isFinal`: it will not start again by itself.
    case stopped(isFinal: Bool)
    /// Its owner was told to end it: having stopped, it will not start again.
    case over
    /// It has ended, and its namespace with it.
    case ended
    /// Its owner has it no more.
    case gone
}

/// One thing to do for a workload. Each has at most one under way.
package enum WorkloadStep: Hashable, Sendable {
    case save(Workload)
    /// Make the namespace, or find it.
    case prepare
    case attach(EndpointSpec, SandboxID, namespace: String, interface: String)
    case detach(EndpointID)
    /// What a sandbox has goes at once, as its namespace is gone.
    case release(SandboxID)
    /// Endpoints are told to the driver, all of them.
    case tell([Endpoint])
    /// Endpoints are called so from now on; nobody asks for one without a name.
    case rename([EndpointID: EndpointSpec], SandboxID)
    case start
    case shutDown(grace: Duration)
    case remove
    case forget
}

package enum StepResult: Hashable, Sendable {
    /// Of `prepare`: with the path of the namespace.
    case prepared(String)
    /// Of `attach`.
    case attached(Endpoint)
    /// Of `tell`: with the driver's part of the record, if it changed.
    case told(Workload.Prepared?)
    case done
    case failed(WorkloadFailure)
}

/// Why something could not be done. The shell keeps the error itself, which the caller gets.
package enum WorkloadFailure: Error, Hashable, Sendable, CustomStringConvertible {
    case notFound(WorkloadID)
    case exists(SandboxID, interface: String)
    case alreadyThere(WorkloadID)
    case otherNamespace(SandboxID)
    case noSwarm
    case isRunning(WorkloadID)
    case ended(WorkloadID)
    case removed(WorkloadID)
    case unavailable(WorkloadID)
    case busy(WorkloadID)
    case step(StepFailure)

    package var description: String {
        switch self {
        case .notFound(let id): "there is no workload \(id)"
        case .exists(let sandbox, let interface): "container \(sandbox) has an interface \(interface) already"
        case .alreadyThere(let id): "workload \(id) is there already"
        case .otherNamespace(let sandbox):
            "container \(sandbox) is attached in another network namespace already"
        case .noSwarm: "this node is not part of a swarm, so there are no networks to attach to"
        case .isRunning(let id): "workload \(id) is running"
        case .ended(let id): "workload \(id) has ended"
        case .unavailable(let id): "workload \(id) is not in a state for this; look at the log of weftd"
        case .busy(let id): "too much waits for workload \(id) already; try again"
        case .removed(let id): "workload \(id) was removed meanwhile"
        case .step(let failure): "\(failure.error)"
        }
    }
}

/// What a step failed with; each is another one.
package struct StepFailure: Hashable, Sendable {
    package let number: StepNumber
    package let error: any Error

    package init(number: StepNumber, _ error: any Error) {
        self.number = number
        self.error = error
    }

    package static func == (left: Self, right: Self) -> Bool { left.number == right.number }
    package func hash(into hasher: inout Hasher) { hasher.combine(number) }
}

/// What the shell must do. Steps are begun in this order, and go on beside each other.
package enum WorkloadAction: Hashable, Sendable {
    case begin(Workload, StepNumber, WorkloadStep)
    /// Ends what runs in it, beside the step under way, which comes back by that.
    case kill(Workload)
    /// Exactly one for each request. An endpoint where one was asked for.
    case reply(RequestID, Result<Endpoint?, WorkloadFailure>)
    /// Something that nobody waits for was not to be had.
    case complain(Workload, WorkloadFailure)
}
