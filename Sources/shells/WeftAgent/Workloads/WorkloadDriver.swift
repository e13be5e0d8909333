package import WeftModel
package import WeftNode

/// How one kind of workload comes to be, and ends. A driver knows nothing of other kinds, of records, or of
/// what was asked before: the machine says what is to be done, one thing at a time for each workload. Any
/// call may take long, and delays nobody else.
package protocol WorkloadDriver: Sendable {
    /// What earlier runs left: how the workloads on record are, and those of former versions that are on no
    /// record.
    func found(_ records: [Workload]) async throws -> [FoundWorkload]
    /// Makes the namespace, or finds it, and returns its path; all is there but a process that waits for
    /// `start`.
    func prepare(_ workload: Workload) async throws -> String
    /// These endpoints are attached now. Returns its part of the record if that changed.
    func attached(_ endpoints: AttachedEndpoints, to workload: Workload) async throws -> Workload.Prepared?
    /// Lets the process go, and returns once it runs.
    func start(_ workload: Workload) async throws
    /// Returns once it has ended, or the namespace is gone; never, if its owner tells of that.
    func wait(_ workload: Workload) async
    /// Ends the process, by force after the grace, and returns once it has ended.
    func shutDown(_ workload: Workload, grace: Duration) async throws
    /// Ends it at once, beside whatever else is done with it.
    func kill(_ workload: Workload) async
    /// Takes away what `prepare` made; nothing there is fine.
    func remove(_ workload: Workload) async throws
}

package struct AttachedEndpoints: Sendable {
    /// In the order of the workload's interfaces.
    package let endpoints: [Endpoint]
    /// Networks among theirs that lead nowhere outside.
    package let internals: Set<NetworkID>

    package init(endpoints: [Endpoint], internals: Set<NetworkID> = []) {
        self.endpoints = endpoints
        self.internals = internals
    }
}

/// Remembers workloads, each as long as what it is of: an engine's containers over boots, all else over
/// restarts of weftd. Blocks.
package protocol WorkloadStore: Sendable {
    /// Everything saved, by former versions too. What cannot be read any more is left out.
    func load() throws -> [Workload]
    func save(_ workload: Workload) throws
    /// Nothing there is fine.
    func remove(_ workload: Workload) throws
}
