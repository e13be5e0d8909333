import Testing
import WeftControl
import WeftModel
import WeftNet

@Suite("Addresses that are asked back from who leases them")
struct AskTests {
    /// One and two are on a /29 that one leases as a whole, in one block.
    private struct Full {
        var swarm: Swarm
        let one = NodeID("w1")
        let two = NodeID("w2")
        let three = NodeID("w3")
        let network: Network
        var subnet: SubnetID { SubnetID(network.id, .v4) }

        init(returnsAddresses: Bool = true) throws {
            swarm = try Swarm()
            for (index, name) in ["w1", "w2", "w3"].enumerated() {
                let node = try swarm.admit(name)
                try swarm.hello(node, vtep: "172.30.0.\(index + 2)", returnsAddresses: returnsAddresses)
            }
            network = try swarm.create("net") { $0.ipam.subnet = try prefix("10.8.0.0/29") }
            for number in 1...8 { swarm.say(.leaseRequest(RequestNumber(number), subnet, address: nil, isSpare: true), as: one) }
            swarm.sent = []
        }

        /// What one was asked last.
        func question() throws -> RequestNumber {
            for case (one, .addressesWanted(let number, subnet, _)) in swarm.sent.reversed() { return number }
            throw Swarm.Unexpected(what: "\(swarm.sent)")
        }

        func blocks(_ node: NodeID) -> [String] { swarm.leases(node, network).map(\.description).sorted() }
        func isGranted(_ number: RequestNumber) -> Bool { swarm.sent.contains { $0.message == .leaseGranted(number) } }
        func refusal(_ number: RequestNumber) -> String? {
            for case (_, .leaseRefused(number, let reason)) in swarm.sent { return reason }
            return nil
        }
    }

    private func single(_ text: String) throws -> AnyIPPrefix { .v4(try prefix(text)) }

    @Test("Any address: who leases most that is free is asked, and what it gives goes to who asked, in one commit")
    func any() throws {
        var full = try Full()
        #expect(full.blocks(full.one).count == 5)
        full.swarm.say(.leaseRequest(20, full.subnet, address: nil, isSpare: true), as: full.two)
        #expect(full.refusal(20) != nil, "nobody gives anything back for a spare block")
        full.swarm.say(.leaseRequest(21, full.subnet, address: nil), as: full.two)
        let question = try full.question()
        let commits = full.swarm.commits
        full.swarm.say(.addressesReturned(question, full.subnet, try single("10.8.0.4/32")), as: full.one)
        #expect(full.isGranted(21) && full.swarm.commits == commits + 1)
        #expect(full.blocks(full.two) == ["10.8.0.4/32"] && full.blocks(full.one).count == 4)
    }

    @Test("A service's address is asked back too, and again where nobody had one to give")
    func service() throws {
        var full = try Full()
        var spec = ServiceSpec(name: "web", task: TaskSpec(container: ContainerSpec(image: "i")))
        spec.task.networks = [TaskNetwork(target: full.network.id.rawValue)]
        guard case .service(let service) = try full.swarm.run(.createService(spec)) else { throw Swarm.Unexpected(what: "reply") }
        func address() -> String? { full.swarm.replica[Service.self, service.id]?.addresses.first?.ipv4.description }
        full.swarm.say(.addressesKept(try full.question(), reason: "in use"), as: full.one)
        full.swarm.pass(.seconds(2))
        #expect(address() == nil && full.swarm.replica[Service.self, service.id]?.problem?.contains("10.8.0.0/29") == true)
        full.swarm.sent = []
        for _ in 0..<10 {
            for node in [full.one, full.two, full.three] { full.swarm.say(.heartbeat(appliedRevision: .none), as: node) }
            full.swarm.pass(.seconds(1))
        }
        full.swarm.say(.addressesReturned(try full.question(), full.subnet, try single("10.8.0.4/32")), as: full.one)
        #expect(address() == "10.8.0.4" && full.swarm.replica[Service.self, service.id]?.problem == nil)
        #expect(full.blocks(full.one).count == 4 && full.blocks(NodeID(service.id.rawValue)) == ["10.8.0.4/32"])
    }

    @Test("A block is split: its node keeps the rest in smaller blocks, and is told")
    func split() throws {
        var swarm = try Swarm()
        let one = try swarm.admit("w1")
        let two = try swarm.admit("w2")
        try swarm.hello(one, vtep: "172.30.0.2", returnsAddresses: true)
        try swarm.hello(two, vtep: "172.30.0.3", returnsAddresses: true)
        let network = try swarm.create("net")
        let subnet = SubnetID(network.id, .v4)
        let wanted = try address("10.0.1.130")
        swarm.say(.leaseRequest(1, subnet, address: .v4(wanted)), as: two)
        guard case (one, .addressesWanted(let question, subnet, .v4(wanted)))? = swarm.sent.last else {
            throw Swarm.Unexpected(what: "\(swarm.sent)")
        }
        swarm.say(.addressesReturned(question, subnet, AnyIPPrefix(host: .v4(wanted))), as: one)
        #expect(swarm.leases(one, network).map(\.description) == ["10.0.1.128/31", "10.0.1.131/32", "10.0.1.132/30"])
        #expect(swarm.leases(two, network).map(\.description) == ["10.0.1.130/32", "10.0.1.136/29"])
        let told = try swarm.assignments(one)
        #expect(told.removedLeases == ["\(network.id)/10.0.1.128/29"] && told.leases.count == 3)
    }

