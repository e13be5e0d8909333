import Testing
import WeftControl
import WeftModel
import WeftNet

@Suite("Nodes and their sessions, as the manager sees them")
struct NodeTests {
    @Test("Hello makes a node ready and gets it everything; a change is a delta that fits")
    func sessions() throws {
        var swarm = try Swarm()
        let network = try swarm.create("net")
        let worker = try swarm.admit("w1")
        swarm.connect(worker)
        #expect(swarm.sent.isEmpty && !swarm.isConnected(worker))
        try swarm.hello(worker, vtep: "172.30.0.2")
        let full = try swarm.assignments(worker)
        #expect(full.isFull && full.revision == swarm.replica.revision && full.networks == swarm.replica.networks)
        #expect(full.peers.map(\.id) == [Swarm.first, worker].sorted() && full.cluster?.heartbeatSeconds == 5)
        #expect(full.leases.contains { $0.network == network.id && $0.node == worker })
        #expect(swarm.replica.node(worker)?.state == .ready)
        #expect(swarm.replica.node(worker)?.dataPathAddress == (try address("172.30.0.2")))

        let more = try swarm.create("more")
        let delta = try swarm.assignments(worker)
        #expect(!delta.isFull && delta.baseRevision == full.revision && delta.revision == swarm.replica.revision)
        #expect(delta.networks == [more] && delta.leases.map(\.network) == [more.id] && delta.peers.isEmpty)
    }

    @Test("A node that comes back gets what it missed; after a restart of the manager, everything")
    func comingBack() throws {
        var swarm = try Swarm()
        let worker = try swarm.admit("w1")
        try swarm.hello(worker, vtep: "172.30.0.2")
        let known = swarm.replica.revision
        swarm.disconnect(worker)
        let network = try swarm.create("net")
        try swarm.hello(worker, vtep: "172.30.0.2", applied: known)
        let delta = try swarm.assignments(worker)
        #expect(!delta.isFull && delta.baseRevision == known && delta.networks == [network] && delta.leases.count == 1)

        swarm.say(.resyncRequest, as: worker)
        #expect(try swarm.assignments(worker).isFull)

        // Nothing changed meanwhile: an empty delta answers.
        try swarm.hello(worker, vtep: "172.30.0.2", applied: swarm.replica.revision)
        #expect(try swarm.assignments(worker).baseRevision == swarm.replica.revision)

        var objects: [StoredObject] =
            swarm.replica.nodes.map { StoredObject($0) } + swarm.replica.networks.map { StoredObject($0) }
        objects += swarm.replica.leases.map { StoredObject($0) }
        if let cluster = swarm.replica.cluster { objects.append(StoredObject(cluster)) }
        swarm.core = ManagerCore(StoreSnapshot(revision: swarm.replica.revision, objects: objects))
        try swarm.hello(worker, vtep: "172.30.0.2", applied: known)
        #expect(try swarm.assignments(worker).isFull)
    }

