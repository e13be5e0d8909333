package import Logging
import WeftModel
import WeftNet
package import WeftNode
import WeftThreads

/// Containers of an engine that takes no network driver: weftd makes the namespace, the engine starts the
/// container in it and tells how it is.
///
/// It lives on a thread of its own, where it makes namespaces.
package actor ContainerDriver: WorkloadDriver {
    private let thread = BlockingExecutor()
    package nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    private let namespaces: any ContainerNamespaces
    private let publisher: PortPublisher
    private let logger: Logger

    package init(namespaces: any ContainerNamespaces, publisher: PortPublisher, logger: Logger) {
        self.namespaces = namespaces
        self.publisher = publisher
        self.logger = logger
    }

    package nonisolated func namespacePath(_ id: WorkloadID) -> String {
        namespaces.namespacePath(token: id.rawValue)
    }

    /// After a boot the namespaces are gone; the engine needs them to start its containers.
    package func found(_ records: [Workload]) -> [FoundWorkload] {
        records.map { record in
            var found = FoundWorkload(record)
            do {
                let isNew = try namespaces.makeNamespace(token: record.id.rawValue)
                if isNew { found.workload.prepared?.published = [] }
                found.namespace = namespacePath(record.id)
            } catch {
                logger.error(
                    "a container of an earlier run cannot be prepared",
                    metadata: ["name": "\(record.name)", "error": "\(error)"])
            }
            return found
        }
    }

    package func prepare(_ workload: Workload) throws -> String {
        _ = try namespaces.makeNamespace(token: workload.id.rawValue)
        return namespacePath(workload.id)
    }

    package func remove(_ workload: Workload) async throws {
        await publisher.forget(workload.id)
        try namespaces.removeNamespace(token: workload.id.rawValue)
    }

    // What runs in it is the engine's, which tells of it.
    package func start(_ workload: Workload) {}
    package func wait(_ workload: Workload) {}
    package func shutDown(_ workload: Workload, grace: Duration) {}
    package func kill(_ workload: Workload) {}

    package func attached(_ endpoints: AttachedEndpoints, to workload: Workload) async throws -> Workload.Prepared? {
        try await publisher.attached(endpoints, to: workload)
    }
}
