import Logging
import NIOPosix
import Synchronization
import WeftAPI
import WeftAgent
import WeftAgentCore
import WeftBPF
import WeftControl
import WeftDatapath
import WeftEngine
import WeftIdentity
import WeftKernel
import WeftKeys
import WeftLinux
import WeftManager
import WeftMembership
import WeftModel
import WeftNet
import WeftNode
import WeftRPC
import WeftSandbox
import WeftStoreSQLite
import WeftTunnelClient

/// What a node has in hand to take part in its swarm: nothing while it is locked, or while something stands in the way.
struct Participation: Sendable {
    let credentials: NodeCredentials
    /// A manager's.
    let role: ManagerRole?
}

/// This node's life in a swarm: agent, session, resolver, data plane, and on a manager its role. A locked manager has
/// neither session nor role, nor has a node with a file that cannot be used; what is attached goes on with what the node knew last.
final class Member: MemberLife {
    let membership: SavedMembership
    let node: NodeID
    /// Nil while the node is locked, or cannot take part.
    let credentials: NodeCredentials?
    let agent: Agent
    private let pins: DirectoryLock
    let kernel: KernelDatapath
    let reconciler: KernelReconciler<KernelDatapath>
    let role: ManagerRole?
    var isManaging: Bool { role != nil }
    let resolver: DNSServer
    /// What the resolver answers by inside containers.
    let doors: NamespaceDoors
    /// The keys of encrypted networks.
    let keeper: KeyKeeper<TunnelProcess, NodeCredentials>?
    /// What the keeper said last of paths to peers.
    private let pathConditions = Mutex<[PathCondition]>([])
    private let client: DispatcherClient?
    private let file: NodeFile
    /// Nothing was saved of this node, as if it were new.
    private let isMemoryLost: Bool
    private let serving: Task<Void, any Error>?
    private let logger: Logger
    private let session = Mutex(SessionStanding())
    private let dismissal: AsyncStream<String>
    private let running = Mutex<Task<Void, Never>?>(nil)

    var sessionState: SessionStanding { session.withLock { $0 } }

    /// Sets everything up from the state directory; what the kernel has is adopted.
    static func start(
        settings: Settings, membership: SavedMembership, node: NodeID, participation: Participation?,
        workloads: Workloads, threads: NIOThreadPool, logger: Logger
    ) async throws -> Member {
        let role = participation?.role
        var serving: Task<Void, any Error>?
        do {
            serving = try await role?.listen()
            let member = try await Member(
                settings: settings, membership: membership, node: node, credentials: participation?.credentials,
                role: role, serving: serving, workloads: workloads, threads: threads, logger: logger)
            let namespaces = await workloads.adopt(by: member.agent)
            if member.isMemoryLost {
                let names = await workloads.sandboxNames
                member.agent.interfacesFound(try member.interfaces(in: namespaces, names: names))
            }
            member.agent.sandboxesFound(namespaces)
            member.begin()
            return member
        } catch {
            serving?.cancel()
            role?.stop()
            try? role?.close()
            throw error
        }
    }

    /// The finished interfaces in the kernel, and whose they are: the sandboxes' that live here, or an engine's.
    private func interfaces(in namespaces: [SandboxID: String], names: [SandboxID: String]) throws -> [FoundEndpoint] {
        let host = HostConfiguration(dataPathAddress: membership.dataPathAddress, dataPathPort: reconciler.underlay.port)
        let finished = try kernel.finishedEndpoints(for: host)
        guard !finished.isEmpty else { return [] }
        var holders: [MACAddress: (sandbox: SandboxID, interface: String)] = [:]
        for (sandbox, path) in namespaces.sorted(by: { $0.key < $1.key }) {
            // One that ended just now has none.
            for (mac, name) in (try? KernelDatapath.interfaces(in: NetworkNamespace(path: path))) ?? [:] {
                holders[mac] = (sandbox, name)
            }
        }
        return finished.map { endpoint in
            var found = FoundEndpoint(
                id: endpoint.id, vni: endpoint.entry.vni, ipv4: endpoint.entry.address, ipv6: endpoint.entry.ipv6?.address,
                mac: endpoint.entry.mac)
            if let holder = holders[endpoint.entry.mac] {
                found.sandbox = holder.sandbox
                found.interface = holder.interface
                found.name = names[holder.sandbox] ?? ""
            }
            return found
        }
    }

