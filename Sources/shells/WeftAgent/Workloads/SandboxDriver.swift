// Sandboxes of Weft's own: made by their supervisors, which outlive weftd. Their directories say what runs in
// them.
package import Logging
package import NIOPosix
package import WeftModel
import WeftNet
package import WeftNode
package import WeftSandbox
import WeftThreads

/// It lives on a thread of its own, where it reads and writes the sandboxes' files. With supervisors it
/// speaks on others: one that does not answer holds up its own sandbox only.
package actor SandboxDriver: WorkloadDriver {
    private let thread = BlockingExecutor()
    package nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    private let store: SandboxStore
    private let shimExecutable: String
    private let descriptors: Int?
    private let watcher: ExitWatcher
    private let threads: NIOThreadPool
    private let publisher: PortPublisher
    private let logger: Logger
    /// Names of all sandboxes, those that are being made among them, by id.
    private var names: [String: String] = [:]
    /// The newest conversation with each supervisor.
    private var conversations: [String: Task<Void, Never>] = [:]
    private var waitingForExit: [String: [CheckedContinuation<Void, Never>]] = [:]

    /// `threads` runs what blocks; one of them is taken for good.
    /// - Parameter descriptors: how many descriptors a sandbox's processes may have open; nil: as many as
    /// this process.
    package init(
        runDirectory: String, shimExecutable: String, descriptors: Int? = nil, threads: NIOThreadPool,
        publisher: PortPublisher, logger: Logger
    ) throws {
        store = SandboxStore(runDirectory: runDirectory)
        self.shimExecutable = shimExecutable
        self.descriptors = descriptors
        self.threads = threads
        self.publisher = publisher
        self.logger = logger
        watcher = try ExitWatcher()
        do { try store.removeLeftovers() } catch {
            logger.warning("a removed sandbox's files stay", metadata: ["error": "\(error)"])
        }
    }

    package func stop() { watcher.finish() }

    // MARK: What there is

    package func list() -> [SandboxStore.Entry] { store.list() }

    /// Those that a user may mean by a name, an id, or the beginning of an id. However many there are, only the
    /// files of these are read.
    package func matching(_ reference: String) -> [SandboxStore.Entry] {
        guard !reference.isEmpty else { return [] }
        let ids = names.filter { $0.value == reference || $0.key.hasPrefix(reference) }.keys
        return ids.sorted().compactMap { store.load(id: $0) }
    }

    /// By name, id, or the beginning of an id.
    package func find(_ reference: String) throws -> SandboxStore.Entry { try store.find(reference) }

    package func entry(_ id: String) throws -> SandboxStore.Entry {
        guard let entry = store.load(id: id) else { throw SandboxError.notFound(id) }
        return entry
    }

    /// Writes the files of a sandbox to be. Names are unique on a node, as DNS sees them.
    package func stage(_ spec: SandboxSpec) throws {
        let name = spec.name.lowercased()
        guard !names.values.contains(where: { $0.lowercased() == name }) else {
            throw SandboxError.nameTaken(spec.name)
        }
        _ = try store.create(spec, nameIsFree: true)
        names[spec.id] = spec.name
    }

    /// Takes back the files of one that was not made.
    package func unstage(_ id: String) {
        guard store.load(id: id)?.state?.isAlive != true else { return }
        names[id] = nil
        do { try store.remove(id: id) } catch {
            logger.error(
                "a sandbox's directory is left", metadata: ["sandbox": "\(id)", "error": "\(error)"])
        }
    }

    package func waitForEnd(of id: String) async { await waitForExit(id) }

    package func signal(_ id: String, _ number: Int32) async throws {
        let entry = try entry(id)
        guard entry.state?.isAlive == true, let number = UInt8(exactly: number) else {
            throw SandboxError.notRunning(entry.spec.name)
        }
        try await converse(id) {
            // Whoever says KILL means the sandbox, whatever its supervisor does.
            if number == 9 {
                try SandboxControl.kill(entry.directory)
            } else {
                try SandboxControl.signal(entry.directory, number)
            }
        }
    }

    // MARK: Health

    /// Looks whether a sandbox is well by what its spec says, on a thread of its own: it takes as long as it takes, and nobody else up.
    package func isWell(_ id: String, within limit: Duration) async throws -> Bool {
        let entry = try entry(id)
        guard let command = entry.spec.health?.command else { return true }
        let thread = NIOThreadPool(numberOfThreads: 1)
        thread.start()
        let code: Int32?
        do { code = try await thread.runIfActive { try SandboxControl.check(entry, command: command, limit: limit) } } catch {
            // A command that is not there says nothing good.
            logger.debug("a health check failed", metadata: ["sandbox": "\(id)", "reason": "\(error)"])
            code = nil
        }
        try? await thread.shutdownGracefully()
        return code == 0
    }

    /// The next weftd goes by it.
    package func note(_ id: String, isHealthy: Bool) throws { try entry(id).directory.note(isHealthy: isHealthy) }

    // MARK: A workload's life

    /// Every directory is a sandbox, whether it is on record or not; a record without one is of a sandbox
    /// that is gone.
    package func found(_ records: [Workload]) -> [FoundWorkload] {
        let watcher = watcher
        threads.submit { [weak self] state in
            guard state == .active else { return }
            watcher.run { directory, code in
                let id = String(directory.path.split(separator: "/").last ?? "")
                Task { await self?.ended(id, code: code) }
            }
        }
        let known = Dictionary(records.map { ($0.id, $0) }) { first, _ in first }
        var found: [FoundWorkload] = []
        for entry in store.list() {
            names[entry.spec.id] = entry.spec.name
            let record = known[WorkloadID(entry.spec.id)]
            var one = FoundWorkload(
                record ?? Self.workload(entry.spec, endpoints: []), isRecorded: record != nil)
            if let state = entry.state, state.isAlive {
                watcher.watch(entry.directory)
                one.namespace = state.netnsPath
                one.process = state.status == .created ? .created : .running
            } else {
                one.process = .ended
            }
            found.append(one)
        }
        let present = Set(found.map(\.workload.id))
        for record in records where !present.contains(record.id) {
            var gone = record
            gone.removesItself = true
            found.append(FoundWorkload(gone, process: .ended))
        }
        return found
    }

    /// The workload that a sandbox is, with interfaces in the order of the endpoints, and ports of the host's that lead to it.
    package static func workload(_ spec: SandboxSpec, endpoints: [EndpointSpec], ports: [WantedPort] = []) -> Workload {
        var workload = Workload(
            id: WorkloadID(spec.id), kind: .sandbox, sandbox: SandboxID(spec.id), name: spec.name,
            interfaces: endpoints.enumerated().map { InterfaceSpec($1, interface: "eth\($0)") })
        workload.removesItself = spec.autoRemove
        if !ports.isEmpty { workload.publish(ports) }
        return workload
    }

    /// Makes the sandbox out of its files, complete but for its process.
    package func prepare(_ workload: Workload) async throws -> String {
        let entry = try entry(workload.id.rawValue)
        let (shim, descriptors) = (shimExecutable, descriptors)
        let launched = try await threads.runIfActive {
            try SandboxLauncher.launch(
                spec: entry.spec, directory: entry.directory, shimExecutable: shim, descriptors: descriptors)
        }
        watcher.watch(entry.directory)
        return launched.netnsPath
    }

    /// Its host name is one of its addresses.
    package func attached(_ endpoints: AttachedEndpoints, to workload: Workload) async throws -> Workload.Prepared? {
        let prepared = try await publisher.attached(endpoints, to: workload)
        var entry = try entry(workload.id.rawValue)
        guard entry.state?.isAlive == true else { return prepared }
        entry.spec.hosts = endpoints.endpoints.flatMap(\.addresses).map {
            SandboxSpec.HostsEntry(address: $0.description, names: [entry.spec.hostname])
        }
        entry.spec.hosts += entry.spec.ownHosts ?? []
        try store.update(entry.spec)
        try entry.directory.writeHosts(entry.spec.hosts)
        return prepared
    }

    package func start(_ workload: Workload) async throws {
        let entry = try entry(workload.id.rawValue)
        try await converse(entry.spec.id) { try SandboxControl.start(entry.directory) }
    }

    package func wait(_ workload: Workload) async { await waitForExit(workload.id.rawValue) }

    /// Its stop signal, and SIGKILL after the grace.
    package func shutDown(_ workload: Workload, grace: Duration) async throws {
        let entry = try entry(workload.id.rawValue)
        guard entry.state?.isAlive == true else { return }
        let killer = Task {
            if entry.state?.status != .created, grace > .zero {
                let signal = entry.spec.stopSignal.flatMap { UInt8(exactly: $0) } ?? 15
                try? await converse(entry.spec.id) { try SandboxControl.signal(entry.directory, signal) }
                try await Task.sleep(for: grace)
            }
            await end(entry)
        }
        await waitForExit(entry.spec.id)
        killer.cancel()
    }

    package func kill(_ workload: Workload) async {
        guard let entry = store.load(id: workload.id.rawValue) else { return }
        await end(entry)
    }

    package func remove(_ workload: Workload) async throws {
        let id = workload.id.rawValue
        // The supervisor takes a moment to go.
        if store.load(id: id)?.state?.isAlive == true { await waitForExit(id) }
        await publisher.forget(workload.id)
        try store.remove(id: id)
        names[id] = nil
    }

    // MARK: Parts

    private func end(_ entry: SandboxStore.Entry) async {
        do { try await converse(entry.spec.id) { try SandboxControl.kill(entry.directory) } } catch {
            // Ended by itself, most often.
            logger.debug(
                "a sandbox cannot be killed", metadata: ["sandbox": "\(entry.spec.id)", "reason": "\(error)"])
        }
    }

    /// Speaks with a supervisor on a thread of its own, as that blocks. One conversation at a time with each:
    /// one that does not answer holds a thread for a while, and nobody else up.
    private func converse(_ id: String, _ body: @escaping @Sendable () throws -> Void) async throws {
        let before = conversations[id]
        let task = Task { () -> Result<Void, any Error> in
            await before?.value
            let thread = NIOThreadPool(numberOfThreads: 1)
            thread.start()
            let result: Result<Void, any Error>
            do { result = .success(try await thread.runIfActive(body)) } catch { result = .failure(error) }
            try? await thread.shutdownGracefully()
            return result
        }
        let last = Task { _ = await task.value }
        conversations[id] = last
        let result = await task.value
        if conversations[id] == last { conversations[id] = nil }
        try result.get()
    }

    private func waitForExit(_ id: String) async {
        guard store.directory(id).state()?.isAlive == true else { return }
        await withCheckedContinuation { waitingForExit[id, default: []].append($0) }
    }

    private func ended(_ id: String, code: Int32) {
        logger.info("sandbox ended", metadata: ["sandbox": "\(id)", "code": "\(code)"])
        for continuation in waitingForExit.removeValue(forKey: id) ?? [] { continuation.resume() }
    }
}
