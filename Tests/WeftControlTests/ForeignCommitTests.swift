import Testing
import WeftControl
import WeftModel
import WeftNet

@Suite("Commits of another manager")
struct ForeignCommitTests {
    /// A network that another manager made.
    private func network(_ name: String, like model: Network) throws -> Network {
        var spec = NetworkSpec(name: name)
        spec.attachable = true
        return Network(
            id: NetworkID("id-\(name)"), createdAt: model.createdAt, spec: spec, vni: try #require(VNI(9000)),
            subnet: try prefix("10.99.0.0/24"), gateway: try address("10.99.0.1"))
    }

    private func put(_ object: StoredObject, expecting version: Version = .none) -> StoreWrite { .put(object, expecting: version) }

    @Test("They are told to nodes and to who watches, whatever their revisions, and nodes get blocks of new networks")
    func told() throws {
        var swarm = try Swarm()
        let worker = try swarm.admit("w1")
        try swarm.hello(worker, vtep: "172.30.0.2")
        let known = try swarm.assignments(worker).revision
        swarm.events = []
        let made = try network("theirs", like: try #require(swarm.replica.networks.first))
        swarm.another([put(StoredObject(made))])
        #expect(swarm.replica.revision == Version(known.index + 3))
        let delta = try swarm.assignments(worker)
        #expect(!delta.isFull && delta.baseRevision == known && delta.revision == swarm.replica.revision)
        #expect(delta.networks.map(\.id) == [made.id])
        #expect(swarm.events.map { "\($0.kind) \($0.action) \($0.id)" } == ["network create \(made.id)"])
        swarm.pass(.seconds(1))
        #expect(swarm.leases(worker, made).count == 1)
        // And nothing is done twice.
        let commits = swarm.commits
        swarm.pass(.seconds(1))
        #expect(swarm.commits == commits)
    }

    @Test("A commit that is known already, own or foreign, does nothing")
    func known() throws {
        var swarm = try Swarm()
        let network = try swarm.create("net")
        swarm.events = []
        let before = swarm.replica.revision
        swarm.core.follow(StoreCommit(Transaction([.delete(network.key, expecting: nil)]), at: before))
        swarm.settle()
        #expect(swarm.replica.revision == before && swarm.replica.network(network.id) != nil && swarm.events.isEmpty)
    }

    @Test("A node that another manager removed is sent away, and its leases rest")
    func removal() throws {
        var swarm = try Swarm()
        let worker = try swarm.admit("w1")
        try swarm.hello(worker, vtep: "172.30.0.2")
        let network = try swarm.create("net")
        swarm.sent = []
        swarm.another([.delete(Node.key(worker), expecting: nil)])
        #expect(!swarm.isConnected(worker) && swarm.closed.map(\.node) == [worker])
        guard case .goodbye? = swarm.sent.first?.message else { throw Swarm.Unexpected(what: "\(swarm.sent)") }
        swarm.pass(.seconds(1))
        #expect(swarm.leases(worker, network).count == 1)
        swarm.pass(.seconds(59))
        #expect(swarm.leases(worker, network).count == 1)
        swarm.pass(.seconds(1))
        #expect(swarm.leases(worker, network).isEmpty)
    }

    @Test("A command is worked out anew on what the other manager wrote")
    func conflict() throws {
        var swarm = try Swarm()
        let model = try #require(swarm.replica.networks.first)
        for (number, name) in ["db", "web"].enumerated() {
            swarm.core.enqueue(.command(CommandID(UInt64(500 + number)), .createNetwork(NetworkSpec(name: name))))
        }
        let first = try swarm.proposed()
        // What the other manager committed is told while the own proposal is out, and taken in after it.
        let made = try network("db", like: model)
        let commit = StoreCommit(Transaction([put(StoredObject(made))]), at: Version(2))
        swarm.core.follow(commit)
        let isWaiting = swarm.isWaiting()
        #expect(isWaiting && swarm.replica.revision == first.base)
        swarm.resolve(.outdated(newest: Version(2)))
        swarm.settle()
        guard case .failure(let error)? = swarm.reply(CommandID(500)), case .success(.network(let web))? = swarm.reply(CommandID(501))
        else { throw Swarm.Unexpected(what: "no replies") }
        #expect(error.kind == .conflict && web.spec.name == "web")
        #expect(swarm.replica.networks.map(\.spec.name).sorted() == ["db", "ingress", "web"])
        #expect(swarm.replica.network(made.id) != nil)
    }

    @Test("Nothing is taken in before the commit that was faster is known")
    func waits() throws {
        var swarm = try Swarm()
        swarm.core.enqueue(.command(CommandID(600), .createNetwork(NetworkSpec(name: "db"))))
        _ = try swarm.proposed()
        swarm.resolve(.outdated(newest: Version(2)))
        let isWaiting = swarm.isWaiting()
        #expect(isWaiting && !swarm.core.isIdle)
        let made = try network("other", like: try #require(swarm.replica.networks.first))
        swarm.core.follow(StoreCommit(Transaction([put(StoredObject(made))]), at: Version(2)))
        swarm.settle()
        #expect(swarm.reply(CommandID(600)) != nil && swarm.core.isIdle)
    }

    @Test("One that is never fast enough is given up")
    func tooSlow() throws {
        var swarm = try Swarm()
        swarm.core.enqueue(.command(CommandID(700), .rotateToken(.worker)))
        var rounds = 0
        while swarm.perform(swarm.proceed()) != nil, rounds < 100 {
            rounds += 1
            swarm.resolve(.outdated(newest: swarm.replica.revision))
        }
        #expect(swarm.givenUp.count == 1 && swarm.core.isIdle && rounds < 100)
    }

    @Test("Where commits are missing, a snapshot takes their place, and nodes get everything")
    func snapshot() throws {
        var swarm = try Swarm()
        let (one, two) = (try swarm.admit("w1"), try swarm.admit("w2"))
        try swarm.hello(one, vtep: "172.30.0.2")
        try swarm.hello(two, vtep: "172.30.0.3")
        let made = try network("theirs", like: try #require(swarm.replica.networks.first))
        let objects = [StoredObject(made)] + swarm.replica.nodes.filter { $0.id != two }.map { StoredObject($0) }
        swarm.sent = []
        swarm.core.follow(StoreSnapshot(revision: Version(900), objects: objects))
        swarm.settle()
        let told = try swarm.assignments(one)
        #expect(told.isFull && told.revision == Version(900) && told.networks.map(\.id) == [made.id])
        #expect(swarm.closed.map(\.node) == [two] && !swarm.isConnected(two))
        // An older one is of no use.
        swarm.core.follow(StoreSnapshot(revision: Version(3), objects: []))
        swarm.settle()
        #expect(swarm.replica.revision == Version(900) && swarm.replica.networks.count == 1)
    }

    @Test("A dispatcher needs no leader: it tells its nodes what others commit")
    func dispatcherAlone() throws {
        let swarm = try Swarm()
        var (replica, dispatcher) = (swarm.replica, Dispatcher())
        let node = Swarm.first
        dispatcher.connect(node, SessionID(1), address: nil, now: swarm.now)
        let early = dispatcher.assignmentsDue(replica)
        #expect(early.isEmpty)
        dispatcher.open(node, applied: .none)
        guard case .send(node, SessionID(1), .assignments(let all))? = dispatcher.assignmentsDue(replica).first else {
            throw Swarm.Unexpected(what: "nothing was told")
        }
        #expect(all.isFull && all.networks.count == 1)
        let made = try network("theirs", like: try #require(replica.networks.first))
        let changes = replica.apply(StoreCommit(Transaction([put(StoredObject(made))]), at: Version(40)))
        #expect(changes.map(\.key) == [made.key])
        guard case .send(node, SessionID(1), .assignments(let delta))? = dispatcher.assignmentsDue(replica).first else {
            throw Swarm.Unexpected(what: "nothing was told")
        }
        #expect(!delta.isFull && delta.baseRevision == Version(1) && delta.revision == Version(40))
        let more = dispatcher.assignmentsDue(replica)
        #expect(delta.networks.map(\.id) == [made.id] && more.isEmpty)
    }
}
