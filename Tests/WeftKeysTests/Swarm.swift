import Foundation
import Logging
import Synchronization
import Testing
import WeftCrypto
import WeftIdentity
import WeftKeys
import WeftModel
import WeftNet
import WeftNode
import WeftTunnelWire

extension Instant {
    static var now: Instant { Instant(nanoseconds: Int64(Date.now.timeIntervalSince1970 * 1_000_000_000)) }
}

/// Time that a test moves.
final class Clock: Sendable {
    private let time = Mutex(Duration.seconds(1000))
    var now: Duration { time.withLock { $0 } }
    func advance(_ by: Duration) { time.withLock { $0 += by } }
}

/// The tunnel's process of a node, in memory: what it has outlives who told it, until it is killed.
final class MemoryTunnel: KeyTunnel {
    final class Process: Sendable {
        struct State: Sendable {
            var outbound: [UInt32: OutboundAssociation] = [:]
            var inbound: [UInt32: InboundAssociation] = [:]
            var isGone = false
            /// All keys it ever sent under, with their salts.
            var sentUnder: Set<[UInt8]> = []
            /// SPIs to refuse once, as if they were another's.
            var refuses = 0
            var problems: [String] = []
            /// What became of questions to peers, and the longest packet that gets to one and back.
            var probes: [UInt32: TunnelProbeResult] = [:]
            var reach: [UInt32: UInt16] = [:]
            var asked: [TunnelRequest] = []
            var waiting: [CheckedContinuation<Void, Never>] = []
        }

        let number: Int32
        let state = Mutex(State())
        init(_ number: Int32) { self.number = number }

        func end() {
            let waiting = state.withLock { state in
                defer { state.waiting = [] }
                state.isGone = true
                return state.waiting
            }
            for one in waiting { one.resume() }
        }
    }

    struct Session: TunnelSession {
        let running: Process
        let isClosed = Box(false)
        var process: Int32 { running.number }

        func ask(_ request: TunnelRequest) throws -> TunnelReply {
            try running.state.withLock { state in
                guard !state.isGone, !isClosed.value.withLock({ $0 }) else { throw Gone() }
                return state.answer(request)
            }
        }

        @concurrent func ended() async {
            await withCheckedContinuation { continuation in
                let isGone = running.state.withLock { state in
                    if !state.isGone { state.waiting.append(continuation) }
                    return state.isGone
                }
                if isGone { continuation.resume() }
            }
        }

        func close() { isClosed.value.withLock { $0 = true } }
    }

    final class Box: Sendable {
        let value: Mutex<Bool>
        init(_ value: Bool) { self.value = Mutex(value) }
    }

    struct Gone: Error {}

    private let current = Mutex<(process: Process?, starts: Int, fails: Int)>((nil, 0, 0))
    var process: Process? { current.withLock { $0.process } }
    var starts: Int { current.withLock { $0.starts } }
    var state: Process.State { process?.state.withLock { $0 } ?? Process.State() }

    func failOpening(_ times: Int) { current.withLock { $0.fails = times } }

    func open() throws -> Session {
        try current.withLock { current in
            if let process = current.process, !process.state.withLock({ $0.isGone }) { return Session(running: process) }
            guard current.fails == 0 else {
                current.fails -= 1
                throw Gone()
            }
            current.starts += 1
            let process = Process(Int32(current.starts))
            current.process = process
            return Session(running: process)
        }
    }

    func end() {
        let process = current.withLock { current in
            defer { current.process = nil }
            return current.process
        }
        process?.end()
    }

    /// As kill -9 does.
    func kill() { process?.end() }
}

