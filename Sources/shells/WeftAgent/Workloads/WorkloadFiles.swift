package import Logging
import WeftFiles
import WeftLinux
import WeftModel
package import WeftNode

/// One file for each workload: of an engine's containers in the state directory, as they survive boots; of
/// all else in the run directory, as namespaces do not.
package struct WorkloadFiles: WorkloadStore {
    /// Below either directory.
    package static let folder = "workloads"

    private let run: RecordFolder<Workload>
    private let state: RecordFolder<Workload>
    private let former: FormerWorkloads
    private let logger: Logger

    package init(runDirectory: String, stateDirectory: String, logger: Logger) {
        run = RecordFolder("\(runDirectory)/\(Self.folder)", survives: .process)
        state = RecordFolder("\(stateDirectory)/\(Self.folder)")
        former = FormerWorkloads(runDirectory: runDirectory, stateDirectory: stateDirectory)
        self.logger = logger
    }

    package func load() throws -> [Workload] {
        var workloads: [WorkloadID: Workload] = [:]
        for folder in [run, state] {
            for workload in try folder.load(unreadable: note) { workloads[workload.id] = workload }
        }
        for workload in try former.load(unreadable: note) where workloads[workload.id] == nil {
            try save(workload)
            workloads[workload.id] = workload
        }
        try former.remove()
        return workloads.values.sorted { $0.id < $1.id }
    }

    package func save(_ workload: Workload) throws {
        try folder(of: workload).save(workload, as: workload.id.rawValue)
    }

    package func remove(_ workload: Workload) throws { try folder(of: workload).remove(workload.id.rawValue) }

    private func folder(of workload: Workload) -> RecordFolder<Workload> {
        workload.kind == .prepared ? state : run
    }

    private func note(_ error: UnreadableRecord) {
        logger.warning(
            "the record of a workload cannot be read: its endpoints go as those of one without a record",
            metadata: ["error": "\(error)"])
    }
}

/// What former versions wrote: a file for each prepared container, and one for each interface in a runtime's
/// namespace.
struct FormerWorkloads {
    private struct Attachment: Codable {
        let sandbox: SandboxID
        let interface: String
        let network: NetworkID
        let namespacePath: String
        let namespace: UInt64
        let takesDefaultRoute: Bool
        let owner: String
    }

    /// Whose the interfaces of prepared containers were.
    private static let engine = "engine"

    private let attachments: RecordFolder<Attachment>
    private let containers: RecordFolder<PreparedContainer>

    init(runDirectory: String, stateDirectory: String) {
        attachments = RecordFolder("\(runDirectory)/attachments")
        containers = RecordFolder("\(stateDirectory)/containers")
    }

    func load(unreadable: (UnreadableRecord) -> Void) throws -> [Workload] {
        let containers = try containers.load(unreadable: unreadable).map { Workload($0) }
        let all = try attachments.load(unreadable: unreadable).filter { $0.owner != Self.engine }
        let bySandbox = Dictionary(grouping: all, by: \.sandbox).sorted { $0.key < $1.key }
        return containers
            + bySandbox.compactMap { sandbox, attachments in
                guard let first = attachments.first else { return nil }
                return Workload(
                    sandbox, in: .init(path: first.namespacePath, cookie: first.namespace),
                    interfaces: attachments.sorted { $0.interface < $1.interface }.map(Self.interface))
            }
    }

    private static func interface(_ attachment: Attachment) -> InterfaceSpec {
        InterfaceSpec(
            EndpointSpec(network: attachment.network), interface: attachment.interface,
            takesDefaultRoute: attachment.takesDefaultRoute, owner: attachment.owner)
    }

    /// They are on record in the present form.
    func remove() throws {
        try attachments.removeAll()
        try containers.removeAll()
    }
}