    @Test("A named address that is in use is refused with the holder's own sentence")
    func kept() throws {
        var full = try Full()
        full.swarm.say(.leaseRequest(21, full.subnet, address: .v4(try address("10.8.0.4"))), as: full.two)
        full.swarm.say(.addressesKept(try full.question(), reason: "web on host-w1 has it"), as: full.one)
        #expect(full.refusal(21) == "web on host-w1 has it")
    }

    @Test("Where all is in use by what is known, an end that is on its way is waited for")
    func lateEnd() throws {
        var full = try Full()
        var endpoints: [Endpoint] = []
        for (index, block) in full.swarm.leases(full.one, full.network).enumerated() {
            endpoints.append(
                Endpoint(
                    id: EndpointID("e\(index)"), network: full.network.id, node: full.one, sandbox: SandboxID("s\(index)"),
                    ipv4: block.network, mac: MACAddress(forIPv4: block.network), name: "c\(index)"))
        }
        full.swarm.say(.endpointsChanged(added: endpoints, removed: []), as: full.one)
        full.swarm.say(.leaseRequest(21, full.subnet, address: nil), as: full.two)
        #expect(full.refusal(21) == nil && (try? full.question()) == nil)
        full.swarm.say(.endpointsChanged(added: [], removed: [EndpointID("e2")]), as: full.one)
        full.swarm.say(.addressesReturned(try full.question(), full.subnet, AnyIPPrefix(host: .v4(endpoints[2].ipv4))), as: full.one)
        #expect(full.isGranted(21))
        full.swarm.say(.leaseRequest(22, full.subnet, address: nil), as: full.three)
        // Two has no endpoint yet, as far as is known, but says that it keeps the address.
        guard case (full.two, .addressesWanted(let question, _, nil))? = full.swarm.sent.last else {
            throw Swarm.Unexpected(what: "\(full.swarm.sent)")
        }
        full.swarm.say(.addressesKept(question, reason: "all in use"), as: full.two)
        #expect(full.refusal(22) == nil)
        full.swarm.pass(.seconds(1))
        #expect(full.refusal(22)?.contains("all addresses of 10.8.0.0/29 are in use") == true)
    }

    @Test("A holder without a session is waited for; one that is down, or does not answer, is named")
    func unreachable() throws {
        var full = try Full()
        full.swarm.disconnect(full.one)
        full.swarm.say(.leaseRequest(21, full.subnet, address: .v4(try address("10.8.0.4"))), as: full.two)
        #expect(full.refusal(21) == nil)
        try full.swarm.hello(full.one, vtep: "172.30.0.2", returnsAddresses: true)
        full.swarm.say(.addressesReturned(try full.question(), full.subnet, try single("10.8.0.4/32")), as: full.one)
        #expect(full.isGranted(21))

        full.swarm.say(.leaseRequest(22, full.subnet, address: nil), as: full.two)
        _ = try full.question()
        full.swarm.pass(.seconds(3))
        #expect(full.refusal(22)?.contains("4 leased by node host-w1, which did not answer in time") == true)

        full.swarm.disconnect(full.one)
        full.swarm.pass(.seconds(10))
        full.swarm.say(.heartbeat(appliedRevision: .none), as: full.two)
        full.swarm.pass(.seconds(6))
        #expect(full.swarm.replica.node(full.one)?.state == .down)
        full.swarm.say(.leaseRequest(23, full.subnet, address: .v4(try address("10.8.0.5"))), as: full.two)
        #expect(full.refusal(23)?.contains("host-w1, which is down") == true, "at once")
    }

    @Test("An ask ends with the session of who asked; an answer that comes late still frees what it gives back")
    func sessions() throws {
        var full = try Full()
        full.swarm.say(.leaseRequest(21, full.subnet, address: nil), as: full.two)
        let question = try full.question()
        try full.swarm.hello(full.two, vtep: "172.30.0.3", returnsAddresses: true)
        full.swarm.say(.addressesReturned(question, full.subnet, try single("10.8.0.4/32")), as: full.one)
        #expect(!full.isGranted(21) && full.blocks(full.two).isEmpty && full.blocks(full.one).count == 4)
        full.swarm.say(.leaseRequest(1, full.subnet, address: nil), as: full.two)
        #expect(full.isGranted(1) && full.blocks(full.two) == ["10.8.0.4/32"])
    }

