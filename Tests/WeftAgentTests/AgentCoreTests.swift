import Testing
import WeftAgentCore
import WeftDatapath
import WeftModel
import WeftNet
import WeftNode
import WeftSim

@Suite("The agent's core, with disk and kernel in memory")
struct AgentCoreTests {
    @Test("an attach is saved, told, in the kernel, in the names, and then confirmed; a detach goes the same way")
    func attachAndDetach() throws {
        var node = TestNode()
        try node.begin(["a", "b"])
        let (one, two) = (node.attach("a"), node.attach("b"))
        #expect(node.disk.saved.own.endpoints.map(\.name).sorted() == ["a", "b"])
        #expect(node.heard.told.count == 2)
        #expect(node.heard.replies.isEmpty, "nothing is confirmed before it is in the kernel")
        node.round()
        let endpoint = try #require(try node.heard.replies[one]?.get())
        let other = try #require(try node.heard.replies[two]?.get())
        #expect(node.kernel.endpoints == [endpoint.id, other.id])
        #expect(try node.resolves("b", for: endpoint) == [.v4(other.ipv4)])
        #expect(try node.resolves("far.net", for: endpoint) == [.v4(try #require(IPv4Address("10.0.1.200")))])

        let end = node.detach(other.id)
        #expect(node.disk.saved.own.endpoints.map(\.id) == [endpoint.id])
        #expect(node.heard.replies[end] == nil)
        node.round()
        #expect(try node.heard.replies[end]?.get() == other)
        #expect(node.kernel.endpoints == [endpoint.id])
        #expect(try node.resolves("b", for: endpoint) == nil)
    }

    @Test("what cannot be saved is taken back: nobody is told, nothing is made, and its address is free")
    func takenBack() throws {
        var node = TestNode()
        try node.begin(["a", "b", "c"])
        let kept = node.attach("a")
        node.round()
        node.disk.setFull(true)
        let lost = node.attach("b")
        #expect(node.heard.replies[lost] == .failure(.notSaved("the disk is full")))
        node.round()
        let first = try #require(try node.heard.replies[kept]?.get())
        #expect(node.heard.told == [first.id])
        #expect(node.kernel.endpoints == [first.id])
        #expect(node.core.machine.ownEndpoints == [first])

        #expect(node.heard.notes == [.savingFailed("the disk is full")], "a full disk is told once")
        node.disk.setFull(false)
        let late = node.attach("c")
        node.round()
        let second = try #require(try node.heard.replies[late]?.get())
        #expect(Set(node.disk.saved.own.endpoints) == [first, second])
        #expect(node.heard.notes.last == .savingFailed(nil))
    }

    @Test("an endpoint that ends while the disk is full does not come back with it")
    func endsUnsaved() throws {
        var node = TestNode()
        try node.begin(["a"])
        let request = node.attach("a")
        node.round()
        let endpoint = try #require(try node.heard.replies[request]?.get())
        node.disk.setFull(true)
        let end = node.detach(endpoint.id)
        node.round()
        #expect(try node.heard.replies[end]?.get() == endpoint)
        #expect(node.kernel.endpoints.isEmpty)
        #expect(node.disk.saved.own.endpoints == [endpoint])
        node.disk.setFull(false)
        for _ in 0..<4 { node.tick() }
        #expect(node.disk.saved.own.endpoints.isEmpty)
        #expect(node.disk.saved.own.resting.map(\.address) == [.v4(endpoint.ipv4)])
    }

    @Test("a restart finds the kernel as it left it, and answers names before it has looked")
    func restart() throws {
        var node = TestNode()
        try node.begin(["a", "b"])
        let requests = [node.attach("a"), node.attach("b")]
        node.round()
        let endpoints = try requests.compactMap { try node.heard.replies[$0]?.get() }
        _ = node.kernel.change { $0.takeOperations() }

        var next = TestNode(disk: node.disk, kernel: node.kernel)
        next.round()
        #expect(try next.resolves("b", for: try #require(endpoints.first)) == [.v4(try #require(endpoints.last).ipv4)])
        #expect(try next.resolves("far", for: try #require(endpoints.first))?.count == 1)
        next.feed(.sandboxesFound([SandboxID("a"): "/ns/a", SandboxID("b"): "/ns/b"]))
        next.round()
        #expect(node.kernel.change { $0.takeOperations() } == [])
        #expect(next.core.machine.ownEndpoints == endpoints.sorted { $0.id < $1.id })
    }

    @Test("endpoints whose sandboxes ended while weftd was away are removed, and told of")
    func leftovers() throws {
        var node = TestNode()
        try node.begin(["a", "b"])
        let requests = [node.attach("a"), node.attach("b")]
        node.round()
        let endpoints = try requests.compactMap { try node.heard.replies[$0]?.get() }

        var next = TestNode(disk: node.disk, kernel: node.kernel)
        next.feed(.sandboxesFound([SandboxID("b"): "/ns/b"]))
        next.round()
        #expect(next.heard.notes == [.leftoversRemoved(1, of: 2)])
        #expect(node.kernel.endpoints == [try #require(endpoints.last).id])
    }

    @Test("of changes that come between two rounds only what is left of them reaches the kernel")
    func merged() throws {
        var node = TestNode()
        try node.begin(["a", "b"])
        _ = node.kernel.change { $0.takeOperations() }
        let gone = node.attach("a")
        let stays = node.attach("b")
        let endpoint = try #require(node.core.machine.ownEndpoints.first { $0.name == "a" })
        let end = node.detach(endpoint.id)
        #expect(node.heard.rounds == 3)
        node.round()
        #expect(node.heard.replies[gone] == .failure(.detached(endpoint.id)))
        #expect(try node.heard.replies[end]?.get() == endpoint)
        let kept = try #require(try node.heard.replies[stays]?.get())
        let made = node.kernel.change { $0.takeOperations() }.compactMap { operation -> EndpointID? in
            if case .createEndpoint(let made, _) = operation { made.id } else { nil }
        }
        #expect(made == [kept.id])
    }

