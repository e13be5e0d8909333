import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import WeftAPI
import WeftAgent
import WeftEngine
import WeftIdentity
import WeftLinux
import WeftManager
import WeftMembership
import WeftModel
import WeftNode
import WeftPlugin

/// All of weftd, put together in one go: what each part needs is there before it, and nobody is told of others afterwards.
struct Daemon: ServiceLifecycle.Service {
    private let settings: Settings
    private let lifecycle: NodeLifecycle<WeftParts, Workloads>
    private let watcher: EngineWatcher
    private let engine: Engine
    private let plugin: PluginService?
    private let api: APIServer
    /// Held as long as the daemon runs.
    private let locks: [DirectoryLock]
    private let logger: Logger

    init(
        settings: Settings, sandboxDescriptors: Int?, secure: SecureListener?, locks: [DirectoryLock], logger: Logger
    ) throws {
        self.settings = settings
        self.locks = locks
        self.logger = logger
        let threads = NIOThreadPool(numberOfThreads: 8)
        threads.start()
        let membership = NodeMembership<Member>()
        let eventLog = ClusterEventLog()
        let starts = ContainerStarts()
        let engine = LocalEngine(socketPath: settings.engineSocketPath)
        self.engine = engine.engine
        let names = ContainerNames(logger: logger)

        let driver = EngineDriver(membership: membership, names: names, starts: starts, logger: logger)
        plugin = Self.plugin(driver, settings, logger)
        let workloads = try Self.workloads(
            settings, engine: engine, membership: membership, sandboxDescriptors: sandboxDescriptors, names: names, plugin: plugin,
            threads: threads, logger: logger)
        lifecycle = NodeLifecycle(
            parts: WeftParts(
                settings: settings, workloads: workloads, eventLog: eventLog, threads: threads, logger: logger),
            followers: workloads, membership: membership, files: StateDirectory(settings.stateDirectory),
            keeping: [WorkloadFiles.folder], logger: logger)

        watcher = EngineWatcher(
            engine: engine, containers: workloads.follower,
            observer: EngineNews(membership: membership, names: names, tasks: workloads.tasks, logger: logger), logger: logger)
        let swarm = SwarmVerbs(
            settings: settings, membership: membership, lifecycle: lifecycle, tasks: workloads.tasks, eventLog: eventLog,
            upkeep: EngineUpkeep(engine: engine, logger: logger), starts: starts, threads: threads)
        let router = Router(
            backend: swarm, sandboxes: SandboxVerbs(membership: membership, workloads: workloads),
            namespaces: NamespaceVerbs(membership: membership, attachments: workloads.attachments, threads: threads),
            engine: engine,
            containers: ContainerVerbs(membership: membership, workloads: workloads), logger: logger)
        api = APIServer(
            router: router, socketPath: settings.socketPath,
            inherited: settings.inheritedSockets[settings.socketPath], secure: secure, logger: logger)
    }

    private static func workloads(
        _ settings: Settings, engine: LocalEngine, membership: NodeMembership<Member>, sandboxDescriptors: Int?,
        names: ContainerNames, plugin: PluginService?,
        threads: NIOThreadPool, logger: Logger
    ) throws -> Workloads {
        let namespaces = NamespaceFiles(runDirectory: settings.runDirectory)
        let files = StateDirectory(settings.stateDirectory)
        let publisher = PortPublisher(
            ports: HostPorts { (try? files.loadMembership())??.dataPathAddress }, logger: logger)
        let sandboxes = try SandboxDriver(
            runDirectory: settings.runDirectory, shimExecutable: settings.shimExecutable,
            descriptors: sandboxDescriptors, threads: threads, publisher: publisher, logger: logger)
        let foreign = ForeignDriver(reader: namespaces, threads: threads, logger: logger)
        let containers = ContainerDriver(namespaces: namespaces, publisher: publisher, logger: logger)
        let keeper = WorkloadKeeper(
            drivers: [.sandbox: sandboxes, .foreign: foreign, .prepared: containers],
            store: WorkloadFiles(
                runDirectory: settings.runDirectory, stateDirectory: settings.stateDirectory, logger: logger),
            now: Host.steadyNow, logger: logger)
        let sandboxKeeper = SandboxKeeper(driver: sandboxes, workloads: keeper)
        let taskFiles = TaskFileStore(runDirectory: settings.runDirectory)
        let sandboxTasks = SandboxTaskDriver(
            sandboxes: sandboxKeeper, driver: sandboxes, files: taskFiles, resolver: { SandboxVerbs.resolver(hasNetwork: $0) },
            useServers: { membership.member?.resolver.use(upstreams: $0, of: $1) }, logger: logger)
        let prepared = ContainerKeeper(driver: containers, workloads: keeper, now: Host.steadyNow)
        let follower = ContainerFollower(
            engine: engine, observer: ContainerNews(prepared: prepared, logger: logger), logger: logger)
        let preparedTasks = PreparedTasks(
            containers: prepared, follower: follower,
            useServers: { membership.member?.resolver.use(upstreams: $0, of: $1) })
        let engineTasks = EngineTaskDriver(
            engine: engine, prepared: preparedTasks, files: taskFiles, node: { membership.member?.node }, logger: logger)
        return Workloads(
            keeper: keeper, sandboxDriver: sandboxes, publisher: publisher, sandboxes: sandboxKeeper,
            attachments: AttachmentKeeper(driver: foreign, workloads: keeper),
            containers: prepared, follower: follower,
            tasks: TaskKeeper(drivers: [.sandbox: sandboxTasks, .container: engineTasks], now: Host.steadyNow, logger: logger),
            names: names, plugin: plugin, logger: logger)
    }

    /// Nil where no engine is to find it, or where its state is out of reach: the rest works all the same.
    private static func plugin(_ driver: EngineDriver, _ settings: Settings, _ logger: Logger) -> PluginService? {
        guard settings.pluginSocketPath != nil else { return nil }
        do {
            return try PluginService(
                backend: driver, store: PluginFile(directory: settings.stateDirectory),
                journal: CallJournal(directory: settings.runDirectory, now: Host.steadyNow), logger: logger)
        } catch {
            logger.error("dockerd gets no network driver from this daemon", metadata: ["error": "\(error)"])
            return nil
        }
    }

    /// Serves from start to the signal that ends it.
    func run() async throws {
        // What this node says first is to have its engine in it.
        await Host.engine.look(at: engine, within: .seconds(1))
        await lifecycle.start()
        try await cancelWhenGracefulShutdown {
            try await withThrowingTaskGroup { group in
                group.addTask { await watcher.run() }
                group.addTask { await Host.engine.follow(engine) }
                group.addTask { await servePlugin() }
                group.addTask { try await api.run() }
                // The watcher ends only when it is cancelled.
                try await group.next()
                group.cancelAll()
            }
        }
        await lifecycle.stop()
    }

    /// The engine's driver, until cancelled. Without it the rest works all the same.
    private func servePlugin() async {
        if let plugin, let path = settings.pluginSocketPath {
            do {
                let inherited = settings.inheritedSockets[path]
                if inherited == nil, let slash = path.lastIndex(of: "/") {
                    try FileSystem.makeDirectory(String(path[..<slash]))
                }
                try await PluginServer(service: plugin, socketPath: path, inherited: inherited, logger: logger)
                    .run(group: EventLoops.plugin)
            } catch {
                logger.error("dockerd gets no network driver from this daemon", metadata: ["error": "\(error)"])
            }
        }
        while !Task.isCancelled { try? await Task.sleep(for: .seconds(3600)) }
    }
}
