// The keys of this node's protected data path: makes its own and states them, looks at what others state, and has in the tunnel's process what
// `KeyRing` says is to be there. It decides nothing about whose turn it is: the ring does. Private keys are in its memory and nowhere else; those
// of a former run are gone, so it begins with new ones, and what is still in the tunnel stays until others know of these.
package import Logging
import Synchronization
import WeftCrypto
import WeftIdentity
package import WeftModel
import WeftNet
package import WeftNode
import WeftThreads
import WeftTunnelWire

/// The owner of the keys: one at a time for a tunnel.
package actor KeyKeeper<Tunnel: KeyTunnel, Identity: KeyIdentity> {
    package struct Options: Sendable {
        package let node: NodeID
        /// Where ESP comes to at this node.
        package var port: UInt16
        /// How often it is looked whether something is due.
        package var tick: Duration
        /// A clock that nobody sets.
        package var now: @Sendable () -> Duration

        package init(node: NodeID, port: UInt16 = 4500, tick: Duration = .seconds(1), now: @escaping @Sendable () -> Duration) {
            self.node = node
            self.port = port
            self.tick = tick
            self.now = now
        }
    }

    /// What this node says to the others, by the managers.
    package enum Word: Sendable {
        case stated(SignedStatement)
        case ready(Readiness)
        /// All peers that are not reached as they should be.
        case paths([PathCondition])
    }

    /// What came and has not been looked at.
    private struct Inbox: Sendable {
        var news: KeyNews?
        var isIdentityNew = false
        /// The newest connection to the tunnel that ended.
        var ended = 0
    }

    /// The tunnel is asked, and keys are made, in the middle of a step.
    private let thread = BlockingExecutor()
    package nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    let options: Options
    private let tunnel: Tunnel
    let identity: Identity
    private(set) var say: @Sendable (Word) -> Void = { _ in }
    let logger: Logger
    private let inbox = Mutex(Inbox())
    private let wakes: AsyncStream<Void>
    private let waker: AsyncStream<Void>.Continuation

    var news: KeyNews?
    /// Something of the news is not in the ring yet.
    private var isUnread = false
    var life: KeyLife?
    var leftovers = KeyLeftovers()
    var session: Tunnel.Session?
    private var sessionNumber = 0
    private var failedAt = Duration.zero
    /// The tunnel, or the keys, are not tried again before.
    private var notBefore = Duration.zero
    private var failures = 0
    var problem = ""
    var paths = PathWatch()
    /// When the tunnel was asked last what came of questions to peers.
    var askedAt: Duration?
    /// What was said of them.
    var told: [PathCondition] = []
    /// Why statements were not taken, by their ids.
    var refused: [String: String] = [:]

    package init(_ options: Options, tunnel: Tunnel, identity: Identity, logger: Logger) {
        self.options = options
        self.tunnel = tunnel
        self.identity = identity
        self.logger = logger
        (wakes, waker) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    // MARK: What comes

    /// Something changed of what this node knows of the swarm's keys.
    package nonisolated func tell(_ news: KeyNews) {
        inbox.withLock { $0.news = news }
        waker.yield()
    }

    /// The node's certificate, or what it trusts, is another one.
    package nonisolated func identityChanged() {
        inbox.withLock { $0.isIdentityNew = true }
        waker.yield()
    }

    /// Keeps the keys until cancelled; the tunnel goes on with what it has.
    package func run(saying say: @escaping @Sendable (Word) -> Void) async {
        self.say = say
        await withTaskGroup { group in
            let (waker, tick) = (waker, options.tick)
            group.addTask {
                while !Task.isCancelled {
                    try? await Task.sleep(for: tick)
                    waker.yield()
                }
            }
            for await _ in wakes { await step() }
            group.cancelAll()
        }
        session?.close()
        session = nil
    }

    private func step() async {
        let came = inbox.withLock { inbox in
            defer { (inbox.news, inbox.isIdentityNew) = (nil, false) }
            return inbox
        }
        if let new = came.news, new != news {
            news = new
            isUnread = true
        }
        if session != nil, came.ended == sessionNumber { lose("it ended") }
        if came.isIdentityNew {
            isUnread = true
            if let life, let certificate = try? identity.certificatePEM, certificate != life.certificatePEM {
                logger.info("this node's certificate is a new one: its keys are stated anew")
                startAnew()
            }
        }
        // As long as nothing is known of the swarm, nothing follows from what is not there.
        guard let news, news.heard > .none else { return }
        guard news.isNeeded else { return rest() }
        guard hasTunnel() else { return }
        await attempt {
            if life == nil {
                guard options.now() >= notBefore else { return }
                life = KeyLife(node: options.node)
                isUnread = true
            }
            if isUnread { try await read(news) }
            try handle(.tick)
            try dropLeftovers(news)
            try watchPaths(news)
        }
    }

    /// What fails in between leaves keys that may be in the tunnel or not.
    private func attempt(_ body: () async throws -> Void) async {
        do {
            try await body()
            problem = ""
            if options.now() - failedAt > .seconds(3) { failures = 0 }
        } catch let error as KeysUnusable {
            logger.warning("keys are made anew", metadata: ["reason": "\(error)"])
            startAnew()
            delay()
        } catch {
            lose("\(error)")
        }
    }

    // MARK: The tunnel

    /// True if there is one to speak to.
    private func hasTunnel() -> Bool {
        if session != nil { return true }
        guard options.now() >= notBefore else { return false }
        do {
            let session = try tunnel.open()
            guard case .status(let status) = try session.ask(.status) else { throw TunnelRefusal(reason: "it does not say what it has") }
            leftovers = KeyLeftovers(status)
            life = nil
            self.session = session
            sessionNumber += 1
            let number = sessionNumber
            Task { [weak self] in
                await session.ended()
                self?.noteEnd(number)
            }
            logger.info(
                "the tunnel's process runs",
                metadata: ["process": "\(session.process)", "keys": "\(status.inbound.count + status.outbound.count)"])
            return true
        } catch {
            lose("\(error)")
            return false
        }
    }

    private nonisolated func noteEnd(_ number: Int) {
        inbox.withLock { $0.ended = max($0.ended, number) }
        waker.yield()
    }

    /// What it had of keys nobody knows now: nothing of it is used again.
    private func lose(_ reason: String) {
        session?.close()
        session = nil
        life = nil
        leftovers = KeyLeftovers()
        isUnread = true
        problem = "the tunnel's process cannot be used: \(reason)"
        logger.error("the tunnel's process cannot be used", metadata: ["reason": "\(reason)"])
        do { try tunnel.end() } catch { logger.error("the tunnel's process does not end", metadata: ["reason": "\(error)"]) }
        delay()
    }

    /// The first failure is made good at once; of others the more come the longer they wait.
    private func delay() {
        failedAt = options.now()
        notBefore = failedAt + (failures == 0 ? .zero : min(.seconds(30), .milliseconds(125) * (1 << min(failures, 8))))
        failures += 1
        waker.yield()
    }

    /// Nothing is to be protected: nobody needs keys, nor a process that has them.
    private func rest() {
        guard session != nil || life != nil || isUnread else { return }
        isUnread = false
        session?.close()
        session = nil
        life = nil
        leftovers = KeyLeftovers()
        problem = ""
        paths = PathWatch()
        if !told.isEmpty { say(.paths([])) }
        told = []
        sessionNumber += 1
        do { try tunnel.end() } catch { problem = "the tunnel's process does not end: \(error)" }
    }

    /// Asks for a change.
    private func change(_ request: TunnelRequest) throws {
        guard let session else { throw TunnelRefusal(reason: "there is none") }
        if case .refused(let reason) = try session.ask(request) { throw KeysUnusable(reason: reason) }
    }

    // MARK: The ring

    /// All keys of this node are to be others. What is in the tunnel stays there until the peers know.
    private func startAnew() {
        if let life { leftovers.add(life) }
        life = nil
        isUnread = true
        waker.yield()
    }

    /// Tells the ring what it does not know yet, in the order in which it came to be.
    private func read(_ news: KeyNews) async throws {
        let statements = await take(news)
        guard let life, session != nil else { return }
        isUnread = false
        for (node, address) in life.nodes where news.peers[node] != address {
            guard news.peers[node] == nil else { throw KeysUnusable(reason: "node \(node) has another address") }
            self.life?.heard[node] = nil
            self.life?.taken[node] = nil
            try handle(.removed(node))
            self.life?.nodes[node] = nil
        }
        try handle(.epoch(news.epoch))
        var inputs: [(Version, KeyRing.Input)] = []
        for signed in statements {
            self.life?.told.insert(signed.id)
            inputs.append((signed.version, .statement(signed.node, signed.statement, signed.version)))
        }
        for readiness in news.readinesses where life.heard[readiness.id] != readiness.version {
            guard readiness.id == options.node || news.peers[readiness.id] != nil else { continue }
            self.life?.heard[readiness.id] = readiness.version
            inputs.append((readiness.version, .readiness(readiness.id, readiness.readiness, readiness.version)))
        }
        for (_, input) in inputs.sorted(by: { $0.0 < $1.0 }) { try handle(input) }
        try handle(.heard(through: news.heard))
        let known = Set(news.statements.map(\.id))
        self.life?.prune(keeping: known)
        refused = refused.filter { known.contains($0.key) }
    }

    /// Does what the ring says, until it says no more.
    private func handle(_ input: KeyRing.Input) throws {
        guard var actions = life?.ring.handle(input, now: options.now()) else { return }
        while !actions.isEmpty {
            switch actions.removeFirst() {
            case .make(let epoch): actions += try make(epoch)
            case .publish(let id): try publish(id)
            case .tell(let readiness): say(.ready(readiness))
            case .install:
                try install()
                actions += life?.ring.handle(.installed, now: options.now()) ?? []
            case .forget(let id): life?.own[id] = nil
            }
        }
    }

    private func make(_ epoch: UInt64) throws -> [KeyRing.Action] {
        guard let news else { return [] }
        let (id, own) = KeyLife.make(epoch, news.cluster, options.node, port: options.port)
        life?.own[id] = own
        return life?.ring.handle(.made(id), now: options.now()) ?? []
    }

    private func publish(_ id: StatementID) throws {
        guard let statement = life?.own[id]?.statement else { return }
        let signed: SignedStatement
        do {
            let text = try identity.sign(statement.signedBytes)
            life?.certificatePEM = text.certificatesPEM
            signed = SignedStatement(
                node: options.node, statement: id, signedBytes: text.bytes, signature: text.signature, certificatesPEM: text.certificatesPEM
            )
        } catch { throw KeysUnusable(reason: "this node's statement cannot be signed: \(error)") }
        say(.stated(signed))
    }

    /// Receiving first, sending after it, and what is of no use any more last; but who was removed goes before all.
    private func install() throws {
        guard let life else { return }
        let wanted = life.ring.associations
        for node in Set(life.inbound.keys).union(life.outbound.keys) where wanted.inbound[node] == nil { try withdraw(node) }
        for (node, pairs) in wanted.inbound {
            guard let address = address(of: node) else { continue }
            for pair in pairs where life.inbound[node]?[pair] == nil {
                let key = try keys(with: node, pair).inbound
                try change(.receive(InboundAssociation(spi: key.spi, peer: address.rawValue, material: key.material)))
                self.life?.inbound[node, default: [:]][pair] = key.spi
            }
        }
        for (node, pair) in wanted.outbound where life.outbound[node] != pair {
            guard let address = address(of: node), let port = life.taken[node]?[pair.theirs]?.port else { continue }
            let key = try keys(with: node, pair).outbound
            guard self.life?.used.insert(pair).inserted == true else {
                throw KeysUnusable(reason: "node \(node) is ready for what it was done with")
            }
            try change(
                .send(
                    peer: address.rawValue,
                    association: OutboundAssociation(spi: key.spi, address: address.rawValue, port: port, material: key.material)))
            self.life?.outbound[node] = pair
            leftovers.outbound.remove(address)
        }
        for (node, pairs) in life.inbound {
            for (pair, spi) in pairs where wanted.inbound[node]?.contains(pair) == false {
                try change(.refuse(spi: spi))
                self.life?.inbound[node]?[pair] = nil
            }
        }
    }

    private func keys(with node: NodeID, _ pair: KeyRing.Pair) throws -> TrafficKeys {
        guard let life else { throw NoKeys(node: node) }
        do { return try life.keys(with: node, pair) } catch { throw KeysUnusable(reason: "\(error)") }
    }

    private func address(of node: NodeID) -> IPv4Address? {
        guard let address = news?.peers[node] else { return nil }
        life?.nodes[node] = address
        return address
    }

    /// Nothing is sent to the node or taken from it.
    private func withdraw(_ node: NodeID) throws {
        if life?.outbound[node] != nil, let address = life?.nodes[node] { try change(.send(peer: address.rawValue, association: nil)) }
        life?.outbound[node] = nil
        for (_, spi) in life?.inbound[node] ?? [:] { try change(.refuse(spi: spi)) }
        life?.inbound[node] = nil
    }

    // MARK: What is left of former keys

    private func dropLeftovers(_ news: KeyNews) throws {
        guard !leftovers.inbound.isEmpty || !leftovers.outbound.isEmpty else { return }
        let now = options.now()
        let nodes = Dictionary(news.peers.map { ($0.value, $0.key) }) { first, _ in first }
        for address in leftovers.outbound where nodes[address] == nil {
            try change(.send(peer: address.rawValue, association: nil))
            leftovers.outbound.remove(address)
        }
        for spi in leftovers.due(nodes, peers: news.peers, isFollowed: { life?.ring.isFollowed(by: $0) ?? false }, now: now) {
            try change(.refuse(spi: spi))
            leftovers.inbound.removeAll { $0.spi == spi }
        }
    }
}

/// The keys of this node cannot go on as they are: others are to be made.
struct KeysUnusable: Error, CustomStringConvertible {
    let reason: String
    var description: String { reason }
}

struct TunnelRefusal: Error, CustomStringConvertible {
    let reason: String
    var description: String { reason }
}
