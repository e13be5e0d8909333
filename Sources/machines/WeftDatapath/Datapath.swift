// What the kernel should hold, as a value computed from what a node knows; what it holds; and the difference as idempotent steps.
// Knows no system call: whoever performs the steps (`WeftKernel`, a test's memory) implements the protocol `Datapath` and may be
// asked the same step twice.
package import WeftModel
package import WeftNet

/// One idempotent step towards the desired state. Not found on removal and exists on creation are success.
package enum DatapathOperation: Hashable, Sendable {
    case prepareHost(HostPart, HostConfiguration)
    case removeStrayProgram(interface: UInt32)
    case removeStrayEntry(interface: UInt32)
    case removeLocation(OverlayAddress)
    case removeMember(Membership)
    case removeSubnet(AnyIPPrefix)
    case removeService(OverlayAddress)
    case removePublished(PublishedAt)
    /// Removes the veth pair with everything that refers to it.
    case removeEndpoint(hostInterface: String)
    case setSubnet(AnyIPPrefix, VNI)
    case setMember(Membership, MemberTunnel)
    case createEndpoint(DesiredEndpoint, hostInterface: String)
    /// Brings what is there, inside and outside, to what is desired.
    case repairEndpoint(DesiredEndpoint, hostInterface: String)
    case setLocation(OverlayAddress, Location)
    case setService(OverlayAddress, VirtualService)
    /// Takes the port of the host, and leads it to the service. A port that another has is no failure: it stays the other's.
    case setPublished(PublishedAt, PublishedService)

    /// The endpoint that suffers when the operation fails.
    package var endpoint: EndpointID? {
        switch self {
        case .createEndpoint(let endpoint, _), .repairEndpoint(let endpoint, _): endpoint.id
        case .setLocation(_, .local(let id, _, _, _)): id
        default: nil
        }
    }
}

/// An operation that did not succeed.
package struct DatapathFailure: Hashable, Sendable {
    package let operation: DatapathOperation
    /// A sentence.
    package let reason: String

    package init(operation: DatapathOperation, reason: String) {
        self.operation = operation
        self.reason = reason
    }

    /// The endpoint it concerns; nil: the host as a whole.
    package var endpoint: EndpointID? { operation.endpoint }
}

/// The kernel, or something that plays it.
package protocol Datapath {
    /// Reads what is there and compares the host's parts with `host`.
    func observe(for host: HostConfiguration) throws -> ObservedState
    /// Performs the operations in order, goes on after failures, and returns these.
    func apply(_ operations: [DatapathOperation]) -> [DatapathFailure]
}

/// Keeps the kernel as desired: remembers what was observed, so that a change costs what it changes.
package struct DatapathReconciler: Sendable {
    private var observed: Observation?

    package init() {}

    /// Addresses that interfaces of endpoints here have; nil when the last round failed, so that nobody knows.
    package var addressesHeld: Set<IPAddress>? { observed?.held }

    /// Makes the next reconciliation observe anew: at intervals, for drift, and after events that tell of one.
    package mutating func forget() { observed = nil }

    /// Brings `datapath` to the desired state. After a failure the next call observes anew.
    ///
    /// - Parameter keys: what may be different from the state desired before; nil for anything.
    /// - Returns: what failed; empty when the kernel is as desired.
    package mutating func reconcile(
        _ desired: DesiredState, changed keys: DatapathKeys? = nil, with datapath: some Datapath
    ) throws -> [DatapathFailure] {
        if let host = observed?.state.host, !host.isSameBut(vtepsOf: desired.host) { observed = nil }
        let isKnown = observed != nil
        // Changed in place below: a copy would be one of all there is.
        if !isKnown { observed = Observation(try datapath.observe(for: desired.host)) }
        let operations = observed.map { difference(desired: desired, observed: $0, in: isKnown ? keys : nil) } ?? []
        guard !operations.isEmpty else { return [] }
        let failures = datapath.apply(operations)
        guard failures.isEmpty else {
            observed = nil
            return failures
        }
        for operation in operations { observed?.record(operation) }
        return []
    }
}