    private init(
        settings: Settings, membership: SavedMembership, node: NodeID, credentials: NodeCredentials?, role: ManagerRole?,
        serving: Task<Void, any Error>?, workloads: Workloads, threads: NIOThreadPool, logger: Logger
    ) async throws {
        self.membership = membership
        self.credentials = credentials
        self.role = role
        self.serving = serving
        self.logger = logger
        self.node = node
        pins = try KernelDatapath.lockPins(settings.bpfDirectory)
        let kernel = try KernelDatapath(
            pinDirectory: settings.bpfDirectory, attachment: settings.attachment, translation: settings.translation)
        self.kernel = kernel
        if settings.translation == .socket, let reason = kernel.socketsProblem {
            logger.warning("services are translated at the interface alone, not where sockets connect", metadata: ["reason": "\(reason)"])
        }
        let (file, saved, indexes) = try NodeFile.open(directory: settings.stateDirectory) { logger.error("\($0)") }
        self.file = file
        isMemoryLost = saved.view.revision == .none && saved.own.endpoints.isEmpty
        let description = try Host.describe(dataPathAddress: membership.dataPathAddress, trust: credentials?.identity.trust)
        let address = membership.dataPathAddress
        reconciler = KernelReconciler(kernel: kernel, node: node, dataPathAddress: address) {
            try KernelDatapath.underlayMTU(for: address)
        }
        let resolver = try await DNSServer.start(
            address: KernelDatapath.resolverAddress, port: 53, node: node, limits: DNSLimits(descriptors: settings.descriptors),
            on: EventLoops.names.next(), drained: { kernel.resolverDrained($0 == .udp ? .udp : .tcp) }, logger: logger)
        self.resolver = resolver
        doors = NamespaceDoors(resolver: resolver, threads: threads) { try kernel.note($0, isIn: $1) }
        let tunnel = TunnelProcess(
            executable: settings.tunnelExecutable, runDirectory: settings.runDirectory, device: KernelDatapath.tunnelName,
            address: address.description, port: Constants.encryptedPort, innerPort: Constants.encryptedInnerPort,
            queues: min(4, HostSystem.processorCount))
        let keeper = credentials.map {
            KeyKeeper(.init(node: node, now: { .nanoseconds(HostSystem.monotonicClock) }), tunnel: tunnel, identity: $0, logger: logger)
        }
        self.keeper = keeper
        let (dismissal, dismiss) = AsyncStream<String>.makeStream()
        self.dismissal = dismissal
        agent = Agent(
            machine: NodeMachine(
                id: node, description: description, dataPathAddress: membership.dataPathAddress, saved: saved),
            placements: Placements(interfaceIndexes: indexes), store: file, kernel: reconciler,
            names: { resolver.update($0) }, now: Host.steadyNow, tasks: workloads.assign, keys: { keeper?.tell($0) },
            lost: { endpoints, _ in workloads.lose(endpoints) },
            dismissed: { dismiss.yield($0) }, logger: logger)
        let known = saved.view.peers.compactMap(\.managerAddress) + membership.managers
        client = credentials.map { credentials in
            DispatcherClient(
                credentials: credentials, managers: known.compactMap { try? HostPort(parsing: $0) },
                dataPathAddress: membership.dataPathAddress, logs: { try await workloads.tasks.serveLogs($0, $1) },
                eventLoopGroup: EventLoops.swarm, logger: logger)
        }
    }

