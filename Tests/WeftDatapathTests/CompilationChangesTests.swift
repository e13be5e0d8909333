import TestSupport
import Testing
import WeftDatapath
import WeftModel
import WeftNet

/// Networks, peers and endpoints come, change and go one at a time, in any order.
@Suite struct CompilationChangesTests {
    /// All that is known, and the compilation that was told of it change by change.
    private struct Twin {
        var compilation: Compilation
        var networks: [NetworkID: Network] = [:]
        var peers: [NodeID: Peer] = [:]
        var services: [ServiceID: ServiceView] = [:]
        var parts: [EndpointID: (attachment: SandboxAttachment?, endpoint: Endpoint?)] = [:]

        init() throws { compilation = Compilation(try View.nobody().view) }

        /// The same at once.
        func view() throws -> NodeView {
            var view = try View.nobody().view
            view.underlayMTU = compilation.underlayMTU
            view.networks = Array(networks.values)
            view.peers = Array(peers.values)
            view.services = Array(services.values)
            view.attachments = parts.values.compactMap(\.attachment)
            view.endpoints = parts.values.compactMap(\.endpoint)
            return view
        }

        mutating func change(_ random: inout SplitMix) throws {
            switch Int.random(in: 0..<12, using: &random) {
            case 10, 11:
                let id = ServiceID("s\(Int.random(in: 0..<3, using: &random))")
                services[id] = Int.random(in: 0..<3, using: &random) == 0 ? nil : try Self.service(id, &random)
                compilation.set(id, service: services[id])
            case 0, 1:
                let number = Int.random(in: 0..<3, using: &random)
                let id = NetworkID("n\(number)")
                networks[id] = Int.random(in: 0..<3, using: &random) == 0 ? nil : try Self.network(number, &random)
                compilation.set(id, network: networks[id])
            case 2, 3:
                let number = Int.random(in: 0..<4, using: &random)
                let id = NodeID("node\(number)")
                peers[id] = Int.random(in: 0..<3, using: &random) == 0 ? nil : Self.peer(number, &random)
                compilation.set(id, peer: peers[id])
            case 4:
                let mtu = try #require(MTU(Int.random(in: 1400...9000, using: &random)))
                compilation.setUnderlay(mtu: mtu, port: compilation.desired.host.dataPathPort)
            default:
                let id = EndpointID("e\(Int.random(in: 0..<12, using: &random))")
                parts[id] = try Self.endpoint(id.rawValue, &random)
                compilation.set(id, attachment: parts[id]?.attachment, endpoint: parts[id]?.endpoint)
            }
        }

        /// Few addresses: two services may have the same, or one of an endpoint's.
        private static func service(_ id: ServiceID, _ random: inout SplitMix) throws -> ServiceView {
            var service = Service(
                id: id, createdAt: Instant(nanoseconds: 0),
                spec: ServiceSpec(name: "s", task: TaskSpec(container: ContainerSpec())))
            for number in 0..<3 where Bool.random(using: &random) {
                let host = Int.random(in: 5..<9, using: &random)
                service.addresses.append(
                    VirtualAddress(
                        network: NetworkID("n\(number)"), ipv4: try address("10.\(number).0.\(host)"),
                        ipv6: Bool.random(using: &random) ? IPv6Address("fd00:\(number)::\(host)") : nil))
            }
            return ServiceView(service)
        }

        private static func task(_ random: inout SplitMix) -> ServingTask? {
            guard Bool.random(using: &random) else { return nil }
            let service = ServiceID("s\(Int.random(in: 0..<3, using: &random))")
            let rotation: ServingTask.Rotation = Int.random(in: 0..<4, using: &random) == 0 ? .draining : .serving
            return ServingTask(service: service, task: TaskID("t"), slot: 1, rotation: rotation)
        }

        private static func network(_ number: Int, _ random: inout SplitMix) throws -> Network {
            var view = try View()
            let subnet6 = Bool.random(using: &random) ? "fd00:\(number)::/64" : nil
            try view.network(
                "n\(number)", "10.\(number).0.0/24", 4096 + UInt32(number), isInternal: Bool.random(using: &random),
                subnet6: subnet6)
            if Bool.random(using: &random) { view.view.networks[0].spec.options["encrypted"] = "" }
            return try #require(view.view.networks.first)
        }

        /// Few addresses: two nodes may have the same, one may have this node's, or none.
        private static func peer(_ number: Int, _ random: inout SplitMix) -> Peer {
            let address = Int.random(in: 0..<5, using: &random)
            let state: NodeState = Bool.random(using: &random) ? .ready : .down
            var peer = Peer(
                id: NodeID("node\(number)"), hostname: "h", state: state,
                dataPathAddress: address == 4 ? nil : peerAddress(UInt32(address)), managerAddress: nil)
            peer.underlayMTU = [nil, MTU(1400), MTU(9000)][Int.random(in: 0..<3, using: &random)]
            return peer
        }