extension MemoryTunnel.Process.State {
    mutating func answer(_ request: TunnelRequest) -> TunnelReply {
        switch request {
        case .send(let peer, nil): outbound[peer] = nil
        case .send(let peer, let association?):
            if !sentUnder.insert(association.material).inserted { problems.append("numbers begin anew under a key") }
            outbound[peer] = association
        case .receive(let association):
            if refuses > 0 {
                refuses -= 1
                return .refused("SPI \(association.spi) is taken")
            }
            guard inbound[association.spi] == nil else { return .refused("SPI \(association.spi) is taken") }
            inbound[association.spi] = association
        case .refuse(let spi): inbound[spi] = nil
        case .probe(let peer, let number, let length):
            guard outbound[peer] != nil else { return .refused("there is no key") }
            asked.append(request)
            var result = probes[peer] ?? TunnelProbeResult(peer: peer)
            if length <= reach[peer] ?? .max { result.answered = max(result.answered, number) }
            probes[peer] = result
        case .probes: return .probes(probes.values.sorted { $0.peer < $1.peer })
        case .status:
            return .status(
                TunnelStatus(
                    counts: TunnelEvent.allCases.map { UInt64($0.rawValue) },
                    outbound: outbound.map { .init(peer: $0.key, spi: $0.value.spi, lastSequence: 7) },
                    inbound: inbound.values.map { .init(spi: $0.spi, peer: $0.peer, highestSequence: 7) }))
        }
        return .done
    }
}

/// The managers' part: gives versions, keeps what is said, tells it to everybody, and may lie.
final class Swarm: Sendable {
    struct State: Sendable {
        var version: Int64 = 1
        var epoch: UInt64 = 1
        var isNeeded = true
        var statements: [SignedStatement] = []
        var readinesses: [NodeID: KeyReadiness] = [:]
        var peers: [NodeID: IPv4Address] = [:]
        var said = 0
        var paths: [NodeID: UnderlayPath] = [:]
        /// What nodes said of their paths last.
        var conditions: [NodeID: [PathCondition]] = [:]
        /// When a node first said that it is ready for a statement.
        var firstReady: [StatementID: Version] = [:]

        /// The node is ready for its newest statement, and has everything in place that follows from those of the others being so.
        func isSettled(_ node: NodeID, among nodes: [NodeID]) -> Bool {
            guard let own = newest(node), own.statement.epoch == epoch, let ready = readinesses[node]?.readiness,
                ready.statement == own.statement
            else { return false }
            return nodes.allSatisfy { other in
                guard let theirs = newest(other), let since = firstReady[theirs.statement] else { return false }
                return other == node || theirs.version <= ready.through && since <= ready.through
            }
        }

        private func newest(_ node: NodeID) -> SignedStatement? { statements.last { $0.node == node } }
    }

    let cluster = ClusterID("swarm")
    let authority: CertificateAuthority
    let clock = Clock()
    private let state = Mutex(State())
    private let nodes = Mutex<[NodeID: Node]>([:])
    private let publishing = Mutex(())

    init() throws { authority = try CertificateAuthority.make(now: .now) }

