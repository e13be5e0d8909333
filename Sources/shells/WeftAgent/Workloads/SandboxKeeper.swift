package import WeftModel
import WeftNode
package import WeftSandbox

/// This host's sandboxes, as a person asks for them.
package struct SandboxKeeper: Sendable {
    private let driver: SandboxDriver
    private let workloads: WorkloadKeeper

    package init(driver: SandboxDriver, workloads: WorkloadKeeper) {
        self.driver = driver
        self.workloads = workloads
    }

    package func list() async -> [SandboxStore.Entry] { await driver.list() }

    /// Those that a user may mean by a name, an id, or the beginning of an id.
    package func matching(_ reference: String) async -> [SandboxStore.Entry] { await driver.matching(reference) }

    /// By name, id, or the beginning of an id.
    package func find(_ reference: String) async throws -> SandboxStore.Entry {
        try await driver.find(reference)
    }

    /// Makes a sandbox, complete but for its process, which `startProcess` lets go. Nothing is left when it
    /// throws.
    package func create(
        _ spec: SandboxSpec, endpoints: [EndpointSpec], ports: [WantedPort] = []
    ) async throws -> SandboxStore.Entry {
        try await driver.stage(spec)
        do {
            let workload = SandboxDriver.workload(spec, endpoints: endpoints, ports: ports)
            try await request(spec.id) { .prepare($0, workload) }
            return try await driver.entry(spec.id)
        } catch {
            await driver.unstage(spec.id)
            throw error
        }
    }

    /// The host's ports that lead to it now; nil: it is not known, as before what earlier runs left is taken up.
    package func published(_ id: String) async throws -> [PublishedPort]? {
        try await workloads.read { machine in machine.workload(WorkloadID(id)).map { $0.prepared?.published ?? [] } }
    }

    /// Lets the process go. Nothing on a running one.
    package func startProcess(_ id: String) async throws {
        try await request(id) { .start($0, WorkloadID(id)) }
    }

    /// SIGTERM, and SIGKILL after the timeout; returns once it has ended.
    package func stopProcess(_ id: String, timeout: Duration) async throws {
        try await request(id) { .shutDown($0, WorkloadID(id), grace: timeout) }
    }

    package func signal(_ id: String, _ number: Int32) async throws { try await driver.signal(id, number) }

    package func remove(_ id: String, force: Bool) async throws {
        try await request(id) { .remove($0, WorkloadID(id), force: force) }
    }

    /// Attaches a living sandbox to one more network.
    package func connect(_ id: String, _ wanted: EndpointSpec) async throws {
        let workload = try await workloads.read { $0.workload(WorkloadID(id)) }
        guard let workload else { throw SandboxError.notFound(id) }
        let interface = InterfaceSpec(wanted, interface: workload.freeInterface)
        try await request(id) { .attach($0, workload, interface) }
    }

    /// False: it is not on that network.
    package func disconnect(_ id: String, network: NetworkID) async throws -> Bool {
        let workload = try await workloads.read { $0.workload(WorkloadID(id)) }
        guard let interface = workload?.interfaces.first(where: { $0.endpoint.network == network })?.interface
        else {
            return false
        }
        try await request(id) { .detach($0, WorkloadID(id), interface: interface) }
        return true
    }

    private func request(_ id: String, _ input: @escaping @Sendable (RequestID) -> WorkloadInput) async throws {
        do { try await workloads.request(input) } catch let error as WorkloadFailure {
            let name = await (try? driver.entry(id).spec.name) ?? id
            switch error {
            case .notFound: throw SandboxError.notFound(name)
            case .ended: throw SandboxError.notRunning(name)
            case .isRunning: throw SandboxError.stillRunning(name)
            case .noSwarm: throw NotInSwarm()
            case .removed: throw AttachError.sandboxGone(SandboxID(id))
            default: throw error
            }
        }
    }
}
