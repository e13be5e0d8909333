import TestSupport
import Testing
import WeftDatapath
import WeftModel
import WeftNet

@Suite struct DifferenceTests {
    /// One endpoint here, one on a peer.
    private func desired() throws -> DesiredState {
        var view = try View()
        try view.network("n", "10.1.0.0/24", 4096)
        try view.local("a", "n", "10.1.0.2")
        try view.remote("b", "n", "10.1.0.3", on: 1)
        return compile(view.view)
    }

    @Test("from nothing: host, then who is who, then the endpoint, then the ways to it")
    func fromNothing() throws {
        let desired = try desired()
        let endpoint = try #require(desired.endpoints[EndpointID("a")])
        let near = OverlayAddress(vni: try vni(4096), address: try address("10.1.0.2"))
        let far = OverlayAddress(vni: try vni(4096), address: try address("10.1.0.3"))
        let farMAC = MACAddress(forIPv4: try address("10.1.0.3"))
        let expected: [DatapathOperation] =
            HostPart.allCases.map { .prepareHost($0, desired.host) } + [
                .setSubnet(try #require(AnyIPPrefix("10.1.0.0/24")), try vni(4096)),
                .setMember(Membership(vni: try vni(4096), vtep: peerAddress(1)), MemberTunnel(mtu: MTU(1450))),
                .createEndpoint(endpoint, hostInterface: "wve40c292c"),
                .setLocation(near, .local(EndpointID("a"), mac: endpoint.entry.mac)),
                .setLocation(far, .remote(vtep: peerAddress(1), mac: farMAC, mtu: MTU(1450))),
            ]
        #expect(difference(desired: desired, observed: ObservedState(host: desired.host)) == expected)
    }

    @Test("nothing is left to do once everything is done")
    func idempotent() throws {
        let desired = try desired()
        #expect(difference(desired: desired, observed: settled(desired)).isEmpty)
    }

    @Test("an endpoint whose namespace is not known where sockets connect is repaired, unless an engine has put it there")
    func unknownNamespace() throws {
        var desired = try desired()
        let id = EndpointID("a")
        for placement in [EndpointPlacement.engine(isNew: false), try #require(desired.endpoints[id]).placement] {
            desired.endpoints[id]?.placement = placement
            let endpoint = try #require(desired.endpoints[id])
            var observed = settled(desired)
            observed.endpoints["wve40c292c"]?.hasKnownNamespace = false
            let operations = difference(desired: desired, observed: observed)
            #expect(
                operations
                    == (placement == .engine(isNew: false) ? [] : [.repairEndpoint(endpoint, hostInterface: "wve40c292c")]))
        }
    }

