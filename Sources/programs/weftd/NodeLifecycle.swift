import Logging
import NIOPosix
import WeftAPI
import WeftAgent
import WeftFiles
import WeftIdentity
import WeftKernel
import WeftLinux
import WeftManager
import WeftModel
import WeftNet
import WeftPlugin
import WeftRPC

/// Takes this node into a swarm and out of it, and makes it at a start what its files say it is.
actor NodeLifecycle {
    private let settings: Settings
    private let membership: Membership
    private let workloads: Workloads
    private let eventLog: ClusterEventLog
    private let threads: NIOThreadPool
    private let logger: Logger
    /// The data key of a manager that waits for its unlock key.
    private var locked: LockedDataKey? { didSet { membership.change { $0.isLocked = locked != nil } } }
    private var watching: Task<Void, Never>?

    private var files: StateDirectory { StateDirectory(settings.stateDirectory) }
    private var member: Member? {
        get { membership.member }
        set { membership.change { $0.member = newValue } }
    }
    /// Membership could not be taken up at the start; why.
    private var startFailure: String? {
        get { membership.standing.failure }
        set { membership.change { $0.failure = newValue } }
    }
    /// An init, join or leave is under way.
    private var isChanging: Bool {
        get { membership.standing.isChanging }
        set { membership.change { $0.isChanging = newValue } }
    }

    init(
        settings: Settings, membership: Membership, workloads: Workloads, eventLog: ClusterEventLog, threads: NIOThreadPool,
        logger: Logger
    ) {
        self.settings = settings
        self.membership = membership
        self.workloads = workloads
        self.eventLog = eventLog
        self.threads = threads
        self.logger = logger
    }

    /// Takes up the membership that an earlier run had. What stands in the way is told by the API, so that the operator can act, and
    /// tried again.
    func start() async {
        await workloads.start()
        watching = Task {
            await withTaskGroup { group in
                group.addTask { await self.workloads.run() }
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
                    throw UnreadableRecord(
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

    private func resume(_ membership: SavedMembership) async throws {
        let directory = settings.stateDirectory
        guard let peer = try NodeIdentity.peer(in: directory) else {
            throw UnreadableRecord(path: "\(directory)/node.pem", reason: "it is missing")
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
                throw UnreadableRecord(path: "\(directory)/seal.json", reason: "it is missing, and the node's key is sealed with what it held")
            case nil: seal = try ManagerSeal.make(directory: settings.stateDirectory)
            case .open(let key): seal = ManagerSeal(key: key, file: file, lockedBy: nil)
            case .locked(let key):
                guard locked == nil || member == nil else { return }
                return try await waitForKey(key, membership, peer.node)
            }
        }
        try await takePart(membership, seal)
    }

    private func waitForKey(_ key: LockedDataKey, _ membership: SavedMembership, _ node: NodeID) async throws {
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
    private func takePart(_ membership: SavedMembership, _ seal: ManagerSeal?) async throws {
        let directory = settings.stateDirectory
        guard let credentials = try NodeCredentials.load(from: directory, sealing: seal?.key) else {
            throw UnreadableRecord(path: "\(directory)/node.pem", reason: "it is missing")
        }
        let participation = try await participation(membership, credentials, seal)
        await stopWaiting()
        try await begin(membership, credentials.identity.node, participation)
    }

    private func participation(
        _ membership: SavedMembership, _ credentials: NodeCredentials, _ seal: ManagerSeal?
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
        await workloads.names.endAll()
        await waiting.stop()
    }

    /// Ends the wait: the same as a restart that finds the key open.
    func unlock(with key: Secret) async throws {
        try await changing {
            guard let locked, let waiting = member else { throw MembershipError.notLocked }
            let dataKey: DataKey
            do { dataKey = try locked.open(with: key) } catch UnlockError.noKey {
                throw MembershipError.noUnlockKey
            } catch UnlockError.wrongKey { throw MembershipError.wrongUnlockKey }
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

    func stop() async {
        await workloads.names.endAll()
        await member?.stop()
        watching?.cancel()
        await workloads.stop()
    }

    private func begin(_ membership: SavedMembership, _ node: NodeID, _ participation: Participation?) async throws {
        let member = try await Member.start(
            settings: settings, membership: membership, node: node, participation: participation, workloads: workloads,
            logger: logger)
        self.member = member
        await workloads.follow(member)
        startFailure = nil
    }

    /// One change of membership at a time.
    private func changing<Value>(_ body: () async throws -> Value) async throws -> Value {
        guard !isChanging else { throw MembershipError.changing }
        isChanging = true
        defer { isChanging = false }
        return try await body()
    }

    func initialise(_ request: SwarmInitRequest) async throws -> NodeID {
        try await changing {
            guard member == nil, startFailure == nil else { throw MembershipError.alreadyInSwarm }
            let advertise = try Host.address(request.advertiseAddress, option: "--advertise-addr")
            try files.checkRoom()
            var membership = SavedMembership(
                isManager: true,
                listenAddress: try listenAddress(request.listenAddress), listenPort: request.listenPort,
                advertiseAddress: advertise, advertisePort: request.advertisePort,
                dataPathAddress: try request.dataPathAddress.map { try Host.address($0, option: "--data-path-addr") } ?? advertise,
                managers: ["\(advertise):\(request.advertisePort)"])
            return try await orForget {
                let seal = try ManagerSeal.make(directory: settings.stateDirectory)
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
            guard member == nil, startFailure == nil else { throw MembershipError.alreadyInSwarm }
            guard request.availability == .active else {
                throw MembershipError.availability(request.availability)
            }
            let listen = try listenAddress(request.listenAddress)
            var failure: JoinError?
            for remote in request.remotes {
                let manager = "\(remote.host):\(remote.port)"
                do {
                    // Before anything is said to the manager: a join that cannot be used must leave no node behind.
                    let advertise = try await advertiseAddress(request, towards: remote)
                    try files.checkRoom()
                    let dataPath = try request.dataPathAddress.map { try Host.address($0, option: "--data-path-addr") } ?? advertise
                    try await orForget {
                        let identity = try await JoinClient(eventLoopGroup: EventLoops.swarm).join(token: request.token.exposed, manager: manager)
                        let membership = SavedMembership(
                            isManager: false, listenAddress: listen, listenPort: request.listenPort,
                            advertiseAddress: advertise, advertisePort: request.advertisePort, dataPathAddress: dataPath,
                            node: identity.node, managers: [manager])
                        try files.save(membership)
                        let credentials = try NodeCredentials(identity, directory: settings.stateDirectory)
                        try await begin(membership, identity.node, Participation(credentials: credentials, role: nil))
                    }
                    return
                } catch let error as JoinError {
                    failure = error
                }
            }
            if let failure { throw failure }
        }
    }

    func leave(force: Bool) async throws {
        try await changing {
            if let startFailure, !force { throw MembershipError.cannotTakePart(reason: startFailure) }
            if let member {
                if locked != nil, !force { throw MembershipError.locked }
                if member.role != nil, !force { throw MembershipError.lastManager }
                if !member.membership.isManager { await member.sayGoodbye() }
                await workloads.release()
                await workloads.names.endAll()
                await member.stop()
                self.member = nil
                locked = nil
            } else if startFailure == nil {
                throw NotInSwarm()
            }
            startFailure = nil
            await workloads.plugin?.forget()
            try files.wipe(keeping: [ContainerFiles.folderName])
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
            await workloads.release()
            do {
                try files.wipe(keeping: [ContainerFiles.folderName])
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
