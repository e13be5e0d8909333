import Testing
import WeftDatapath
import WeftModel
import WeftNet

@Suite struct ServiceTableTests {
    private static func backends(_ count: Int) -> [VirtualService.Backend] {
        (0..<UInt32(count)).map { .init(ipv4: IPv4Address(rawValue: 0x0a00_0002 + $0 * 7)) }
    }

    @Test("every backend has its share of the places", arguments: [1, 2, 3, 10, 100, 650])
    func shares(count: Int) {
        let places = VirtualService(backends: Self.backends(count)).places
        #expect(places.count.nonzeroBitCount == 1 && places.count >= 128)
        var shares = [Int](repeating: 0, count: count)
        for place in places { shares[Int(place)] += 1 }
        #expect((shares.max() ?? 0) - (shares.min() ?? 0) <= 1)
    }

    @Test("a service of very many backends leaves out none")
    func many() {
        #expect(Set(VirtualService(backends: Self.backends(20_000)).places).count == 20_000)
        #expect(VirtualService().places.isEmpty)
    }

    @Test("the order in which backends are told does not matter")
    func order() {
        let backends = Self.backends(9)
        #expect(VirtualService(backends: backends.reversed()).places == VirtualService(backends: backends).places)
    }

    @Test("where one backend goes, most connections stay where they are")
    func stability() throws {
        let backends = Self.backends(10)
        let gone = try #require(backends.randomElement())
        let (all, fewer) = (VirtualService(backends: backends), VirtualService(backends: backends.filter { $0 != gone }))
        let (before, after) = (all.places, fewer.places)
        #expect(before.count == after.count)
        let moved = zip(before, after).count {
            let former = all.backends[Int($0)]
            return former != gone && former != fewer.backends[Int($1)]
        }
        #expect(moved < before.count / 5, "\(moved) of \(before.count)")
    }

    /// A view of a network with this node's `a` and a service at .100 with three tasks: here, on node 1, on node 2.
    private func view() throws -> View {
        var view = try View()
        try view.network("n", "10.1.0.0/16", 4097, subnet6: "fd00:1::/64")
        try view.local("a", "n", "10.1.0.2")
        func task(_ slot: UInt64, _ rotation: ServingTask.Rotation = .serving) -> ServingTask {
            ServingTask(service: ServiceID("web"), task: TaskID("t\(slot)"), slot: slot, rotation: rotation)
        }
        try view.local("t1", "n", "10.1.0.11", ipv6: "fd00:1::b", task: task(1))
        try view.remote("t2", "n", "10.1.0.12", on: 1, ipv6: "fd00:1::c", task: task(2))
        try view.remote("t3", "n", "10.1.0.13", on: 2, task: task(3))
        try view.remote("t4", "n", "10.1.0.14", on: 2, task: task(4, .waiting))
        try view.remote("t5", "n", "10.1.0.15", on: 2, task: task(5, .draining))
        var service = Service(
            id: ServiceID("web"), createdAt: Instant(nanoseconds: 0),
            spec: ServiceSpec(name: "web", task: TaskSpec(container: ContainerSpec())))
        service.addresses = [
            VirtualAddress(network: NetworkID("n"), ipv4: try address("10.1.0.100"), ipv6: IPv6Address("fd00:1::64"))
        ]
        view.view.services = [ServiceView(service)]
        return view
    }

    @Test("a service is where its network is, with the tasks that serve on nodes that are up")
    func compiled() throws {
        var view = try view()
        let own = OverlayAddress(vni: try vni(4097), address: try address("10.1.0.100"))
        let own6 = OverlayAddress(vni: try vni(4097), address: try #require(IPv6Address("fd00:1::64")))
        func backends() -> [String]? { compile(view.view).services[own]?.backends.map(\.ipv4.description) }
        #expect(backends() == ["10.1.0.11", "10.1.0.12", "10.1.0.13"])
        let state = compile(view.view)
        #expect(state.services.count == 1 && state.services[own]?.ipv6 == IPv6Address("fd00:1::64"))
        #expect(state.locations[own] == .service && state.locations[own6] == .service)
        #expect(state.endpoints[EndpointID("t1")]?.entry.isBackend == true)
        #expect(state.endpoints[EndpointID("a")]?.entry.isBackend == false)
        guard
            case .remote(_, _, _, _, isBackend: true)? = state.locations[
                OverlayAddress(vni: try vni(4097), address: try address("10.1.0.15"))]
        else {
            Issue.record("a task that drains is a backend still, of the connections that it has")
            return
        }

        view.view.peers[1].state = .down
        #expect(backends() == ["10.1.0.11", "10.1.0.12"])
        view.view.services = []
        #expect(compile(view.view).locations[own] == nil)
    }

    @Test("where nobody is on its network a service is not in the kernel")
    func elsewhere() throws {
        var view = try view()
        view.view.attachments = []
        let state = compile(view.view)
        #expect(state.services.isEmpty && state.locations.isEmpty)
    }

    @Test("backends come before the service that names them, and its address last")
    func steps() throws {
        let desired = compile(try view().view)
        let operations = difference(desired: desired, observed: ObservedState(host: desired.host))
        let kinds = operations.compactMap { operation -> Int? in
            switch operation {
            case .setLocation(_, .service): 2
            case .setLocation: 0
            case .setService: 1
            default: nil
            }
        }
        #expect(kinds == kinds.sorted() && kinds.suffix(3) == [1, 2, 2])
    }
}
