import Logging
import NIOPosix
import Synchronization
import WeftAgent
import WeftDatapath
import WeftKernel
import WeftLinux
import WeftModel
import WeftNet
import WeftNode
import WeftRPC
import WeftSandbox

/// This node's life in a swarm: agent, session, resolver, data plane, and on a manager its role.
final class Member: Sendable {
    let membership: Membership
    let credentials: NodeCredentials
    let agent: Agent
    let kernel: KernelDatapath
    let reconciler: KernelReconciler
    let role: ManagerRole?
    let resolver: DNSServer
    private let client: DispatcherClient
    private let file: NodeFile
    private let serving: Task<Void, any Error>?
    private let logger: Logger
    private let session = Mutex(SessionState())
    private let dismissal: AsyncStream<String>
    private let running = Mutex<Task<Void, Never>?>(nil)

    struct SessionState: Sendable {
        var isConnected = false
        var manager = ""
        /// Why the last session ended, empty while one is open.
        var problem = ""
        /// The manager does not know this node any more.
        var isRefused = false
    }

    var node: NodeID { credentials.identity.node }
    var sessionState: SessionState { session.withLock { $0 } }

    /// Sets everything up from the state directory; what the kernel has is adopted.
    static func start(
        settings: Settings, membership: Membership, credentials: NodeCredentials, sandboxes: SandboxKeeper,
        attachments: AttachmentKeeper, logger: Logger
    ) async throws -> Member {
        let role =
            membership.isManager
            ? try await ManagerRole.open(settings: settings, membership: membership, credentials: credentials, logger: logger)
            : nil
        let serving = try await role?.listen()
        do {
            let member = try await Member(
                settings: settings, membership: membership, credentials: credentials, role: role, serving: serving,
                logger: logger)
            await sandboxes.use(member.agent)
            // First of all: endpoints whose sandboxes live must not be taken for leftovers.
            await attachments.use(member.agent)
            let others = await attachments.namespaces
            member.agent.sandboxesFound(await sandboxes.namespaces().merging(others) { own, _ in own })
            await member.useUpstreams(of: sandboxes, adding: [:])
            member.begin()
            return member
        } catch {
            serving?.cancel()
            role?.stop()
            throw error
        }
    }

    private init(
        settings: Settings, membership: Membership, credentials: NodeCredentials, role: ManagerRole?,
        serving: Task<Void, any Error>?, logger: Logger
    ) async throws {
        self.membership = membership
        self.credentials = credentials
        self.role = role
        self.serving = serving
        self.logger = logger
        let node = credentials.identity.node
        kernel = try KernelDatapath(pinDirectory: settings.bpfDirectory, attachment: settings.attachment)
        reconciler = KernelReconciler(kernel: kernel, node: node, dataPathAddress: membership.dataPathAddress)
        let resolver = try await DNSServer.start(
            address: KernelDatapath.resolverAddress, port: 53, node: node, logger: logger)
        self.resolver = resolver
        file = try NodeFile(directory: settings.stateDirectory)
        let (saved, indexes) = try file.load()
        let (dismissal, dismiss) = AsyncStream<String>.makeStream()
        self.dismissal = dismissal
        agent = Agent(
            machine: NodeMachine(
                id: node, description: try Host.describe(), dataPathAddress: membership.dataPathAddress, saved: saved),
            placements: Placements(interfaceIndexes: indexes), store: file, kernel: reconciler,
            names: { resolver.update($0) }, now: Host.now, lost: { _, _ in },
            dismissed: { dismiss.yield($0) }, logger: logger)
        let known = saved.view.peers.compactMap(\.managerAddress) + membership.managers
        client = DispatcherClient(
            credentials: credentials, managers: known.compactMap { try? HostPort(parsing: $0) }, logger: logger)
    }

    private func begin() {
        let task = Task {
            await withTaskGroup { group in
                if let role { group.addTask { await role.run() } }
                group.addTask { await self.agent.run() }
                group.addTask { await self.keepSession() }
                group.addTask { await self.keepDescription() }
            }
        }
        running.withLock { $0 = task }
    }

    private func keepSession() async {
        await client.run(
            serve: { [agent] manager, incoming in
                self.session.withLock { $0 = SessionState(isConnected: true, manager: manager.manager.description) }
                agent.sessionOpened { message in (try? manager.send(message)) != nil }
                defer { agent.sessionClosed() }
                for try await message in incoming {
                    if case .assignments(let assignments) = message { self.follow(assignments) }
                    guard agent.received(message) else { return }
                }
            },
            ended: { [logger] end in
                self.session.withLock {
                    $0 = SessionState(
                        isConnected: false, manager: end.manager.description, problem: end.description,
                        isRefused: end.kind == .refused)
                }
                logger.warning("\(end)")
            })
    }

    /// Managers and trust roots come with the assignments.
    private func follow(_ assignments: Assignments) {
        let managers = assignments.peers.compactMap(\.managerAddress)
        if !managers.isEmpty { client.setManagers(managers.compactMap { try? HostPort(parsing: $0) }) }
        guard let roots = assignments.cluster?.rootCertificatesPEM, !roots.isEmpty else { return }
        do { try credentials.replaceRoots(pem: roots) } catch {
            logger.error("the swarm's new trust roots cannot be used", metadata: ["error": "\(error)"])
        }
    }

    /// The host's routes change; pools must not come to overlap them.
    private func keepDescription() async {
        while !Task.isCancelled {
            try? await Task.sleep(for: .seconds(10))
            if let description = try? Host.describe() { agent.describe(description) }
        }
    }

    /// Sandboxes that were given resolvers of their own, and those about to be made.
    func useUpstreams(of sandboxes: SandboxKeeper, adding new: [SandboxID: [IPv4Address]]) async {
        var upstreams = new
        for entry in await sandboxes.list() where !entry.spec.upstreams.isEmpty {
            upstreams[SandboxID(entry.spec.id)] = entry.spec.upstreams.compactMap { IPv4Address($0) }
        }
        resolver.use(upstreams: upstreams)
    }

    /// Tells the manager that this node leaves, and waits a little for its word.
    func sayGoodbye() async {
        guard sessionState.isConnected else { return }
        agent.leave()
        await withTaskGroup { group in
            group.addTask { for await _ in self.dismissal { return } }
            group.addTask { try? await Task.sleep(for: .seconds(3)) }
            await group.next()
            group.cancelAll()
        }
    }

    /// Ends everything but the kernel's part, which goes on.
    func stop() async {
        agent.shutDown()
        role?.stop()
        let task = running.withLock { $0 }
        task?.cancel()
        await task?.value
        serving?.cancel()
        _ = try? await serving?.value
        await resolver.stop()
        try? role?.close()
        try? file.close()
    }
}
