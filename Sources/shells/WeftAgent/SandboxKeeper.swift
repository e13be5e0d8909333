// This host's sandboxes: made, attached, started, ended. Their records are their directories; what runs belongs to the
// shims, so a weftd that starts finds what an earlier one left.
package import Logging
package import NIOPosix
package import WeftModel
import WeftNet
import WeftNode
package import WeftSandbox

package actor SandboxKeeper {
    private let store: SandboxStore
    private let shimExecutable: String
    private let descriptors: Int?
    private let watcher: ExitWatcher
    private let threads: NIOThreadPool
    private let logger: Logger
    private var agent: Agent?
    /// Names of all sandboxes, those that are being made among them, by id.
    private var names: [String: String] = [:]
    /// The newest conversation with each supervisor.
    private var conversations: [String: Task<Void, Never>] = [:]
    private var waitingForExit: [String: [CheckedContinuation<Void, Never>]] = [:]
    private var generator = SystemRandomNumberGenerator()

    /// `threads` runs what blocks; one of them is taken for good.
    /// - Parameter descriptors: how many descriptors a sandbox's processes may have open; nil: as many as this process.
    package init(
        runDirectory: String, shimExecutable: String, descriptors: Int? = nil, threads: NIOThreadPool, logger: Logger
    ) throws {
        store = SandboxStore(runDirectory: runDirectory)
        self.shimExecutable = shimExecutable
        self.descriptors = descriptors
        self.threads = threads
        self.logger = logger
        watcher = try ExitWatcher()
        do { try store.removeLeftovers() } catch { logger.warning("a removed sandbox's files stay", metadata: ["error": "\(error)"]) }
    }

    /// Finds what runs, and clears away what ended with `--rm` while nobody looked.
    package func start() {
        let watcher = watcher
        threads.submit { [weak self] state in
            guard state == .active else { return }
            watcher.run { directory, code in
                let id = String(directory.path.split(separator: "/").last ?? "")
                Task { await self?.ended(id, code: code) }
            }
        }
        for entry in store.list() {
            names[entry.spec.id] = entry.spec.name
            if entry.state?.isAlive == true {
                watcher.watch(entry.directory)
            } else if entry.spec.autoRemove {
                names[entry.spec.id] = nil
                try? store.remove(id: entry.spec.id)
            }
        }
    }

    package func stop() { watcher.finish() }

    /// The living sandboxes with the paths of their network namespaces.
    package func namespaces() -> [SandboxID: String] {
        var result: [SandboxID: String] = [:]
        for entry in store.list() {
            if let state = entry.state, state.isAlive { result[SandboxID(entry.spec.id)] = state.netnsPath }
        }
        return result
    }

    /// Who attaches endpoints; nil outside a swarm.
    package func use(_ agent: Agent?) { self.agent = agent }

    package func list() -> [SandboxStore.Entry] { store.list() }

    /// Those that a user may mean by a name, an id, or the beginning of an id. However many there are, only the files of these are read.
    package func matching(_ reference: String) -> [SandboxStore.Entry] {
        guard !reference.isEmpty else { return [] }
        let ids = names.filter { $0.value == reference || $0.key.hasPrefix(reference) }.keys
        return ids.sorted().compactMap { store.load(id: $0) }
    }

    /// By name, id, or the beginning of an id.
    package func find(_ reference: String) throws -> SandboxStore.Entry { try store.find(reference) }

    /// Makes a sandbox, complete but for its process, which `startProcess` lets go. Nothing is left when it throws.
    package func create(
        _ spec: SandboxSpec, endpoints: [EndpointSpec]
    ) async throws -> SandboxStore.Entry {
        var spec = spec
        // As DNS sees them.
        let name = spec.name.lowercased()
        guard !names.values.contains(where: { $0.lowercased() == name }) else { throw SandboxError.nameTaken(spec.name) }
        guard endpoints.isEmpty || agent != nil else {
            throw NotInSwarm()
        }
        let directory = try store.create(spec, nameIsFree: true)
        names[spec.id] = spec.name
        let sandbox = SandboxID(spec.id)
        do {
            let (initial, shim, descriptors) = (spec, shimExecutable, descriptors)
            let launched = try await threads.runIfActive {
                try SandboxLauncher.launch(spec: initial, directory: directory, shimExecutable: shim, descriptors: descriptors)
            }
            watcher.watch(directory)
            agent?.place(sandbox, namespacePath: launched.netnsPath)
            for wanted in endpoints {
                let endpoint = try await attach(sandbox, name: spec.name, wanted)
                spec.hosts += hostsEntries(endpoint, spec)
            }
            try store.update(spec)
            try directory.writeHosts(spec.hosts)
        } catch {
            await discard(spec.id, directory)
            throw error
        }
        return try entry(spec.id)
    }

    private func attach(_ sandbox: SandboxID, name: String, _ wanted: EndpointSpec) async throws -> Endpoint {
        guard let agent else { throw NotInSwarm() }
        var endpoint = wanted
        endpoint.name = name
        endpoint.aliases.append(String(sandbox.rawValue.prefix(12)))
        return try await agent.attach(AttachRequest(endpoint, sandbox: sandbox))
    }

    private func hostsEntries(_ endpoint: Endpoint, _ spec: SandboxSpec) -> [SandboxSpec.HostsEntry] {
        endpoint.addresses.map { SandboxSpec.HostsEntry(address: $0.description, names: [spec.hostname]) }
    }

    /// Takes back a sandbox that could not be made.
    private func discard(_ id: String, _ directory: SandboxDirectory) async {
        await kill(id, directory)
        if directory.state()?.isAlive == true { await waitForExit(id) }
        agent?.sandboxGone(SandboxID(id))
        names[id] = nil
        try? store.remove(id: id)
    }

    /// Lets the process go. Nothing on a running one.
    package func startProcess(_ id: String) async throws {
        let entry = try entry(id)
        guard entry.state?.status == .created else {
            if entry.state?.isAlive == true { return }
            throw SandboxError.notRunning(entry.spec.name)
        }
        try await converse(id) { try SandboxControl.start(entry.directory) }
    }

    /// SIGTERM, and SIGKILL after the timeout; returns once it has ended.
    package func stopProcess(_ id: String, timeout: Duration) async throws {
        let entry = try entry(id)
        guard entry.state?.isAlive == true else { return }
        let killer = Task {
            if entry.state?.status != .created {
                try? await converse(id) { try SandboxControl.signal(entry.directory, 15) }
                try await Task.sleep(for: timeout)
            }
            await kill(id, entry.directory)
        }
        await waitForExit(id)
        killer.cancel()
    }

    package func signal(_ id: String, _ number: Int32) async throws {
        let entry = try entry(id)
        guard entry.state?.isAlive == true, let number = UInt8(exactly: number) else {
            throw SandboxError.notRunning(entry.spec.name)
        }
        try await converse(id) {
            // Whoever says KILL means the sandbox, whatever its supervisor does.
            if number == 9 { try SandboxControl.kill(entry.directory) } else { try SandboxControl.signal(entry.directory, number) }
        }
    }

    /// Speaks with a supervisor on a thread of its own, as that blocks. One conversation at a time with each: one that does not
    /// answer holds a thread for a while, and nobody else up.
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

    private func kill(_ id: String, _ directory: SandboxDirectory) async {
        do { try await converse(id) { try SandboxControl.kill(directory) } } catch {
            // Ended by itself, most often.
            logger.debug("a sandbox cannot be killed", metadata: ["sandbox": "\(id)", "reason": "\(error)"])
        }
    }

    package func remove(_ id: String, force: Bool) async throws {
        let entry = try entry(id)
        if entry.state?.isAlive == true {
            guard force || entry.state?.status == .created else { throw SandboxError.stillRunning(entry.spec.name) }
            await kill(id, entry.directory)
            await waitForExit(id)
        }
        agent?.sandboxGone(SandboxID(id))
        try store.remove(id: id)
        names[id] = nil
    }

    /// Attaches a living sandbox to one more network.
    package func connect(_ id: String, _ wanted: EndpointSpec) async throws {
        var entry = try entry(id)
        guard entry.state?.isAlive == true else { throw SandboxError.notRunning(entry.spec.name) }
        let endpoint = try await attach(SandboxID(id), name: entry.spec.name, wanted)
        entry.spec.hosts += hostsEntries(endpoint, entry.spec)
        try store.update(entry.spec)
        try entry.directory.writeHosts(entry.spec.hosts)
    }

    package func disconnect(_ id: String, _ endpoint: Endpoint) async throws {
        guard let agent else { throw NotInSwarm() }
        try await agent.detach(endpoint.id)
        var entry = try entry(id)
        let gone = endpoint.addresses.map(\.description)
        entry.spec.hosts.removeAll { gone.contains($0.address) }
        try store.update(entry.spec)
        try entry.directory.writeHosts(entry.spec.hosts)
    }

    private func entry(_ id: String) throws -> SandboxStore.Entry {
        guard let entry = store.load(id: id) else { throw SandboxError.notFound(id) }
        return entry
    }

    private func waitForExit(_ id: String) async {
        guard store.load(id: id)?.state?.isAlive == true else { return }
        await withCheckedContinuation { waitingForExit[id, default: []].append($0) }
    }

    private func ended(_ id: String, code: Int32) {
        logger.info("sandbox ended", metadata: ["sandbox": "\(id)", "code": "\(code)"])
        agent?.sandboxGone(SandboxID(id))
        if let entry = store.load(id: id), entry.spec.autoRemove {
            names[id] = nil
            do { try store.remove(id: id) } catch {
                logger.error("a sandbox's directory is left", metadata: ["sandbox": "\(id)", "error": "\(error)"])
            }
        }
        for continuation in waitingForExit.removeValue(forKey: id) ?? [] { continuation.resume() }
    }
}