        private static func endpoint(
            _ id: String, _ random: inout SplitMix
        ) throws -> (attachment: SandboxAttachment?, endpoint: Endpoint?) {
            var view = try View()
            let number = Int.random(in: 0..<3, using: &random)
            let host = Int.random(in: 2..<7, using: &random)
            let ipv6 = Bool.random(using: &random) ? "fd00:\(number)::\(host)" : nil
            switch Int.random(in: 0..<7, using: &random) {
            case 0, 1:
                try view.local(
                    id, "n\(number)", "10.\(number).0.\(host)", eth: Int.random(in: 0..<4, using: &random),
                    sandbox: String(Int.random(in: 0..<3, using: &random)), ipv6: ipv6,
                    task: task(&random))
            case 2, 3, 4:
                try view.remote(
                    id, "n\(number)", "10.\(number).0.\(host)", on: Int.random(in: 0..<5, using: &random), ipv6: ipv6,
                    task: task(&random))
            case 5:
                try view.local(id, "n\(number)", "10.\(number).0.\(host)", ipv6: ipv6)
                let endpoint = try #require(view.view.endpoints.first)
                return (SandboxAttachment(engine: endpoint, isNew: Bool.random(using: &random)), endpoint)
            default: break
            }
            return (view.view.attachments.first, view.view.endpoints.first)
        }
    }

    @Test("what is kept is what compiling anew gives, after every change", arguments: 0..<60 as Range<UInt64>)
    func sameAsAnew(seed: UInt64) throws {
        var random = SplitMix(state: seed &+ 77)
        var twin = try Twin()
        for step in 0..<250 {
            try twin.change(&random)
            #expect(twin.compilation.desired == compile(try twin.view()), "seed \(seed), step \(step)")
        }
    }

    @Test("the keys name all that is different", arguments: 0..<60 as Range<UInt64>)
    func keys(seed: UInt64) throws {
        var random = SplitMix(state: seed &+ 7777)
        var twin = try Twin()
        for step in 0..<250 {
            let before = twin.compilation.desired
            _ = twin.compilation.takeTouched()
            try twin.change(&random)
            let after = twin.compilation.desired
            let keys = twin.compilation.takeTouched()
            #expect(different(before.endpoints, after.endpoints).isSubset(of: keys.endpoints), "seed \(seed), step \(step)")
            #expect(different(before.locations, after.locations).isSubset(of: keys.addresses), "seed \(seed), step \(step)")
            #expect(different(before.members, after.members).isSubset(of: keys.members), "seed \(seed), step \(step)")
            #expect(different(before.subnets, after.subnets).isSubset(of: keys.subnets), "seed \(seed), step \(step)")
            #expect(different(before.services, after.services).isSubset(of: keys.services), "seed \(seed), step \(step)")
        }
    }

    @Test("rounds over what changed leave nothing to do, and look at the kernel once", arguments: 0..<30 as Range<UInt64>)
    func rounds(seed: UInt64) throws {
        var random = SplitMix(state: seed &+ 777)
        var twin = try Twin()
        let kernel = FakeKernel(ObservedState(host: twin.compilation.desired.host))
        var reconciler = DatapathReconciler()
        #expect(try reconciler.reconcile(twin.compilation.desired, with: kernel).isEmpty)
        for step in 0..<150 {
            for _ in 0..<Int.random(in: 1...3, using: &random) { try twin.change(&random) }
            let keys = twin.compilation.takeTouched()
            #expect(try reconciler.reconcile(twin.compilation.desired, changed: keys, with: kernel).isEmpty)
            let left = difference(desired: twin.compilation.desired, observed: kernel.state)
            #expect(left.isEmpty, "seed \(seed), step \(step): \(left)")
        }
        #expect(kernel.observations == 1)
    }

    private func different<Key, Value: Equatable>(_ one: [Key: Value], _ other: [Key: Value]) -> Set<Key> {
        Set(one.keys).union(other.keys).filter { one[$0] != other[$0] }
    }

    @Test("a node that goes down touches nothing, one that joins the firewall, one whose MTU changes what leads to it")
    func peers() throws {
        var view = try View()
        try view.network("n0", "10.0.0.0/24", 4096)
        try view.local("here", "n0", "10.0.0.2")
        for host in 3..<100 { try view.remote("r\(host)", "n0", "10.0.0.\(host)", on: 1 + host % 2) }
        var compilation = Compilation(view.view)
        var peer = try #require(view.view.peers.first)
        peer.state = .down
        compilation.set(peer.id, peer: peer)
        #expect(compilation.takeTouched() == DatapathKeys())

        let joined = Peer(
            id: NodeID("node9"), hostname: "h9", state: .ready, dataPathAddress: peerAddress(9), managerAddress: nil)
        let before = compilation.desired.host
        compilation.set(joined.id, peer: joined)
        #expect(compilation.takeTouched() == DatapathKeys())
        var settled = ObservedState(host: before)
        for operation in difference(desired: compile(view.view), observed: settled) { settled.record(operation) }
        #expect(
            difference(desired: compilation.desired, observed: settled) == [.prepareHost(.firewall, compilation.desired.host)])

        peer.underlayMTU = MTU(1400)
        compilation.set(peer.id, peer: peer)
        let keys = compilation.takeTouched()
        #expect(keys.addresses.count == 48 && keys.members.count == 1 && keys.count == 49)
    }

    @Test("a network that comes or goes touches its own")
    func networks() throws {
        var view = try View()
        try view.network("n0", "10.0.0.0/24", 4096)
        try view.network("n1", "10.1.0.0/24", 4097)
        try view.local("here", "n0", "10.0.0.2")
        for host in 3..<100 { try view.remote("r\(host)", "n0", "10.0.0.\(host)", on: 1 + host % 2) }
        var compilation = Compilation(view.view)
        compilation.set(NetworkID("n1"), network: nil)
        let keys = compilation.takeTouched()
        let subnet = try #require(AnyIPPrefix("10.1.0.0/24"))
        #expect(keys.count == 1 && keys.subnets == [subnet])
    }
}

extension View {
    /// A node that knows nothing yet.
    fileprivate static func nobody() throws -> View {
        var view = try View()
        view.view.peers = []
        return view
    }
}
