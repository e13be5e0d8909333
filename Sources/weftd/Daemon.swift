import Logging
import NIOPosix
import WeftAPI
import WeftAgent
import WeftEngine
import WeftKernel
import WeftLinux
import WeftModel
import WeftNet
import WeftPlugin
import WeftRPC

/// The daemon: in a swarm or not, and the way from one to the other. Its API is in `Daemon+Backend.swift`.
actor Daemon {
    let settings: Settings
    let keeper: SandboxKeeper
    let attachments: AttachmentKeeper
    private var watching: Task<Void, Never>?
    /// The container engine of this host.
    let engine: LocalEngine
    let threads: NIOThreadPool
    let logger: Logger
    private(set) var member: Member?
    private var plugin: PluginService?
    /// Membership could not be taken up at the start; why.
    private(set) var startFailure: String?
    /// An init, join or leave is under way.
    private(set) var isChanging = false

    private var files: StateFiles { StateFiles(directory: settings.stateDirectory) }

    init(settings: Settings, keeper: SandboxKeeper, engine: LocalEngine, threads: NIOThreadPool, logger: Logger) {
        self.settings = settings
        self.keeper = keeper
        attachments = AttachmentKeeper(
            store: AttachmentFiles(runDirectory: settings.runDirectory), threads: threads, logger: logger)
        self.engine = engine
        self.threads = threads
        self.logger = logger
    }

    /// Takes up the membership that an earlier run had. What stands in the way is told by the API, so that the operator can act.
    func start() async throws {
        await keeper.start()
        try await attachments.start()
        let attachments = attachments
        watching = Task { await attachments.run() }
        guard let membership = try files.loadMembership() else { return }
        do {
            guard let credentials = try NodeCredentials.load(from: settings.stateDirectory) else {
                throw UnreadableState(path: settings.stateDirectory, reason: "the node's certificate is missing")
            }
            try await begin(membership, credentials)
        } catch {
            startFailure = "\(error)"
            logger.error("this node cannot take part in its swarm", metadata: ["error": "\(error)"])
        }
    }

    /// The engine's driver, which is to forget the swarm with this node.
    func use(_ plugin: PluginService) { self.plugin = plugin }

    func stop() async {
        await member?.stop()
        watching?.cancel()
        await keeper.stop()
    }

    private func begin(_ membership: Membership, _ credentials: NodeCredentials) async throws {
        member = try await Member.start(
            settings: settings, membership: membership, credentials: credentials, sandboxes: keeper, attachments: attachments,
            logger: logger)
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
            let membership = Membership(
                isManager: true,
                listenAddress: try listenAddress(request.listenAddress), listenPort: request.listenPort,
                advertiseAddress: advertise, advertisePort: request.advertisePort,
                dataPathAddress: try request.dataPathAddress.map { try Host.address($0, option: "--data-path-addr") } ?? advertise,
                managers: ["\(advertise):\(request.advertisePort)"])
            return try await orForget {
                let identity = try await ManagerRole.bootstrap(
                    settings: settings, membership: membership, spec: request.spec, availability: request.availability)
                try files.save(membership)
                try await begin(membership, try NodeCredentials(identity, directory: settings.stateDirectory))
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
                    let dataPath = try request.dataPathAddress.map { try Host.address($0, option: "--data-path-addr") } ?? advertise
                    try await orForget {
                        let identity = try await JoinClient().join(token: request.token.exposed, manager: manager)
                        let membership = Membership(
                            isManager: false, listenAddress: listen, listenPort: request.listenPort,
                            advertiseAddress: advertise, advertisePort: request.advertisePort, dataPathAddress: dataPath,
                            managers: [manager])
                        try files.save(membership)
                        try await begin(membership, try NodeCredentials(identity, directory: settings.stateDirectory))
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
            if let member {
                if member.role != nil, !force { throw APIError.lastManager }
                if member.role == nil { await member.sayGoodbye() }
                await keeper.use(nil)
                await attachments.use(nil)
                await member.stop()
                self.member = nil
            } else if startFailure == nil {
                throw APIError.notInSwarm
            } else if !force {
                throw APIError(
                    503, "this node cannot take part in its swarm (\(startFailure ?? "")); use --force to forget that swarm")
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