    @Test("what others change in the kernel is put right with the next look at it")
    func drift() throws {
        var node = TestNode()
        try node.begin(["a"])
        let request = node.attach("a")
        node.round()
        let endpoint = try #require(try node.heard.replies[request]?.get())
        node.kernel.change { $0.removeInterface(of: endpoint.id) }
        for _ in 1..<30 {
            node.tick()
            node.round()
        }
        #expect(node.kernel.endpoints.isEmpty, "nobody looks at the kernel all the time")
        node.tick()
        node.round()
        #expect(node.kernel.endpoints == [endpoint.id])
    }

    @Test("a kernel that refuses is asked again after 1, 2, 4… seconds, and no more once it does not")
    func backOff() throws {
        var node = TestNode()
        try node.begin(["a"])
        node.kernel.change { $0.removePart(.firewall) }
        node.kernel.setRefusing(true)
        node.feed(.engineEndpointsFound([], asOf: node.now))
        #expect(node.round()?.isRefused == true)
        var asked: [Int] = []
        for second in 1...62 {
            node.tick()
            if node.heard.rounds > 0 { asked.append(second) }
            node.round()
        }
        // Each 30 seconds somebody looks anyway.
        #expect(asked.filter { $0 % 30 != 0 } == [1, 3, 7, 15, 31, 61])
        node.kernel.setRefusing(false)
        for _ in 0..<30 {
            node.tick()
            node.round()
        }
        #expect(node.kernel.change { $0.state.parts.contains(.firewall) })
        asked = []
        for second in 1...29 {
            node.tick()
            if node.heard.rounds > 0 { asked.append(second) }
            node.round()
        }
        #expect(asked.count <= 1, "only the regular look")
    }

    @Test("an endpoint that the kernel refuses is taken back, and its attach fails with the reason")
    func refused() throws {
        var node = TestNode()
        try node.begin(["a"])
        node.kernel.setRefusing(true)
        let request = node.attach("a")
        node.round()
        #expect(node.heard.replies[request] == .failure(.datapath("out of order")))
        #expect(node.core.machine.ownEndpoints.isEmpty && node.disk.saved.own.endpoints.isEmpty)
        node.kernel.setRefusing(false)
        node.round()
        #expect(node.kernel.endpoints.isEmpty)
    }

    @Test("a peer that goes down is a change of that peer: names follow, the kernel has nothing to do")
    func peerDown() throws {
        var node = TestNode()
        try node.begin(["a"])
        let request = node.attach("a")
        node.round()
        let endpoint = try #require(try node.heard.replies[request]?.get())
        _ = node.kernel.change { $0.takeOperations() }
        var delta = Assignments(isFull: false, baseRevision: Version(10), revision: Version(11))
        var peer = try #require(node.core.machine.peer(NodeID("n2")))
        peer.state = .down
        delta.peers = [peer]
        node.feed(.node(.received(.assignments(delta))))
        let (change, _) = node.heard.due.take()
        #expect(!change.isWhole && change.peers.count == 1 && change.endpoints.isEmpty && change.networks.isEmpty)
        node.heard.due.add(change, generation: node.core.machine.generation, observe: false)
        node.round()
        #expect(node.kernel.change { $0.takeOperations() } == [])
        #expect(try node.resolves("far", for: endpoint) == [])
    }
}

@Suite("What is due to kernel and names")
struct DueChangesTests {
    private func change(_ names: [String: UInt16]) -> ViewChange {
        var change = ViewChange()
        for (name, port) in names {
            change.endpoints[EndpointID(name)] = ViewChange.Part(endpoint: nil, problem: "\(port)")
        }
        return change
    }

    private func problems(_ change: ViewChange?) -> [String: String] {
        Dictionary((change?.endpoints ?? [:]).map { ($0.key.rawValue, $0.value.problem ?? "") }) { first, _ in first }
    }

    @Test("what only names have heard of reaches the kernel with its next round")
    func namesFirst() {
        var due = DueChanges()
        due.add(change(["a": 1, "b": 1]), generation: nil, observe: false)
        let first = due.take()
        #expect(problems(first.names) == ["a": "1", "b": "1"] && first.request == nil)
        due.add(change(["b": 2]), generation: 7, observe: false)
        due.add(change(["c": 3]), generation: nil, observe: true)
        let second = due.take()
        #expect(problems(second.names) == ["b": "2", "c": "3"])
        #expect(problems(second.request?.change) == ["a": "1", "b": "2", "c": "3"])
        #expect(second.request?.generation == 7 && second.request?.observe == true)
        #expect(due.isEmpty)
    }

    @Test("everything replaces what came before, and what comes after is laid over it")
    func whole() throws {
        var due = DueChanges()
        var before = change(["a": 1])
        before.dataPathPort = 4790
        due.add(before, generation: 1, observe: false)
        var whole = change(["b": 1])
        whole.isWhole = true
        due.add(whole, generation: 2, observe: false)
        due.add(change(["b": 2]), generation: 3, observe: false)
        let request = try #require(due.take().request)
        #expect(request.change.isWhole && request.generation == 3 && request.change.dataPathPort == 4790)
        #expect(problems(request.change) == ["b": "2"])
    }
}