    @Test("What is not the node's, or in use by what is known, is not taken back; the lease gets a new version")
    func notTaken() throws {
        var full = try Full()
        let endpoint = try full.swarm.endpoint("a", full.one, full.network, offset: 0)
        full.swarm.say(.endpointsChanged(added: [endpoint], removed: []), as: full.one)
        let lease = try #require(full.swarm.replica.leases.first { $0.block == AnyIPPrefix(host: .v4(endpoint.ipv4)) })
        full.swarm.say(.addressesReturned(99, full.subnet, lease.block), as: full.one)
        let now = try #require(full.swarm.replica.lease(lease.id))
        #expect(now.node == full.one && now.version > lease.version)
        full.swarm.say(.addressesReturned(99, full.subnet, try single("10.8.0.4/32")), as: full.two)
        full.swarm.say(.addressesReturned(99, full.subnet, try single("10.8.0.0/28")), as: full.one)
        full.swarm.say(.addressesReturned(99, SubnetID(NetworkID("none"), .v4), try single("10.8.0.4/32")), as: full.one)
        #expect(full.blocks(full.one).count == 5)
    }

    @Test("Nodes of versions that give nothing back are not asked")
    func formerVersions() throws {
        var full = try Full(returnsAddresses: false)
        full.swarm.say(.leaseRequest(21, full.subnet, address: nil), as: full.two)
        full.swarm.pass(.seconds(1))
        #expect(full.refusal(21)?.contains("5 leased by node host-w1, which runs a version") == true)
        #expect((try? full.question()) == nil)
    }

    @Test("A return that is of no use to who asked is a refusal")
    func uselessReturn() throws {
        var full = try Full()
        full.swarm.say(.leaseRequest(21, full.subnet, address: .v4(try address("10.8.0.4"))), as: full.two)
        full.swarm.say(.addressesReturned(try full.question(), full.subnet, try single("10.8.0.5/32")), as: full.one)
        #expect(full.refusal(21)?.contains("10.8.0.4 is leased by node host-w1") == true)
        #expect(full.blocks(full.one).count == 4, "what it returned is free all the same")
        full.swarm.sent = []
        full.swarm.say(.leaseRequest(22, full.subnet, address: .v4(try address("10.8.0.4"))), as: full.two)
        full.swarm.say(.addressesReturned(try full.question(), full.subnet, try single("10.9.0.4/32")), as: full.one)
        #expect(full.refusal(22) != nil)
        // One is the only holder with anything free: once it refused, nobody is left to ask.
        full.swarm.say(.leaseRequest(23, full.subnet, address: nil), as: full.two)
        full.swarm.say(.leaseRequest(24, full.subnet, address: nil), as: full.two)
        #expect(full.isGranted(23))
        full.swarm.say(.addressesReturned(try full.question(), full.subnet, try single("10.9.0.4/32")), as: full.one)
        full.swarm.sent = []
        full.swarm.say(.heartbeat(appliedRevision: .none), as: full.two)
        #expect((try? full.question()) == nil)
        full.swarm.pass(.seconds(1))
        #expect(full.refusal(24)?.contains("all addresses of 10.8.0.0/29 are in use") == true)
    }

    @Test("Nobody is asked any more once the request's time is over, however quick the answers are")
    func noMoreQuestions() throws {
        var full = try Full()
        full.swarm.say(.leaseRequest(21, full.subnet, address: nil), as: full.two)
        let question = try full.question()
        full.swarm.now = full.swarm.now + .seconds(3)
        full.swarm.sent = []
        // The holder's session is another: its question is void, and it could be asked again.
        try full.swarm.hello(full.one, vtep: "172.30.0.2", returnsAddresses: true)
        full.swarm.say(.addressesKept(question, reason: "late"), as: full.one)
        #expect((try? full.question()) == nil)
        #expect(full.refusal(21) != nil)
    }

    @Test("A node's requests that wait are bounded; what is more is refused at once, and other nodes do not suffer")
    func bounded() throws {
        var full = try Full()
        for number in 100..<164 { full.swarm.say(.leaseRequest(RequestNumber(number), full.subnet, address: nil), as: full.two) }
        #expect((100..<164).allSatisfy { full.refusal(RequestNumber($0)) == nil })
        full.swarm.say(.leaseRequest(200, full.subnet, address: nil), as: full.two)
        #expect(full.refusal(200)?.contains("64 requests of this node wait") == true)
        full.swarm.say(.leaseRequest(201, full.subnet, address: nil), as: full.three)
        #expect(full.refusal(201) == nil)
    }

    @Test("An ask whose answer is not stored is there again")
    func notStored() throws {
        var full = try Full()
        full.swarm.say(.leaseRequest(21, full.subnet, address: nil), as: full.two)
        let question = try full.question()
        full.swarm.enqueue(.addressesReturned(question, full.subnet, try single("10.8.0.4/32")), as: full.one)
        full.swarm.failNext()
        #expect(full.blocks(full.one).count == 5 && full.swarm.givenUp.count == 1)
        full.swarm.sent = []
        // Its session is over, as what it said is lost.
        try full.swarm.hello(full.one, vtep: "172.30.0.2", applied: full.swarm.replica.revision, returnsAddresses: true)
        full.swarm.say(.addressesReturned(try full.question(), full.subnet, try single("10.8.0.5/32")), as: full.one)
        #expect(full.isGranted(21) && full.blocks(full.two) == ["10.8.0.5/32"])
    }
}
