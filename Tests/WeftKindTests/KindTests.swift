import Foundation
import SwiftProtobuf
import Testing
import WeftModel
import WeftNet
import WeftNode
import WeftStore
import WeftStoreSQLite

@testable import WeftControl
@testable import WeftRPC

/// A swarm whose store, manager, wire and nodes' files are the ones that run, and whose kinds are one more.
private final class Journey {
    let directory = FileManager.default.temporaryDirectory.appending(path: "weft-kinds-\(UUID().uuidString)").path
    var store: SQLiteStore
    var manager: ManagerCore
    var random = SystemRandomNumberGenerator()
    let now = Instant(nanoseconds: 1_700_000_000_000_000_000)
    static let workers = [NodeID("w1"), NodeID("w2")]

    init(_ gadget: Gadget) async throws {
        let seal = SecretSeal(
            seal: { "sealed:" + String($0.reversed()) },
            open: { $0.hasPrefix("sealed:") ? String($0.dropFirst(7).reversed()) : $0 })
        let open = { [directory] in
            try SQLiteStore(path: directory + "/store.sqlite", seal: seal, kinds: .withGadgets)
        }
        store = try open()
        let cluster = Cluster(
            id: ClusterID("c"), createdAt: now, spec: ClusterSpec(), rootCertificatePEM: "PEM",
            workerTokenSecret: Secret("w"), managerTokenSecret: Secret("m"))
        let first = Node(id: NodeID("manager"), createdAt: now, spec: NodeSpec(role: .manager))
        var transaction = try Bootstrap.transaction(cluster: cluster, manager: first, now: now, random: &random)
        for id in Self.workers {
            let worker = Node(id: id, createdAt: now, spec: NodeSpec(role: .worker))
            transaction.writes.append(.put(StoredObject(worker), expecting: .none))
        }
        transaction.writes.append(.put(StoredObject(gadget), expecting: .none))
        try await store.commit(transaction)
        try store.close()
        // Everything that follows comes out of the file.
        store = try open()
        manager = ManagerCore(try await store.snapshot())
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    /// What each node is told by an input, after its commit.
    func feed(_ input: ControlInput) async throws -> [NodeID: Assignments] {
        manager.enqueue(input)
        return try await settle()
    }

    /// What each node is told of what another manager writes.
    func another(_ write: StoreWrite) async throws -> [NodeID: Assignments] {
        let transaction = Transaction([write])
        manager.follow(StoreCommit(transaction, at: try await store.commit(transaction)))
        return try await settle()
    }

    private func settle() async throws -> [NodeID: Assignments] {
        var told: [NodeID: Assignments] = [:]
        var actions = manager.proceed(now: now, wallClock: now, random: &random)
        while let last = actions.last {
            for case .send(let node, _, .assignments(let assignments)) in actions { told[node] = assignments }
            guard case .propose(let transaction) = last else { break }
            actions = manager.resolve(.committed(try await store.commit(transaction)), now: now, wallClock: now)
            actions += manager.proceed(now: now, wallClock: now, random: &random)
        }
        return told
    }

    func hello(_ index: Int) async throws -> [NodeID: Assignments] {
        let session = SessionID(UInt64(index + 1))
        _ = try await feed(.nodeConnected(Self.workers[index], session, address: nil))
        let description = NodeDescription(
            hostname: "h\(index)", architecture: "x86_64", nanoCPUs: 1, memoryBytes: 1, weftVersion: "test")
        let hello = NodeMessage.hello(
            description, dataPathAddress: IPv4Address(rawValue: 0xac1e_0001 + UInt32(index)), appliedRevision: .none,
            endpoints: [])
        return try await feed(.nodeMessage(Self.workers[index], session, hello))
    }
}

/// A set after its way over the wire, in parts of so many bytes.
private func sent(
    _ assignments: Assignments, kinds: Kinds = .withGadgets, limit: Int = 100
) throws -> (Assignments, skipped: [WireError]) {
    var assembler = ManagerMessageAssembler(kinds: kinds)
    var skipped: [WireError] = []
    var whole: [ManagerMessage] = []
    let parts = Weft_V1_ManagerMessage.parts(of: .assignments(assignments), limit: limit)
    #expect(parts.count > 1)
    for part in parts {
        let bytes: [UInt8] = try part.serializedBytes()
        if let message = try assembler.take(Weft_V1_ManagerMessage(serializedBytes: bytes), skipped: &skipped) {
            whole.append(message)
        }
    }
    guard case .assignments(let result)? = whole.first, whole.count == 1 else {
        Issue.record("\(whole.count) messages")
        return (assignments, skipped)
    }
    return (result, skipped)
}

private func node(saved: SavedNode = SavedNode()) -> NodeMachine {
    let description = NodeDescription(
        hostname: "h1", architecture: "x86_64", nanoCPUs: 1, memoryBytes: 1, weftVersion: "test")
    return NodeMachine(
        id: Journey.workers[1], description: description, dataPathAddress: IPv4Address(rawValue: 0xac1e_0002), saved: saved)
}

/// The revision that the node's hello names.
private func hello(_ machine: inout NodeMachine, now: Instant) -> WeftModel.Version? {
    var random = SystemRandomNumberGenerator()
    for case .send(.hello(_, _, let applied, _)) in machine.handle(.sessionOpened, now: now, random: &random) { return applied }
    return nil
}

@Suite struct KindTests {
    private let first = Gadget(
        id: Identifier("g1"), name: "one", secret: Secret("very secret"), nodes: [Journey.workers[0]])

