package import Logging
package import NIOPosix
package import WeftModel
package import WeftNode

/// Tells network namespaces apart. Blocks.
package protocol NamespaceReader: Sendable {
    /// The cookie of the namespace at a path, nil if none is there; throws when that cannot be told.
    func namespace(at path: String) throws -> UInt64?
}

/// Endpoints in network namespaces that others made. The namespaces are the runtimes', which may die without
/// a word.
package struct ForeignDriver: WorkloadDriver {
    private let reader: any NamespaceReader
    private let threads: NIOThreadPool
    private let interval: Duration
    private let logger: Logger

    /// `interval`: how often a namespace is looked at.
    package init(
        reader: any NamespaceReader, threads: NIOThreadPool, interval: Duration = .seconds(10), logger: Logger
    ) {
        self.reader = reader
        self.threads = threads
        self.interval = interval
        self.logger = logger
    }

    /// Nil: none is there.
    func cookie(at path: String) async throws -> UInt64? {
        let reader = reader
        return try await threads.runIfActive { try reader.namespace(at: path) }
    }

    /// Whether a workload's namespace is gone, or another one now. Of what cannot be looked at, nothing is
    /// said.
    func isGone(_ workload: Workload) async -> Bool {
        guard let foreign = workload.foreign else { return true }
        do { return try await cookie(at: foreign.path) != foreign.cookie } catch { return false }
    }

    package func found(_ records: [Workload]) async -> [FoundWorkload] {
        var found: [FoundWorkload] = []
        for record in records {
            found.append(FoundWorkload(record, namespace: await isGone(record) ? nil : record.foreign?.path))
        }
        return found
    }

    package func prepare(_ workload: Workload) async throws -> String {
        guard let foreign = workload.foreign, await !isGone(workload) else {
            throw AttachmentError.noNamespace(workload.foreign?.path ?? "")
        }
        return foreign.path
    }

    package func wait(_ workload: Workload) async {
        while !Task.isCancelled {
            try? await Task.sleep(for: interval)
            guard !Task.isCancelled, await isGone(workload) else { continue }
            return logger.info(
                "a container's network namespace is gone", metadata: ["sandbox": "\(workload.id)"])
        }
    }

    package func attached(_ endpoints: AttachedEndpoints, to workload: Workload) async -> Workload.Prepared? {
        nil
    }
    package func remove(_ workload: Workload) async {}
    // What runs in it is the runtime's.
    package func start(_ workload: Workload) async {}
    package func shutDown(_ workload: Workload, grace: Duration) async {}
    package func kill(_ workload: Workload) async {}
}

/// Interfaces in network namespaces that others made, as they are asked for.
package struct AttachmentKeeper: Sendable {
    private let driver: ForeignDriver
    private let workloads: WorkloadKeeper

    package init(driver: ForeignDriver, workloads: WorkloadKeeper) {
        self.driver = driver
        self.workloads = workloads
    }

    /// Sorted by sandbox and interface; those of an engine's containers are among them while they are
    /// attached.
    package var records: [AttachmentRecord] {
        get async throws { try await workloads.read { $0.attachments } }
    }

    /// Throws `AttachmentError.notFound`.
    package func record(_ sandbox: SandboxID, interface: String) async throws -> AttachmentRecord {
        let all = try await records
        guard let record = all.first(where: { $0.sandbox == sandbox && $0.interface == interface }) else {
            throw AttachmentError.notFound(sandbox, interface: interface)
        }
        return record
    }

    /// Returns once the interface is complete. Nothing is left when it throws.
    package func attach(_ wanted: NamespaceAttachmentRequest) async throws -> AttachmentRecord {
        let path = wanted.namespacePath
        guard let cookie = try await driver.cookie(at: path) else { throw AttachmentError.noNamespace(path) }
        let namespace = Workload.Foreign(path: path, cookie: cookie)
        let workload = Workload(wanted.sandbox, in: namespace, interfaces: [])
        // A container that starts again has a new namespace; what it had in the former is gone.
        if let former = try await workloads.read({ $0.workload(workload.id) }), former.kind == .foreign,
            former.foreign != namespace
        {
            guard await driver.isGone(former) else { throw AttachmentError.otherNamespace(wanted.sandbox) }
            workloads.tell(.observed(former.id, .ended))
            try await workloads.settle(former.id)
        }
        let interface = wanted.interface
        do {
            let endpoint = try await workloads.request { .attach($0, workload, interface) }
            return AttachmentRecord(workload, interface, namespacePath: path, endpoint: endpoint)
        } catch let error as WorkloadFailure {
            switch error {
            case .exists: throw AttachmentError.exists(wanted.sandbox, interface: interface.interface)
            case .otherNamespace: throw AttachmentError.otherNamespace(wanted.sandbox)
            case .noSwarm: throw NotInSwarm()
            case .removed: throw AttachError.sandboxGone(wanted.sandbox)
            default: throw error
            }
        }
    }

    /// Returns once the interface is gone; what is not there is gone already.
    package func detach(_ sandbox: SandboxID, interface: String) async throws {
        let id = try await workloads.read { machine in
            machine.workloads.first { $0.sandbox == sandbox && $0.kind == .foreign }?.id
        }
        guard let id else { return }
        try await workloads.request { .detach($0, id, interface: interface) }
    }
}

extension WorkloadMachine {
    fileprivate var attachments: [AttachmentRecord] {
        let records = workloads.filter { $0.kind != .sandbox }.flatMap { workload -> [AttachmentRecord] in
            let attached = endpoints(of: workload.id)
            let path = workload.foreign?.path ?? namespace(of: workload.id) ?? ""
            return workload.interfaces.compactMap { interface in
                let endpoint = attached[interface.interface]
                guard workload.kind == .foreign || endpoint != nil else { return nil }
                return AttachmentRecord(workload, interface, namespacePath: path, endpoint: endpoint)
            }
        }
        return records.sorted { ($0.sandbox, $0.interface) < ($1.sandbox, $1.interface) }
    }
}
