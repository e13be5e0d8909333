import Logging
import NIOPosix
import WeftAPI
import WeftAgent
import WeftEngine
import WeftIdentity
import WeftKernel
import WeftLinux
import WeftManager
import WeftModel
import WeftNet
import WeftPlugin
import WeftRPC

/// The daemon: in a swarm or not, and the way from one to the other. Its API is in `Daemon+Backend.swift`.
actor Daemon {
    let settings: Settings
    let keeper: SandboxKeeper
    let attachments: AttachmentKeeper
    let prepared: ContainerKeeper
    private(set) var follower: ContainerFollower?
    private var watching: Task<Void, Never>?
    /// The container engine of this host.
    let engine: LocalEngine
    /// What weftd answers inside containers.
    let names: ContainerNames
    let threads: NIOThreadPool
    let logger: Logger
    private(set) var member: Member?
    /// The data key of a manager that waits for its unlock key.
    private var locked: LockedDataKey?
    let eventLog = ClusterEventLog()
    private var plugin: PluginService?
    /// Names of containers that were told to be none, each with its container.
    private var refusedNames: Set<String> = []
    /// Membership could not be taken up at the start; why.
    private(set) var startFailure: String?
    /// Containers of the engine's that clients of weftd's socket are having started, as they call them.
    var containersStarting: [String] = []
    /// An init, join or leave is under way.
    private(set) var isChanging = false

    private var files: StateFiles { StateFiles(directory: settings.stateDirectory) }

    init(settings: Settings, keeper: SandboxKeeper, engine: LocalEngine, threads: NIOThreadPool, logger: Logger) {
        self.settings = settings
        self.keeper = keeper
        attachments = AttachmentKeeper(
            store: AttachmentFiles(runDirectory: settings.runDirectory, logger: logger), threads: threads, logger: logger)
        let files = StateFiles(directory: settings.stateDirectory)
        prepared = ContainerKeeper(
            store: ContainerFiles(runDirectory: settings.runDirectory, stateDirectory: settings.stateDirectory, logger: logger),
            attachments: attachments,
            ports: HostPorts { (try? files.loadMembership())??.dataPathAddress }, threads: threads, logger: logger)
        self.engine = engine
        names = ContainerNames(threads: threads, logger: logger)
        self.threads = threads
        self.logger = logger
    }

    /// True for the first time since the container left.
    func isNew(refused name: String, of container: SandboxID) -> Bool { refusedNames.insert("\(container) \(name)").inserted }

    func forgetRefusedNames(of container: SandboxID) {
        refusedNames = refusedNames.filter { !$0.hasPrefix("\(container) ") }
    }

    /// Who tells of the engine's containers when asked.
    func use(_ follower: ContainerFollower) { self.follower = follower }

    /// Sandboxes and containers that were given resolvers of their own.
    func useUpstreams(adding new: [SandboxID: [IPv4Address]] = [:]) async {
        await member?.useUpstreams(of: keeper, adding: await prepared.upstreams.merging(new) { _, new in new })
    }

    /// Takes up the membership that an earlier run had. What stands in the way is told by the API, so that the operator can act, and
    /// tried again.
    func start() async {
        await keeper.start()
        do { try await attachments.start() } catch {
            logger.error("the attachments of earlier runs cannot be read", metadata: ["error": "\(error)"])
        }
        do { try await prepared.start() } catch {
            logger.error("the containers of earlier runs cannot be prepared", metadata: ["error": "\(error)"])
        }
        let (attachments, prepared) = (attachments, prepared)
        watching = Task {
            await withTaskGroup { group in
                group.addTask { await attachments.run() }
                group.addTask { await prepared.run() }
                group.addTask { await self.keepTrying() }
            }
        }
        await takeUp()
    }

    private static let retry = Duration.seconds(5)

    /// A full disk gets room, a file is restored.
    private func keepTrying() async {
        while !Task.isCancelled {
            try? await Task.sleep(for: Self.retry)
            guard startFailure != nil, !isChanging, !Task.isCancelled else { continue }
            isChanging = true
            await takeUp()
            isChanging = false
        }
    }

    /// Becomes what the state directory says this node is, or as much of it as can be.
    private func takeUp() async {
        do {
            guard let membership = try files.loadMembership() else {
                guard try NodeIdentity.peer(in: settings.stateDirectory) == nil else {
                    throw UnreadableState(
                        path: "\(settings.stateDirectory)/membership.json", reason: "it is missing, and a certificate is there")
                }
                startFailure = nil
                return
            }
            do { try await resume(membership) } catch {
                // Names and interfaces go on with what the node knew last.
                if member == nil, let node = try membership.node ?? NodeIdentity.peer(in: settings.stateDirectory)?.node {
                    try await begin(membership, node, nil)
                }
                throw error
            }
        } catch {
            let failure = CannotTakePart(error).description
            if failure != startFailure { logger.error("\(failure)") }
            startFailure = failure
        }
    }

    private func resume(_ membership: Membership) async throws {
        let directory = settings.stateDirectory
        guard let peer = try NodeIdentity.peer(in: directory) else {
            throw UnreadableState(path: "\(directory)/node.pem", reason: "it is missing")
        }
        var membership = membership
        if membership.node == nil {
            membership.node = peer.node
            try files.save(membership)
        }
        var seal: ManagerSeal?
        if membership.isManager {
            let file = SealFile(directory: directory)
            switch try file.load() {
            case nil where try NodeIdentity.isSealed(in: directory):
                throw UnreadableState(
                    path: "\(directory)/seal.json", reason: "it is missing, and the node's key is sealed with what it held")
            case nil: seal = try ManagerSeal.make(settings: settings)
            case .open(let key): seal = ManagerSeal(key: key, file: file, lockedBy: nil)
            case .locked(let key):
                guard locked == nil || member == nil else { return }
                return try await waitForKey(key, membership, peer.node)
            }
        }
        try await takePart(membership, seal)
    }

    private func waitForKey(_ key: LockedDataKey, _ membership: Membership, _ node: NodeID) async throws {
        await stopWaiting()
        locked = key
        do { try await begin(membership, node, nil) } catch {
            // It does not wait yet, and is to be tried again.
            locked = nil
            throw error
        }
        logger.warning("this manager is locked until it is given the swarm's unlock key")
    }

    /// Begins with the identity that lies in the state directory; nothing has changed when that cannot be read.
    private func takePart(_ membership: Membership, _ seal: ManagerSeal?) async throws {
        let directory = settings.stateDirectory
        guard let credentials = try NodeCredentials.load(from: directory, sealing: seal?.key) else {
            throw UnreadableState(path: "\(directory)/node.pem", reason: "it is missing")
        }
        let participation = try await participation(membership, credentials, seal)
        await stopWaiting()
        try await begin(membership, credentials.identity.node, participation)
    }

    private func participation(
        _ membership: Membership, _ credentials: NodeCredentials, _ seal: ManagerSeal?
    ) async throws -> Participation {
        guard let seal else { return Participation(credentials: credentials, role: nil) }
        let role = try await ManagerRole.open(
            settings: settings, membership: membership, credentials: credentials, seal: seal, eventLog: eventLog, logger: logger)
        return Participation(credentials: credentials, role: role)
    }

    /// Ends the life of a node without session and role, for a whole one. What it answers inside containers ends with it, as its
    /// resolver does: whoever begins opens them anew.
    private func stopWaiting() async {
        guard let waiting = member else { return }
        member = nil
        await names.endAll()
        await waiting.stop()
    }

    /// True while this node is a manager that waits for its unlock key.
    var isLocked: Bool { locked != nil }

    /// Ends the wait: the same as a restart that finds the key open.
    func unlock(with key: Secret) async throws {
        try await changing {
            guard let locked, let waiting = member else { throw APIError.notLocked }
            let dataKey: DataKey
            do { dataKey = try locked.open(with: key) } catch UnlockError.noKey { throw APIError.badUnlockKey } catch UnlockError.wrongKey {
                throw APIError.wrongUnlockKey
            }
            let file = SealFile(directory: settings.stateDirectory)
            do {
                try await takePart(waiting.membership, ManagerSeal(key: dataKey, file: file, lockedBy: key))
                self.locked = nil
            } catch {
                guard member == nil else { throw error }
                do { try await begin(waiting.membership, waiting.node, nil) } catch {
                    // Nor does it wait for a key any more: it is taken up again as after a restart.
                    self.locked = nil
                    startFailure = CannotTakePart(error).description
                }
                throw error
            }
        }
    }

    /// The engine's driver, which is to forget the swarm with this node.
    func use(_ plugin: PluginService) async {
        self.plugin = plugin
        await openDoors()
    }

    /// Answers in the containers that were there before this weftd, or before this member. None has a door of an earlier member's: those
    /// went with its resolver.
    private func openDoors() async {
        guard let plugin, let resolver = member?.resolver else { return }
        for (endpoint, path) in await plugin.joined { await names.join(endpoint, path: path, mayCome: false, by: resolver) }
    }

    func stop() async {
        await names.endAll()
        await member?.stop()
        watching?.cancel()
        await keeper.stop()
    }

    private func begin(_ membership: Membership, _ node: NodeID, _ participation: Participation?) async throws {
        member = try await Member.start(
            settings: settings, membership: membership, node: node, participation: participation, sandboxes: keeper,
            attachments: attachments, logger: logger)
        await prepared.use(member?.agent)
        await useUpstreams()
        await openDoors()
        startFailure = nil
    }

    /// One change of membership at a time.
    private func changing<Value>(_ body: () async throws -> Value) async throws -> Value {
        guard !isChanging else { throw APIError(503, "this node is just joining or leaving a swarm; try again in a moment") }
        isChanging = true
        defer { isChanging = false }
        return try await body()
    }

    func initialise(_ request: SwarmInitRequest) async throws -> NodeID {
        try await changing {
            guard member == nil, startFailure == nil else { throw APIError.alreadyInSwarm }
            let advertise = try Host.address(request.advertiseAddress, option: "--advertise-addr")
            try files.checkRoom()
            var membership = Membership(
                isManager: true,
                listenAddress: try listenAddress(request.listenAddress), listenPort: request.listenPort,
                advertiseAddress: advertise, advertisePort: request.advertisePort,
                dataPathAddress: try request.dataPathAddress.map { try Host.address($0, option: "--data-path-addr") } ?? advertise,
                managers: ["\(advertise):\(request.advertisePort)"])
            return try await orForget {
                let seal = try ManagerSeal.make(settings: settings)
                let identity = try await ManagerRole.bootstrap(
                    settings: settings, membership: membership, request: request, seal: seal)
                let credentials = try NodeCredentials(
                    identity, directory: settings.stateDirectory, sealing: seal.key)
                membership.node = identity.node
                try files.save(membership)
                try await begin(membership, identity.node, try await participation(membership, credentials, seal))
                return identity.node
            }
        }
    }

    func join(_ request: SwarmJoinRequest) async throws {
        try await changing {
            guard member == nil, startFailure == nil else { throw APIError.alreadyInSwarm }
            guard request.availability == .active else {
                throw APIError.unavailable(
                    "a node joins as active in this version of Weft; set its availability on a manager afterwards: "
                        + "weft node update --availability \(request.availability.rawValue) NODE")
            }
            let listen = try listenAddress(request.listenAddress)
            var failure = JoinFailure.none
            for remote in request.remotes {
                let manager = "\(remote.host):\(remote.port)"
                do {
                    // Before anything is said to the manager: a join that cannot be used must leave no node behind.
                    let advertise = try await advertiseAddress(request, towards: remote)
                    try files.checkRoom()
                    let dataPath = try request.dataPathAddress.map { try Host.address($0, option: "--data-path-addr") } ?? advertise
                    try await orForget {
                        let identity = try await JoinClient(eventLoopGroup: EventLoops.swarm).join(
                            token: request.token.exposed, manager: manager)
                        let membership = Membership(
                            isManager: false, listenAddress: listen, listenPort: request.listenPort,
                            advertiseAddress: advertise, advertisePort: request.advertisePort, dataPathAddress: dataPath,
                            node: identity.node, managers: [manager])
                        try files.save(membership)
                        let credentials = try NodeCredentials(identity, directory: settings.stateDirectory)
                        try await begin(membership, identity.node, Participation(credentials: credentials, role: nil))
                    }
                    return
                } catch let error as JoinError {
                    failure = .told("\(error)")
                }
            }
            if case .told(let reason) = failure { throw APIError(500, reason) }
        }
    }

    private enum JoinFailure {
        case none
        case told(String)
    }

    func leave(force: Bool) async throws {
        try await changing {
            if let startFailure, !force { throw APIError(503, startFailure) }
            if let member {
                if isLocked, !force { throw APIError.lockedLeave }
                if member.role != nil, !force { throw APIError.lastManager }
                if !member.membership.isManager { await member.sayGoodbye() }
                await keeper.use(nil)
                await prepared.use(nil)
                await attachments.use(nil)
                await names.endAll()
                await member.stop()
                self.member = nil
                locked = nil
            } else if startFailure == nil {
                throw APIError.notInSwarm
            }
            startFailure = nil
            await plugin?.forget()
            try files.wipe()
            let pins = settings.bpfDirectory
            try await threads.runIfActive { try KernelDatapath.teardown(pinDirectory: pins) }
        }
    }

    /// Undoes what a change of membership left when it throws.
    private func orForget<Value>(_ body: () async throws -> Value) async throws -> Value {
        do {
            return try await body()
        } catch {
            member = nil
            await keeper.use(nil)
            await prepared.use(nil)
            await attachments.use(nil)
            do {
                try files.wipe()
                let pins = settings.bpfDirectory
                try await threads.runIfActive { try KernelDatapath.teardown(pinDirectory: pins) }
            } catch {
                logger.error("something of the swarm is left on this node", metadata: ["error": "\(error)"])
            }
            throw error
        }
    }

    private func listenAddress(_ given: HostAddress?) throws -> IPv4Address {
        switch given {
        case nil: IPv4Address(rawValue: 0)
        case .address(let address) where address.isUnspecified: address
        case let given: try Host.address(given, option: "--listen-addr")
        }
    }

    /// The address that packets to the manager leave from, unless one is given.
    private func advertiseAddress(
        _ request: SwarmJoinRequest, towards remote: SwarmJoinRequest.Remote
    ) async throws -> IPv4Address {
        if let given = request.advertiseAddress { return try Host.address(given, option: "--advertise-addr") }
        if let manager = IPv4Address(remote.host), let source = try HostInterfaces.read().sourceAddress(towards: manager) {
            return source
        }
        return try Host.address(nil, option: "--advertise-addr")
    }
}