    var current: State { state.withLock { $0 } }
    func node(_ number: Int) throws -> Node { try #require(nodes.withLock { $0[Self.id(number)] }) }
    var all: [Node] { nodes.withLock { $0.values.sorted { $0.id < $1.id } } }
    static func id(_ number: Int) -> NodeID { NodeID("node\(number)") }

    func change(_ body: (inout State) -> Void) {
        state.withLock { state in
            state.version += 1
            body(&state)
        }
        publish()
    }

    var news: KeyNews {
        let state = current
        return KeyNews(
            cluster: cluster, epoch: state.epoch, isNeeded: state.isNeeded, statements: state.statements,
            readinesses: state.readinesses.values.sorted { $0.id < $1.id }, peers: state.peers, paths: state.paths,
            heard: Version(state.version))
    }

    /// In order, as a node hears of its agent: nothing older comes after something newer.
    func publish() {
        publishing.withLock { _ in
            let news = news
            for node in all { node.keeper?.tell(news) }
        }
    }

    func heard(_ word: KeyKeeper<MemoryTunnel, Identity>.Word, from node: NodeID) {
        change { state in
            guard state.peers[node] != nil else { return }
            state.said += 1
            switch word {
            case .stated(var signed):
                signed.version = Version(state.version)
                state.statements.append(signed)
                let own = state.statements.filter { $0.node == node }
                if own.count > 3 { state.statements.removeAll { $0.id == own[0].id } }
            case .paths(let conditions): state.conditions[node] = conditions
            case .ready(let readiness):
                state.readinesses[node] = KeyReadiness(id: node, version: Version(state.version), readiness: readiness)
                if state.firstReady[readiness.statement] == nil { state.firstReady[readiness.statement] = Version(state.version) }
            }
        }
    }

    func add(_ number: Int) throws -> Node {
        let node = try Node(Self.id(number), IPv4Address(rawValue: 0x0a00_0000 + UInt32(number)), self)
        nodes.withLock { $0[node.id] = node }
        change { $0.peers[node.id] = node.address }
        return node
    }

    func remove(_ node: NodeID) {
        change { state in
            state.peers[node] = nil
            state.statements.removeAll { $0.node == node }
            state.readinesses[node] = nil
            state.epoch += 1
        }
    }

    /// Everybody sends to everybody under its newest keys, and can be understood; nobody's numbers began anew.
    func isSettled(_ nodes: [Node]? = nil) -> Bool {
        let nodes = nodes ?? all
        let epoch = current.epoch
        return nodes.allSatisfy { from in
            nodes.allSatisfy { to in
                guard from.id != to.id else { return true }
                guard let sent = from.tunnel.state.outbound[to.address.rawValue], let taken = to.tunnel.state.inbound[sent.spi] else {
                    return false
                }
                return taken.material == sent.material && taken.peer == from.address.rawValue && sent.address == to.address.rawValue
                    && from.stated?.epoch == epoch
            }
        }
    }

    /// The same, and everybody has said so: another epoch may begin.
    var isDone: Bool {
        let (state, nodes) = (current, all)
        return isSettled() && nodes.allSatisfy { state.isSettled($0.id, among: nodes.map(\.id)) }
    }

    /// Whether what is sent now is understood, where anything is sent.
    func isUnderstood(_ nodes: [Node]) -> Bool {
        for from in nodes {
            // First who sends: what it sends under later has a key there as well.
            for (peer, sent) in from.tunnel.state.outbound {
                guard let to = nodes.first(where: { $0.address.rawValue == peer }) else { continue }
                if to.tunnel.state.inbound[sent.spi]?.material != sent.material { return false }
            }
        }
        return true
    }
}

/// Who a node is; its certificate can be replaced.
final class Identity: KeyIdentity {
    private let identity: Mutex<NodeIdentity>
    private let trust: TrustRoots

    init(_ identity: NodeIdentity, _ swarm: Swarm) throws {
        self.identity = Mutex(identity)
        trust = try TrustRoots(pem: swarm.authority.rootCertificatePEM)
    }

    func replace(_ new: NodeIdentity) { identity.withLock { $0 = new } }
    var certificatePEM: String { get throws { try identity.withLock { try $0.certificatePEM } } }
    func sign(_ bytes: [UInt8]) throws -> SignedText { try identity.withLock { try $0.sign(bytes) } }
    func signer(of text: SignedText) async throws -> PeerIdentity { try await trust.signer(of: text) }
}

final class Node: Sendable {
    let id: NodeID
    let address: IPv4Address
    let tunnel = MemoryTunnel()
    let identity: Identity
    private let swarm: Swarm
    private let life = Mutex<(keeper: KeyKeeper<MemoryTunnel, Identity>, task: Task<Void, Never>)?>(nil)
    var keeper: KeyKeeper<MemoryTunnel, Identity>? { life.withLock { $0?.keeper } }

    init(_ id: NodeID, _ address: IPv4Address, _ swarm: Swarm) throws {
        self.id = id
        self.address = address
        self.swarm = swarm
        identity = try Identity(Self.certified(id, swarm), swarm)
        start()
    }

    static func certified(_ id: NodeID, _ swarm: Swarm) throws -> NodeIdentity {
        try swarm.authority.makeIdentity(node: id, role: .worker, cluster: swarm.cluster, lifetimeSeconds: 3600, now: .now)
    }

    var stated: StatementID? { swarm.current.statements.last { $0.node == id }?.statement }

    /// weftd starts.
    func start() {
        let clock = swarm.clock
        let keeper = KeyKeeper(
            .init(node: id, tick: .milliseconds(3)) { clock.now }, tunnel: tunnel, identity: identity,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let task = Task { [swarm, id] in await keeper.run { swarm.heard($0, from: id) } }
        life.withLock { $0 = (keeper, task) }
        swarm.publish()
    }

    /// weftd ends, and forgets all.
    func stop() async {
        let task = life.withLock { life in
            defer { life = nil }
            return life?.task
        }
        task?.cancel()
        await task?.value
    }

    func standing() async -> KeyStanding { await keeper?.standing() ?? KeyStanding() }
}