    @Test("Everybody learns of an endpoint at once, and of nobody else's leases")
    func endpoints() throws {
        var swarm = try Swarm()
        let one = try swarm.admit("w1")
        let two = try swarm.admit("w2")
        try swarm.hello(one, vtep: "172.30.0.2")
        try swarm.hello(two, vtep: "172.30.0.3")
        let network = try swarm.create("net")
        #expect(try swarm.assignments(two).leases.allSatisfy { $0.node == two })
        let endpoint = try swarm.endpoint("a1", one, network)
        swarm.say(.endpointsChanged(added: [endpoint], removed: []), as: one)
        for node in [one, two] { #expect(try swarm.assignments(node).endpoints.map(\.id) == [endpoint.id]) }
        swarm.say(.endpointsChanged(added: [], removed: [endpoint.id]), as: one)
        for node in [one, two] { #expect(try swarm.assignments(node).removedEndpoints == [endpoint.id]) }
        // What one node may not do: remove another's endpoint.
        swarm.say(.endpointsChanged(added: [endpoint], removed: []), as: one)
        swarm.say(.endpointsChanged(added: [], removed: [endpoint.id]), as: two)
        #expect(swarm.replica.endpoint(endpoint.id) != nil)
    }

    @Test("A hello is the whole truth about a node's endpoints")
    func fullSynchronisation() throws {
        var swarm = try Swarm()
        let worker = try swarm.admit("w1")
        try swarm.hello(worker, vtep: "172.30.0.2")
        let network = try swarm.create("net")
        let old = try swarm.endpoint("old", worker, network)
        let kept = try swarm.endpoint("kept", worker, network, offset: 3)
        let new = try swarm.endpoint("new", worker, network, offset: 4)
        swarm.say(.endpointsChanged(added: [old, kept], removed: []), as: worker)
        try swarm.hello(worker, vtep: "172.30.0.2", endpoints: [kept, new])
        #expect(Set(swarm.replica.endpoints.map(\.id)) == [kept.id, new.id])
    }

    @Test("Endpoints that are not a node's to make are refused")
    func strangers() throws {
        var swarm = try Swarm()
        let one = try swarm.admit("w1")
        let two = try swarm.admit("w2")
        try swarm.hello(one, vtep: "172.30.0.2")
        try swarm.hello(two, vtep: "172.30.0.3")
        let network = try swarm.create("net")
        let own = try swarm.endpoint("own", one, network)
        let others = try swarm.endpoint("x", two, network)
        func forged(_ id: String, _ node: NodeID, _ network: NetworkID, _ ipv4: IPv4Address) -> Endpoint {
            Endpoint(
                id: EndpointID(id), network: network, node: node, sandbox: SandboxID("s"), ipv4: ipv4,
                mac: MACAddress(forIPv4: ipv4), name: id)
        }
        swarm.say(.endpointsChanged(added: [own], removed: []), as: one)
        for bad in [
            others, forged("a", one, network.id, others.ipv4), forged("b", one, NetworkID("nowhere"), own.ipv4),
            forged("c", one, network.id, network.gateway), forged("d", one, network.id, own.ipv4),
            forged("e", one, network.id, try address("10.200.0.1")),
        ] {
            swarm.notes = []
            swarm.say(.endpointsChanged(added: [bad], removed: []), as: one)
            #expect(swarm.replica.endpoints.map(\.id) == [own.id] && swarm.notes.count == 1, "\(bad)")
        }
        swarm.say(.endpointsChanged(added: [forged("own", two, network.id, others.ipv4)], removed: []), as: two)
        #expect(swarm.replica.endpoint(own.id)?.node == one)
        // An address that nobody leases, but that a node uses, becomes its lease.
        swarm.say(
            .endpointsChanged(added: [forged("f", one, network.id, try address("10.0.1.200"))], removed: []), as: one)
        #expect(swarm.leases(one, network).contains(try prefix("10.0.1.200/32")))
    }

    @Test("Three missed heartbeats make a node down; its endpoints stay")
    func liveness() throws {
        var swarm = try Swarm()
        let worker = try swarm.admit("w1")
        try swarm.hello(worker, vtep: "172.30.0.2")
        let network = try swarm.create("net")
        swarm.say(.endpointsChanged(added: [try swarm.endpoint("a", worker, network)], removed: []), as: worker)
        swarm.pass(.seconds(14))
        swarm.say(.heartbeat(appliedRevision: .none), as: worker)
        swarm.pass(.seconds(14))
        #expect(swarm.replica.node(worker)?.state == .ready)
        swarm.pass(.seconds(1))
        #expect(swarm.replica.node(worker)?.state == .down && swarm.closed.map(\.node) == [worker])
        #expect(swarm.replica.endpoints.count == 1)
        try swarm.hello(worker, vtep: "172.30.0.2", endpoints: swarm.replica.endpoints)
        #expect(swarm.replica.node(worker)?.state == .ready)
    }

    @Test("After a restart of the manager, nodes get the time to come back")
    func grace() throws {
        var swarm = try Swarm()
        let worker = try swarm.admit("w1")
        try swarm.hello(worker, vtep: "172.30.0.2")
        let objects: [StoredObject] = swarm.replica.nodes.map { StoredObject($0) }
        swarm.core = ManagerCore(StoreSnapshot(revision: swarm.replica.revision, objects: objects))
        swarm.pass(.seconds(3600))
        #expect(swarm.replica.node(worker)?.state == .ready)
        swarm.pass(.seconds(15))
        #expect(swarm.replica.node(worker)?.state == .down)
    }

    @Test("A newer session replaces the older, whose messages count no more")
    func replacement() throws {
        var swarm = try Swarm()
        let worker = try swarm.admit("w1")
        swarm.connect(worker)
        let old = SessionID(1)
        swarm.feed(.nodeConnected(worker, SessionID(99), address: nil))
        #expect(swarm.closed.map(\.node) == [worker])
        swarm.feed(
            .nodeMessage(
                worker, old,
                .hello(
                    Swarm.description("h"), dataPathAddress: try address("172.30.0.2"), appliedRevision: .none,
                    endpoints: [])))
        #expect(!swarm.isConnected(worker))
        swarm.feed(.nodeDisconnected(worker, old))
        swarm.feed(.nodeMessage(worker, SessionID(99), .heartbeat(appliedRevision: .none)))
        #expect(swarm.closed.count == 2)
    }

    @Test("Who is not in the swarm is sent away")
    func foreigners() throws {
        var swarm = try Swarm()
        swarm.connect(NodeID("foreign"))
        guard case .goodbye? = swarm.sent.last?.message else { throw Swarm.Unexpected(what: "no goodbye") }
        #expect(swarm.closed.count == 1)
    }

    @Test("Two nodes cannot share a data path address, unless one of them is gone")
    func dataPathAddresses() throws {
        var swarm = try Swarm()
        let one = try swarm.admit("w1")
        let two = try swarm.admit("w2")
        try swarm.hello(one, vtep: "172.30.0.2")
        try swarm.hello(two, vtep: "172.30.0.2")
        #expect(swarm.closed.map(\.node) == [two] && swarm.closed.first?.reason.contains("172.30.0.2") ?? false)
        swarm.disconnect(one)
        try swarm.hello(two, vtep: "172.30.0.2")
        #expect(swarm.isConnected(two) && swarm.replica.node(one)?.dataPathAddress == nil)
        try swarm.hello(one, vtep: "127.0.0.1")
        #expect(!swarm.isConnected(one))
    }

    @Test("Leaving and removal free what the node had, after a rest")
    func departure() throws {
        var swarm = try Swarm()
        let worker = try swarm.admit("w1")
        try swarm.hello(worker, vtep: "172.30.0.2")
        let network = try swarm.create("net")
        swarm.say(.endpointsChanged(added: [try swarm.endpoint("a", worker, network)], removed: []), as: worker)
        #expect(
            try swarm.refusal(.removeNode(worker, force: false)).message.contains("is not down and can't be removed"))
        #expect(try swarm.refusal(.removeNode(Swarm.first, force: true)).kind == .failedPrecondition)
        swarm.say(.leaving, as: worker)
        #expect(swarm.replica.endpoints.isEmpty && swarm.replica.node(worker)?.state == .down)
        guard case .goodbye? = swarm.sent.last?.message else { throw Swarm.Unexpected(what: "no goodbye") }
        _ = try swarm.run(.removeNode(worker, force: false))
        #expect(swarm.replica.node(worker) == nil && !swarm.leases(worker, network).isEmpty)
        swarm.pass(.seconds(59))
        #expect(!swarm.leases(worker, network).isEmpty)
        swarm.pass(.seconds(1))
        #expect(swarm.leases(worker, network).isEmpty)
    }

    @Test("Specs change by version only, and the last manager stays one")
    func specs() throws {
        var swarm = try Swarm()
        let worker = try swarm.admit("w1")
        let node = try #require(swarm.replica.node(worker))
        var spec = node.spec
        spec.labels = ["zone": "a"]
        spec.availability = .drain
        _ = try swarm.run(.updateNode(worker, version: node.version, spec))
        #expect(swarm.replica.node(worker)?.spec == spec)
        #expect(
            try swarm.refusal(.updateNode(worker, version: node.version, spec))
                == ControlError(.outOfSequence, "rpc error: code = Unknown desc = update out of sequence"))
        let version = try #require(swarm.replica.node(worker)).version
        spec.role = .manager
        #expect(try swarm.refusal(.updateNode(worker, version: version, spec)).kind == .unavailable)
        #expect(
            try swarm.refusal(.updateNode(Swarm.first, version: Version(1), NodeSpec(role: .worker))).message.contains(
                "demote"))
        #expect(try swarm.refusal(.admitNode(NodeID("m2"), .manager, .active)).kind == .unavailable)
    }

    @Test("Tokens rotate, settings change, pools do not")
    func cluster() throws {
        var swarm = try Swarm()
        guard case .cluster(let rotated) = try swarm.run(.rotateToken(.worker)) else {
            throw Swarm.Unexpected(what: "reply")
        }
        #expect(rotated.workerTokenSecret.exposed.count == 25 && rotated.managerTokenSecret.exposed == "m")
        #expect(rotated.version == swarm.replica.revision)
        var spec = rotated.spec
        spec.heartbeatSeconds = 2
        var rotation = ClusterRotation()
        rotation.tokens = [.manager]
        guard
            case .cluster(let changed) = try swarm.run(
                .updateCluster(version: rotated.version, spec, rotating: rotation))
        else { throw Swarm.Unexpected(what: "reply") }
        #expect(changed.spec == spec && changed.managerTokenSecret.exposed.count == 25)
        #expect(changed.workerTokenSecret == rotated.workerTokenSecret)
        func update(_ version: Version, _ spec: ClusterSpec) -> ControlCommand {
            .updateCluster(version: version, spec, rotating: ClusterRotation())
        }
        #expect(try swarm.refusal(update(rotated.version, spec)).kind == .outOfSequence)
        spec.dataPathPort = 5000
        #expect(try swarm.refusal(update(changed.version, spec)).kind == .invalid)
    }

    @Test("Pools that no network fits into are refused at init")
    func pools() throws {
        #expect(throws: ControlError.self) { try Swarm(spec: ClusterSpec(addressPools: [])) }
        #expect(throws: ControlError.self) { try Swarm(spec: ClusterSpec(addressPools: [prefix("10.0.0.0/25")])) }
        #expect(throws: ControlError.self) {
            try Swarm(spec: ClusterSpec(addressPools: [prefix("10.0.0.0/8"), prefix("10.1.0.0/16")]))
        }
        #expect(throws: ControlError.self) { try Swarm(spec: ClusterSpec(dataPathPort: 80)) }
        for length in [7, 31, 33, -1, .max] {
            var spec = ClusterSpec()
            spec.subnetLength = length
            let error = #expect(throws: ControlError.self) { try Swarm(spec: spec) }
            #expect(error?.message.contains("between /8 and /30") == true)
        }
    }
}