    @Test func `a kind is stored, told to its audience, kept by a node and had again`() async throws {
        let journey = try await Journey(first)
        #expect(journey.manager.replica.object(first.key)?.as(Gadget.self)?.name == "one")
        let bytes = try Data(contentsOf: URL(filePath: journey.directory + "/store.sqlite"))
        #expect(bytes.range(of: Data("very secret".utf8)) == nil)

        let toOne = try await journey.hello(0)[Journey.workers[0]]
        let toOther = try await journey.hello(1)[Journey.workers[1]]
        #expect(toOne?.isFull == true && toOne?[Gadget.self].put.map(\.id) == [first.id])
        #expect(toOther?.isFull == true && toOther?[Gadget.self] == Delta())

        var machine = node()
        _ = hello(&machine, now: journey.now)
        try receive(try sent(try #require(toOther)).0, &machine, journey)
        let file = try NodeFile(directory: journey.directory, kinds: .withGadgets)
        try save(&machine, to: file)

        // It goes to the other node.
        var moved = first
        moved.nodes = [Journey.workers[1]]
        let told = try await journey.another(.put(StoredObject(moved), expecting: try #require(journey.manager.replica.object(first.key)).version))
        #expect(told[Journey.workers[0]]?[Gadget.self] == Delta(removed: [first.id]))
        moved.version = journey.manager.replica.revision
        let delta = try #require(told[Journey.workers[1]])
        #expect(!delta.isFull && delta[Gadget.self] == Delta(put: [moved]))
        try receive(delta, &machine, journey)
        #expect(machine.assigned(Gadget.self)[first.id] == moved)
        try save(&machine, to: file)
        try file.close()

        let again = try NodeFile(directory: journey.directory, kinds: .withGadgets)
        let saved = try again.load().node
        #expect(!saved.lacksKinds && saved.view[Gadget.self].put == [moved])
        var restarted = node(saved: saved)
        #expect(restarted.assigned(Gadget.self)[first.id] == moved && restarted.saved.view == machine.saved.view)
        #expect(hello(&restarted, now: journey.now) == journey.manager.replica.revision)

        // And it goes for good.
        let last = try await journey.another(.delete(first.key, expecting: moved.version))
        #expect(last[Journey.workers[0]]?[Gadget.self].isEmpty ?? true)
        try receive(try #require(last[Journey.workers[1]]), &machine, journey)
        #expect(machine.assigned(Gadget.self).isEmpty)
        try save(&machine, to: again)
        #expect(try again.load().node.view[Gadget.self].isEmpty)
        #expect(try await journey.store.snapshot().objects.allSatisfy { $0.kind != Gadget.kind })
    }

    private func receive(_ assignments: Assignments, _ machine: inout NodeMachine, _ journey: Journey) throws {
        _ = machine.handle(.received(.assignments(assignments)), now: journey.now, random: &journey.random)
        #expect(machine.isSynchronised && machine.appliedRevision == assignments.revision)
    }

    private func save(_ machine: inout NodeMachine, to file: NodeFile) throws {
        try file.saveOwn(machine.takeOwnChange(), interfaceIndexes: [:])
        try file.saveView(machine.takeViewChange())
    }

    @Test func `a kind travels in parts, and what makes no sense of it is left out and told`() throws {
        var set = Assignments(isFull: true, baseRevision: .none, revision: Version(4))
        set.cluster = ClusterView(id: ClusterID("c"), dataPathPort: 4789, heartbeatSeconds: 5, rootCertificatesPEM: "PEM")
        set[Gadget.self].put = (0..<20).map {
            Gadget(id: Identifier("g\($0)"), version: Version(3), name: "n", secret: Secret("s"), nodes: [])
        }
        set[Gadget.self].removed = (20..<60).map { Identifier("g\($0)") }
        let (whole, skipped) = try sent(set)
        #expect(whole == set && skipped.isEmpty)

        let (rest, unknown) = try sent(set, kinds: .all)
        var without = set
        without[Gadget.self] = Delta()
        #expect(rest == without && !unknown.isEmpty && unknown.allSatisfy { $0.problem.contains("gadget") })

        var wire = Weft_V1_Assignments(set)
        wire.kinds[0].put[1] = Data([0xff])
        var named = set[Gadget.self].put[3].message
        named.name = "\u{1b}[2J"
        wire.kinds[0].put[3] = try named.serializedBytes()
        var listed = set[Gadget.self].put[5].message
        listed.aliases = ["a b"]
        wire.kinds[0].put[5] = try listed.serializedBytes()
        wire.kinds[0].removed[2] = "../x"
        var wrong: [WireError] = []
        let read = try Assignments(wire: wire, "assignments", kinds: .withGadgets, &wrong)
        #expect(read[Gadget.self].put.count == 18 && read[Gadget.self].removed.count == 39)
        let field = "assignments.gadget"
        #expect(
            Set(wrong.map(\.field)) == [
                "\(field).put[1]", "\(field).put[3].name", "\(field).put[5].nodes[0]", "\(field).removed[2]",
            ])
    }

    @Test func `every kind that nodes are told of travels, and has rows that are no others'`() {
        #expect(Kinds.all.forms.count == Kinds.all.assigned.count)
        let rows = Kinds.all.assigned.compactMap { $0.rows }
        #expect(Set(rows).isDisjoint(with: ["endpoint", "place", "node", "knowledge"]) && Set(rows).count == rows.count)
    }

    @Test func `a node that knows a kind more than its file has asks for everything`() async throws {
        let journey = try await Journey(first)
        let newer = try NodeFile(directory: journey.directory, kinds: .withGadgets)
        var view = Assignments(isFull: true, baseRevision: .none, revision: Version(7))
        view[Gadget.self].put = [first]
        view.peers = [Peer(id: Journey.workers[1], hostname: "h", state: .ready, dataPathAddress: nil, managerAddress: nil)]
        try newer.saveView(view)
        try newer.close()

        // A former version takes the file, and goes on from there.
        let older = try NodeFile(directory: journey.directory)
        let known = try older.load().node
        #expect(!known.lacksKinds && known.view.peers == view.peers && known.view.deltas.count == 1)
        try older.saveView(Assignments(isFull: false, baseRevision: .none, revision: Version(9)))
        try older.close()

        let again = try NodeFile(directory: journey.directory, kinds: .withGadgets)
        let saved = try again.load().node
        #expect(saved.lacksKinds && saved.view[Gadget.self].isEmpty && saved.view.peers == view.peers)
        var machine = node(saved: saved)
        #expect(hello(&machine, now: journey.now) == WeftModel.Version.none && machine.peers == view.peers)
        // Until it has it, it does not say that it has.
        try save(&machine, to: again)
        var early = node(saved: try again.load().node)
        #expect(hello(&early, now: journey.now) == WeftModel.Version.none && early.peers == view.peers)
        var full = Assignments(isFull: true, baseRevision: .none, revision: Version(10))
        full[Gadget.self].put = [first]
        try receive(full, &machine, journey)
        try save(&machine, to: again)
        let whole = try again.load().node
        #expect(!whole.lacksKinds && whole.view.revision == Version(10) && whole.view[Gadget.self].put == [first])
    }
}