    @Test("leftovers go, entries before the interface they name")
    func leftovers() throws {
        let desired = try desired()
        var observed = settled(desired)
        let ghost = OverlayAddress(vni: try vni(5000), address: try address("10.9.0.2"))
        let member = Membership(vni: try vni(5000), vtep: peerAddress(2))
        let subnet = try #require(AnyIPPrefix("10.9.0.0/24"))
        observed.endpoints["wv00000000"] = ObservedEndpoint(id: nil)
        observed.endpoints["wv00000001"] = ObservedEndpoint(id: EndpointID("ghost"))
        observed.locations[ghost] = .stale
        observed.members[member] = MemberTunnel(mtu: nil)
        observed.subnets[subnet] = try vni(5000)
        observed.strayEntries = [9, 7]
        observed.strayPrograms = [4]
        #expect(
            difference(desired: desired, observed: observed) == [
                .removeStrayProgram(interface: 4), .removeLocation(ghost), .removeStrayEntry(interface: 7),
                .removeStrayEntry(interface: 9), .removeMember(member), .removeSubnet(subnet),
                .removeEndpoint(hostInterface: "wv00000000"), .removeEndpoint(hostInterface: "wv00000001"),
            ])
    }

    @Test("whatever part of an endpoint is missing or wrong, it is repaired")
    func repairs() throws {
        let desired = try desired()
        let endpoint = try #require(desired.endpoints[EndpointID("a")])
        let damage: [(inout ObservedEndpoint) -> Void] = [
            { $0.isUp = false }, { $0.mtu = 1500 }, { $0.entry = nil }, { $0.entry?.isInternal = true },
            { $0.hasProgram = false }, { $0.hostRoutes = [] }, { $0.neighbours = [:] }, { $0.routesInside.isDefault = false },
        ]
        for change in damage {
            var observed = settled(desired)
            change(&observed.endpoints["wve40c292c", default: ObservedEndpoint(id: nil)])
            #expect(
                difference(desired: desired, observed: observed)
                    == [.repairEndpoint(endpoint, hostInterface: "wve40c292c")])
        }
    }

    @Test("an endpoint with another address inside is made anew, with what leads to it")
    func recreated() throws {
        let desired = try desired()
        let endpoint = try #require(desired.endpoints[EndpointID("a")])
        var observed = settled(desired)
        observed.endpoints["wve40c292c"]?.entry?.mac = MACAddress(rawValue: 1)
        let near = OverlayAddress(vni: try vni(4096), address: try address("10.1.0.2"))
        #expect(
            difference(desired: desired, observed: observed) == [
                .removeEndpoint(hostInterface: "wve40c292c"),
                .createEndpoint(endpoint, hostInterface: "wve40c292c"),
                .setLocation(near, .local(EndpointID("a"), mac: endpoint.entry.mac)),
            ])
    }

    @Test("an endpoint with another IPv6 address inside is made anew, with the ways to both addresses")
    func recreatedForIPv6() throws {
        var view = try View()
        try view.network("n", "10.1.0.0/24", 4096, subnet6: "fd00:1::/64")
        try view.local("a", "n", "10.1.0.2", ipv6: "fd00:1::2")
        let desired = compile(view.view)
        let endpoint = try #require(desired.endpoints[EndpointID("a")])
        var observed = settled(desired)
        #expect(difference(desired: desired, observed: observed).isEmpty)
        observed.endpoints["wve40c292c"]?.entry?.ipv6 = nil
        let location = Location.local(EndpointID("a"), mac: endpoint.entry.mac)
        let ipv6 = OverlayAddress(vni: try vni(4096), address: try #require(IPv6Address("fd00:1::2")))
        #expect(
            difference(desired: desired, observed: observed) == [
                .removeEndpoint(hostInterface: "wve40c292c"),
                .createEndpoint(endpoint, hostInterface: "wve40c292c"),
                .setLocation(OverlayAddress(vni: try vni(4096), address: try address("10.1.0.2")), location),
                .setLocation(ipv6, location),
            ])
        observed = settled(desired)
        observed.locations[ipv6] = nil
        #expect(difference(desired: desired, observed: observed) == [.setLocation(ipv6, location)])
        var reconciler = DatapathReconciler()
        #expect(try reconciler.reconcile(desired, with: FakeKernel(observed)).isEmpty)
        let held = [IPAddress.v4(try address("10.1.0.2")), ipv6.address]
        #expect(reconciler.addressesHeld == Set(held))
    }

    @Test("a name that another endpoint has is not taken")
    func nameCollision() throws {
        let desired = try desired()
        var other = try View()
        try other.network("n", "10.1.0.0/24", 4096)
        try other.local("x", "n", "10.1.0.9")
        try other.local("a", "n", "10.1.0.2", sandbox: "t")
        let both = compile(other.view)
        var observed = ObservedState(host: desired.host)
        observed.endpoints["wve40c292c"] = both.endpoints[EndpointID("x")]?.whenDone
        let created = difference(desired: both, observed: observed).compactMap { operation in
            if case .createEndpoint(let endpoint, let name) = operation { "\(endpoint.id) \(name)" } else { nil }
        }
        #expect(created == ["a \(hostInterfaceName(EndpointID("a"), attempt: 1))"])
    }

    @Test("another data-path address or port makes the host anew")
    func hostChanged() throws {
        let desired = try desired()
        var moved = desired
        moved.host.dataPathPort = 4790
        let operations = difference(desired: moved, observed: settled(desired))
        #expect(operations == HostPart.allCases.map { .prepareHost($0, moved.host) })
    }

    @Test("from any state to any other: recording what was done leaves nothing to do")
    func anyToAny() throws {
        var generator = SplitMix(state: 7)
        var current = ObservedState(host: HostConfiguration(dataPathAddress: peerAddress(0)))
        for _ in 0..<400 {
            let desired = compile(try randomView(&generator).view)
            let operations = difference(desired: desired, observed: current)
            #expect(operations == difference(desired: desired, observed: current), "the same every time")
            for operation in operations { current.record(operation) }
            #expect(difference(desired: desired, observed: current).isEmpty)
            #expect(current.locations == desired.locations)
            #expect(current.members == desired.members)
            #expect(current.subnets == desired.subnets)
            #expect(Set(current.endpoints.values.compactMap(\.id)) == Set(desired.endpoints.keys))
            if Bool.random(using: &generator) { current.strayEntries.insert(3) }
            if let name = current.endpoints.keys.min() { current.endpoints[name]?.hasProgram = false }
        }
    }

    @Test("the reconciler observes once, and again after a failure or when told")
    func reconciler() throws {
        let desired = try desired()
        let kernel = FakeKernel(ObservedState(host: desired.host))
        var reconciler = DatapathReconciler()
        #expect(try reconciler.reconcile(desired, with: kernel).isEmpty)
        #expect(try reconciler.reconcile(desired, with: kernel).isEmpty)
        #expect(kernel.observations == 1)
        #expect(kernel.applied == 1)

        var bigger = desired
        bigger.subnets[try #require(AnyIPPrefix("10.5.0.0/16"))] = try vni(4100)
        kernel.failing = { if case .setSubnet = $0 { true } else { false } }
        #expect(try reconciler.reconcile(bigger, with: kernel).map(\.reason) == ["refused"])
        kernel.failing = { _ in false }
        #expect(try reconciler.reconcile(bigger, with: kernel).isEmpty)
        #expect(kernel.observations == 2)
        #expect(kernel.state.subnets.count == 2)

        kernel.state.members = [:]
        #expect(try reconciler.reconcile(bigger, with: kernel).isEmpty)
        #expect(kernel.state.members.isEmpty, "what changes behind its back is not seen yet")
        reconciler.forget()
        #expect(try reconciler.reconcile(bigger, with: kernel).isEmpty)
        #expect(kernel.state.members == desired.members)
    }

    private func settled(_ desired: DesiredState) -> ObservedState {
        var state = ObservedState(host: desired.host)
        for operation in difference(desired: desired, observed: state) { state.record(operation) }
        return state
    }

    private func randomView(_ generator: inout SplitMix) throws -> View {
        var view = try View()
        for number in 0..<6 where Bool.random(using: &generator) {
            try view.network(
                "n\(number)", "10.\(number).0.0/24", 4096 + UInt32(number), isInternal: number == 5,
                subnet6: number.isMultiple(of: 2) ? nil : "fd00:\(number)::/64")
        }
        for (index, network) in view.view.networks.map(\.id.rawValue).enumerated() {
            for host in 2..<6 {
                let text = "10.\(network.dropFirst()).0.\(host)"
                let ipv6 = Bool.random(using: &generator) ? "fd00:\(network.dropFirst())::\(host)" : nil
                switch Int.random(in: 0..<5, using: &generator) {
                case 0, 1: try view.local("\(network)-\(host)", network, text, eth: index, sandbox: "\(host)", ipv6: ipv6)
                case 2, 3: try view.remote("\(network)-\(host)r", network, text, on: 1 + host % 2, ipv6: ipv6)
                default: break
                }
            }
        }
        return view
    }
}

/// Does what it is told, in memory.
final class FakeKernel: Datapath {
    var state: ObservedState
    var observations = 0
    var applied = 0
    var failing: (DatapathOperation) -> Bool = { _ in false }

    init(_ state: ObservedState) { self.state = state }

    func observe(for host: HostConfiguration) throws -> ObservedState {
        observations += 1
        return state
    }

    func apply(_ operations: [DatapathOperation]) -> [DatapathFailure] {
        applied += 1
        for operation in operations where !failing(operation) { state.record(operation) }
        return operations.filter(failing).map { DatapathFailure(operation: $0, reason: "refused") }
    }
}