    private func begin() {
        let task = Task {
            await withTaskGroup { group in
                if let role { group.addTask { await role.run() } }
                group.addTask { await self.agent.run() }
                if let client, let credentials {
                    group.addTask { await self.keepSession(client, credentials) }
                    group.addTask { await self.followCredentials(credentials) }
                }
                if let keeper {
                    group.addTask { [agent] in
                        await keeper.run {
                            switch $0 {
                            case .stated(let statement): agent.keysStated(statement)
                            case .ready(let readiness): agent.keysReady(readiness)
                            case .paths(let conditions):
                                self.pathConditions.withLock { $0 = conditions }
                                self.describe()
                            }
                        }
                    }
                }
                group.addTask { await self.keepDescription() }
                group.addTask { for await _ in Host.engine.changes() { self.describe() } }
            }
        }
        running.withLock { $0 = task }
    }

    private func keepSession(_ client: DispatcherClient, _ credentials: NodeCredentials) async {
        await client.run(
            serve: { [agent] manager, incoming in
                self.session.withLock { $0.opened(with: manager.manager.description) }
                // What changed while there was no session belongs into the hello.
                self.describe()
                agent.sessionOpened { message in (try? manager.send(message)) != nil }
                defer { agent.sessionClosed() }
                for try await message in incoming {
                    switch message {
                    case .assignments(let assignments): self.follow(assignments, client, credentials)
                    case .endpointRefused(let endpoint, let reason):
                        self.logger.warning(
                            "the swarm does not know an endpoint of this node",
                            metadata: ["endpoint": "\(endpoint)", "reason": "\(reason)"])
                    case .goodbye(let reason): self.session.withLock { $0.said(farewell: reason) }
                    case .leaseGranted, .leaseRefused, .addressesWanted, .othersFollowed: break
                    }
                    guard agent.received(message) else { return }
                }
            },
            ended: { [logger] end in
                let problem = self.session.withLock {
                    $0.ended(with: end.manager.description, reason: end.description, isRefused: end.kind == .refused)
                    return $0.problem
                }
                logger.warning("\(problem)")
            })
    }

    /// Managers and trust roots come with the assignments.
    private func follow(_ assignments: Assignments, _ client: DispatcherClient, _ credentials: NodeCredentials) {
        let managers = assignments.peers.compactMap(\.managerAddress)
        if !managers.isEmpty { client.setManagers(managers.compactMap { try? HostPort(parsing: $0) }) }
        guard let roots = assignments.cluster?.rootCertificatesPEM, !roots.isEmpty else { return }
        do { try credentials.replaceRoots(pem: roots, of: assignments.revision) } catch {
            logger.error("the swarm's new trust roots cannot be used", metadata: ["error": "\(error)"])
        }
    }

    /// The host's routes change, and pools must not come to overlap them; so does the MTU that its peers send by.
    private func keepDescription() async {
        while !Task.isCancelled {
            try? await Task.sleep(for: .seconds(10))
            describe()
        }
    }

    /// The manager waits for this node's new certificate while a root is being replaced.
    private func followCredentials(_ credentials: NodeCredentials) async {
        let changes = credentials.changes()
        // What changed since the agent was made.
        describe()
        for await _ in changes {
            describe()
            keeper?.identityChanged()
        }
    }

    private func describe() {
        let description = try? Host.describe(
            dataPathAddress: membership.dataPathAddress, trust: credentials?.identity.trust)
        guard var description else { return }
        let conditions = pathConditions.withLock { $0 }
        description.pathConditions = conditions.isEmpty ? nil : conditions
        agent.describe(description)
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

    // MARK: What is known of the swarm

    /// On a manager what the last commit made, else what a manager said last.
    var networks: [Network] {
        get async throws {
            if let role { return try await role.manager.read { $0.networks } }
            return try await agent.read { $0.networks }
        }
    }

    func snapshot() async throws -> ClusterSnapshot {
        var snapshot = ClusterSnapshot()
        if let role {
            (snapshot.networks, snapshot.endpoints, snapshot.peers) = try await role.manager.read {
                ($0.networks, $0.endpoints, $0.peers)
            }
        } else {
            (snapshot.networks, snapshot.endpoints, snapshot.peers) = try await agent.read {
                ($0.networks, $0.endpoints, $0.peers)
            }
        }
        // About its own endpoints the node knows best.
        let own = try await agent.read { $0.ownEndpoints }
        snapshot.endpoints = snapshot.endpoints.filter { $0.node != node } + own
        return snapshot
    }
}
