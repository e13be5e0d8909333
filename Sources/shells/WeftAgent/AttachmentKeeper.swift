// Endpoints in network namespaces that others made. The namespaces are the runtimes', which may die without a word: those
// that are gone are noticed, and their endpoints go.
package import Logging
package import NIOPosix
import WeftAgentCore
package import WeftModel
import WeftNode

package actor AttachmentKeeper {
    private struct Key: Hashable {
        let sandbox: SandboxID
        let interface: String
    }

    private let store: any AttachmentStore
    private let threads: NIOThreadPool
    private let logger: Logger
    /// By sandbox, then by interface.
    private var known: [SandboxID: [String: AttachmentRecord]] = [:]
    /// Attachments that are being made or ended.
    private var busy: Set<Key> = []
    private var agent: Agent?

    package init(store: any AttachmentStore, threads: NIOThreadPool, logger: Logger) {
        self.store = store
        self.threads = threads
        self.logger = logger
    }

    /// Finds what an earlier run left.
    package func start() async throws {
        let store = store
        for record in try await threads.runIfActive({ try store.load() }) { note(record) }
        await collect()
    }

    /// Who attaches endpoints; it is told where the sandboxes are. Nil outside a swarm, where nothing is attached.
    package func use(_ agent: Agent?) {
        self.agent = agent
        guard let agent else { return records.forEach(forget) }
        for record in records { place(record, agent) }
    }

    /// Sorted by sandbox and interface.
    package var records: [AttachmentRecord] { known.keys.sorted().flatMap(records) }

    private func records(of sandbox: SandboxID) -> [AttachmentRecord] {
        (known[sandbox] ?? [:]).sorted { $0.key < $1.key }.map(\.value)
    }

    /// The sandboxes with the paths of their network namespaces.
    package var namespaces: [SandboxID: String] {
        Dictionary(records.map { ($0.sandbox, $0.namespacePath) }, uniquingKeysWith: { first, _ in first })
    }

    /// Throws `AttachmentError.notFound`.
    package func record(_ sandbox: SandboxID, interface: String) throws(AttachmentError) -> AttachmentRecord {
        guard let record = known[sandbox]?[interface] else {
            throw .notFound(sandbox, interface: interface)
        }
        return record
    }

    /// The endpoint that an attachment has, nil if it lost it.
    package func endpoint(of record: AttachmentRecord) async throws -> Endpoint? {
        try await agent?.read { machine in
            machine.ownEndpoints(of: record.sandbox).first { $0.network == record.network }
        }
    }

    /// Returns once the interface is complete. Nothing is left when it throws.
    package func attach(_ wanted: NamespaceAttachmentRequest) async throws -> (record: AttachmentRecord, endpoint: Endpoint) {
        guard let agent else {
            throw NotInSwarm()
        }
        let key = Key(sandbox: wanted.sandbox, interface: wanted.interface)
        guard busy.insert(key).inserted else { throw AttachmentError.exists(key.sandbox, interface: key.interface) }
        defer { busy.remove(key) }
        let (store, path) = (store, wanted.namespacePath)
        guard let namespace = try await threads.runIfActive({ try store.namespace(at: path) }) else {
            throw AttachmentError.noNamespace(path)
        }
        // A container that starts again has a new namespace; what it had in the former is gone.
        await collect(only: wanted.sandbox)
        for record in records(of: key.sandbox) where record.namespace != namespace {
            throw AttachmentError.otherNamespace(key.sandbox)
        }
        if let former = known[key.sandbox]?[key.interface] {
            guard try await endpoint(of: former) == nil else {
                throw AttachmentError.exists(key.sandbox, interface: key.interface)
            }
            forget(former)
        }
        let record = AttachmentRecord(
            sandbox: wanted.sandbox, interface: wanted.interface, network: wanted.endpoint.network, namespacePath: path,
            namespace: namespace, takesDefaultRoute: wanted.takesDefaultRoute, owner: wanted.owner)
        // Before the endpoint: one that is not on record is taken for a leftover at the next start.
        try await threads.runIfActive { try store.save(record) }
        note(record)
        place(record, agent)
        do {
            let endpoint = try await agent.attach(AttachRequest(wanted.endpoint, sandbox: wanted.sandbox))
            return (record, endpoint)
        } catch {
            forget(record)
            throw error
        }
    }

    /// Returns once the interface is gone; what is not there is gone already.
    package func detach(_ sandbox: SandboxID, interface: String) async throws {
        let key = Key(sandbox: sandbox, interface: interface)
        guard let record = known[sandbox]?[interface], busy.insert(key).inserted else { return }
        defer { busy.remove(key) }
        if let agent, let endpoint = try await endpoint(of: record) {
            do { try await agent.detach(endpoint.id) } catch AttachError.endpointNotFound {}
        }
        forget(record)
    }

    /// Looks every few seconds for namespaces that are gone, until cancellation.
    package func run() async {
        while !Task.isCancelled {
            try? await Task.sleep(for: .seconds(10))
            await collect()
        }
    }

    /// Ends attachments whose namespace is gone, or is another one now.
    private func collect(only sandbox: SandboxID? = nil) async {
        let (store, candidates) = (store, sandbox.map(records) ?? records)
        guard !candidates.isEmpty else { return }
        let gone = try? await threads.runIfActive {
            candidates.filter { record in
                // Of what cannot be looked at, nothing is said.
                do { return try store.namespace(at: record.namespacePath) != record.namespace } catch { return false }
            }
        }
        for record in gone ?? [] where known[record.sandbox]?[record.interface] == record {
            logger.info(
                "a container's network namespace is gone",
                metadata: ["sandbox": "\(record.sandbox)", "interface": "\(record.interface)"])
            // All of a sandbox's are in one namespace.
            agent?.sandboxGone(record.sandbox)
            forget(record)
        }
    }

    private func place(_ record: AttachmentRecord, _ agent: Agent) {
        agent.place(
            record.sandbox, namespacePath: record.namespacePath,
            interfaces: [
                record.network: .init(name: record.interface, takesDefaultRoute: record.takesDefaultRoute)
            ])
    }

    private func forget(_ record: AttachmentRecord) {
        known[record.sandbox]?[record.interface] = nil
        do { try store.remove(record) } catch {
            logger.error(
                "an attachment's record is left", metadata: ["sandbox": "\(record.sandbox)", "error": "\(error)"])
        }
        guard known[record.sandbox]?.isEmpty ?? true else { return }
        known[record.sandbox] = nil
        agent?.sandboxGone(record.sandbox)
    }

    private func note(_ record: AttachmentRecord) { known[record.sandbox, default: [:]][record.interface] = record }
}
