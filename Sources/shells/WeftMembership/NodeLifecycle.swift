// A node's life outside a swarm, in one, and the ways between: init, join, leave and unlock, and the start of weftd, which finds
// in the state directory what this node is. It decides the order of things, so that a step that fails leaves the node what it
// was, and nothing of a swarm that it is not in. What a member is made of is behind `NodeParts`; nobody else changes `NodeMembership`.
package import Logging
package import WeftAPI
import WeftFiles
package import WeftIdentity
package import WeftModel
import WeftNet
import WeftThreads

/// Takes this node into a swarm and out of it, and makes it at a start what its files say it is.
package actor NodeLifecycle<Parts: NodeParts, Followers: MemberFollowers<Parts.Member>> {
    /// Files are read and written in the middle of each step.
    private let thread = BlockingExecutor()
    package nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    private let parts: Parts
    private let followers: Followers
    private let membership: NodeMembership<Parts.Member>
    private let files: StateDirectory
    /// Folders of the state directory that are not the swarm's.
    private let kept: Set<String>
    private let retry: Duration
    private let logger: Logger
    /// The data key of a manager that waits for its unlock key.
    private var locked: LockedDataKey? { didSet { membership.change { $0.isLocked = locked != nil } } }
    private var watching: Task<Void, Never>?

    private var member: Parts.Member? {
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

    /// - Parameters:
    ///   - kept: folders of the state directory that outlive a swarm.
    ///   - retry: until what could not be taken up is tried again.
    package init(
        parts: Parts, followers: Followers, membership: NodeMembership<Parts.Member>, files: StateDirectory, keeping kept: Set<String>,
        retry: Duration = .seconds(5), logger: Logger
    ) {
        self.parts = parts
        self.followers = followers
        self.membership = membership
        self.files = files
        self.kept = kept
        self.retry = retry
        self.logger = logger
    }

    /// Takes up the membership that an earlier run had. What stands in the way is told by the API, so that the operator can act, and
    /// tried again.
    package func start() async {
        await followers.start()
        watching = Task {
            await withTaskGroup { group in
                group.addTask { await self.followers.run() }
                group.addTask { await self.keepTrying() }
            }
        }
        await takeUp()
    }

    /// A full disk gets room, a file is restored.
    private func keepTrying() async {
        while !Task.isCancelled {
            try? await Task.sleep(for: retry)
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
                guard try NodeIdentity.peer(in: files.path) == nil else {
                    throw UnreadableRecord(
                        path: "\(files.path)/membership.json", reason: "it is missing, and a certificate is there")
                }
                startFailure = nil
                return
            }
            do { try await resume(membership) } catch {
                // Names and interfaces go on with what the node knew last.
                if member == nil, let node = try membership.node ?? NodeIdentity.peer(in: files.path)?.node {
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
        let directory = files.path
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
                throw UnreadableRecord(
                    path: "\(directory)/seal.json", reason: "it is missing, and the node's key is sealed with what it held")
            case nil: seal = try ManagerSeal.make(directory: files.path)
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
        let directory = files.path
        guard let credentials = try NodeCredentials.load(from: directory, sealing: seal?.key) else {
            throw UnreadableRecord(path: "\(directory)/node.pem", reason: "it is missing")
        }
        let participation = try await parts.prepare(membership, credentials, seal)
        await stopWaiting()
        try await begin(membership, credentials.identity.node, participation)
    }

    /// Ends the life of a node without session and role, for a whole one. What it answers inside containers ends with it, as its
    /// resolver does: whoever begins opens them anew.
    private func stopWaiting() async {
        guard let waiting = member else { return }
        member = nil
        await followers.closeDoors()
        await waiting.stop()
    }

    /// Ends the wait: the same as a restart that finds the key open.
    package func unlock(with key: Secret) async throws {
        try await changing {
            guard let locked, let waiting = member else { throw MembershipError.notLocked }
            let dataKey: DataKey
            do { dataKey = try locked.open(with: key) } catch UnlockError.noKey {
                throw MembershipError.noUnlockKey
            } catch UnlockError.wrongKey { throw MembershipError.wrongUnlockKey }
            let file = SealFile(directory: files.path)
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

    package func stop() async {
        await followers.closeDoors()
        await member?.stop()
        watching?.cancel()
        await followers.stop()
    }

    private func begin(_ membership: SavedMembership, _ node: NodeID, _ participation: Parts.Participation?) async throws {
        let member = try await parts.begin(membership, node, participation)
        self.member = member
        await followers.follow(member)
        startFailure = nil
    }

    /// One change of membership at a time.
    private func changing<Value>(_ body: () async throws -> Value) async throws -> Value {
        guard !isChanging else { throw MembershipError.changing }
        isChanging = true
        defer { isChanging = false }
        return try await body()
    }

    package func initialise(_ request: SwarmInitRequest) async throws -> NodeID {
        try await changing {
            guard member == nil, startFailure == nil else { throw MembershipError.alreadyInSwarm }
            let advertise = try parts.address(request.advertiseAddress, option: "--advertise-addr")
            try files.checkRoom()
            var membership = SavedMembership(
                isManager: true,
                listenAddress: try listenAddress(request.listenAddress), listenPort: request.listenPort,
                advertiseAddress: advertise, advertisePort: request.advertisePort,
                dataPathAddress: try dataPathAddress(request.dataPathAddress, advertise),
                managers: ["\(advertise):\(request.advertisePort)"])
            return try await orForget {
                let seal = try ManagerSeal.make(directory: files.path)
                let identity = try await parts.found(request, as: membership, seal)
                let credentials = try NodeCredentials(
                    identity, directory: files.path, sealing: seal.key)
                membership.node = identity.node
                try files.save(membership)
                try await begin(membership, identity.node, try await parts.prepare(membership, credentials, seal))
                return identity.node
            }
        }
    }

    package func join(_ request: SwarmJoinRequest) async throws {
        try await changing {
            guard member == nil, startFailure == nil else { throw MembershipError.alreadyInSwarm }
            let listen = try listenAddress(request.listenAddress)
            var failure: JoinFailure?
            for remote in request.remotes {
                let manager = "\(remote.host):\(remote.port)"
                do {
                    // Before anything is said to the manager: a join that cannot be used must leave no node behind.
                    let advertise = try advertiseAddress(request, towards: remote)
                    try files.checkRoom()
                    let dataPath = try dataPathAddress(request.dataPathAddress, advertise)
                    try await orForget {
                        let identity = try await parts.join(request.token, manager: manager, as: request.availability)
                        let membership = SavedMembership(
                            isManager: false, listenAddress: listen, listenPort: request.listenPort,
                            advertiseAddress: advertise, advertisePort: request.advertisePort, dataPathAddress: dataPath,
                            node: identity.node, managers: [manager])
                        try files.save(membership)
                        let credentials = try NodeCredentials(identity, directory: files.path)
                        try await begin(membership, identity.node, try await parts.prepare(membership, credentials, nil))
                    }
                    return
                } catch let error as JoinFailure {
                    failure = error
                }
            }
            if let failure { throw failure }
        }
    }

    package func leave(force: Bool) async throws {
        try await changing {
            if let startFailure, !force { throw MembershipError.cannotTakePart(reason: startFailure) }
            if let member {
                if locked != nil, !force { throw MembershipError.locked }
                if member.isManaging, !force { throw MembershipError.lastManager }
                if !member.membership.isManager { await member.sayGoodbye() }
                await followers.release()
                await followers.closeDoors()
                await member.stop()
                self.member = nil
                locked = nil
            } else if startFailure == nil {
                throw NotInSwarm()
            }
            startFailure = nil
            await followers.forget()
            try files.wipe(keeping: kept)
            try await parts.clearKernel()
        }
    }

    /// Undoes what a change of membership left when it throws.
    private func orForget<Value>(_ body: () async throws -> Value) async throws -> Value {
        do {
            return try await body()
        } catch {
            member = nil
            await followers.release()
            do {
                try files.wipe(keeping: kept)
                try await parts.clearKernel()
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
        case let given: try parts.address(given, option: "--listen-addr")
        }
    }

    /// Where tunnels end: at the advertised address, unless one is given. A swarm of this host alone may advertise 127.0.0.1, where no
    /// tunnel can end; then it is the address that the host has anyway.
    private func dataPathAddress(_ given: HostAddress?, _ advertise: IPv4Address) throws -> IPv4Address {
        let option = "--data-path-addr"
        guard let given else { return advertise.isHostAddress ? advertise : try parts.address(nil, option: option) }
        let address = try parts.address(given, option: option)
        guard address.isHostAddress else { throw MembershipError.noTunnel(to: address) }
        return address
    }

    /// The address that packets to the manager leave from, unless one is given.
    private func advertiseAddress(
        _ request: SwarmJoinRequest, towards remote: SwarmJoinRequest.Remote
    ) throws -> IPv4Address {
        if let given = request.advertiseAddress { return try parts.address(given, option: "--advertise-addr") }
        if let source = try parts.sourceAddress(towards: remote.host) { return source }
        return try parts.address(nil, option: "--advertise-addr")
    }
}
