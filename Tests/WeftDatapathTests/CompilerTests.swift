import Testing
import WeftDatapath
import WeftModel
import WeftNet

@Suite struct CompilerTests {
    @Test("only networks with an endpoint here get entries, all get their subnet")
    func onlyLocalNetworks() throws {
        var view = try View()
        try view.network("used", "10.1.0.0/24", 4096)
        try view.network("unused", "10.2.0.0/24", 4097)
        try view.local("a", "used", "10.1.0.2")
        try view.remote("b", "used", "10.1.0.3", on: 1)
        try view.remote("c", "unused", "10.2.0.3", on: 1)
        let state = compile(view.view)
        #expect(state.locations.keys.sorted().map { "\($0.vni) \($0.address)" } == ["4096 10.1.0.2", "4096 10.1.0.3"])
        #expect(Set(state.members.keys) == [Membership(vni: try vni(4096), vtep: peerAddress(1))])
        #expect(state.subnets.keys.sorted().map(\.description) == ["10.1.0.0/24", "10.2.0.0/24"])
        #expect(
            state.locations[OverlayAddress(vni: try vni(4096), address: try address("10.1.0.3"))]
                == .remote(vtep: peerAddress(1), mac: MACAddress(forIPv4: try address("10.1.0.3")), mtu: MTU(1450)))
    }

    @Test("a peer that is down keeps its entries; one without a data-path address has none")
    func peers() throws {
        var view = try View()
        try view.network("n", "10.1.0.0/24", 4096)
        try view.local("a", "n", "10.1.0.2")
        try view.remote("b", "n", "10.1.0.3", on: 1)
        try view.remote("c", "n", "10.1.0.4", on: 2)
        view.view.peers[0].state = .down
        view.view.peers[1].dataPathAddress = nil
        let state = compile(view.view)
        #expect(state.locations.count == 2)
        #expect(Set(state.members.keys) == [Membership(vni: try vni(4096), vtep: peerAddress(1))])
    }

    @Test("the first network that leads out gets the default route, the first of all the resolver's")
    func routes() throws {
        var view = try View()
        try view.network("closed", "10.1.0.0/24", 4096, isInternal: true)
        try view.network("open", "10.2.0.0/24", 4097)
        try view.network("other", "10.3.0.0/24", 4098)
        // Given in another order than their interfaces have.
        try view.local("c", "other", "10.3.0.2", eth: 2)
        try view.local("b", "open", "10.2.0.2", eth: 1)
        try view.local("a", "closed", "10.1.0.2", eth: 0)
        let endpoints = compile(view.view).endpoints
        #expect(endpoints[EndpointID("a")]?.routes == SandboxRoutes(isDefault: false, toResolver: true))
        #expect(endpoints[EndpointID("b")]?.routes == SandboxRoutes(isDefault: true, toResolver: false))
        #expect(endpoints[EndpointID("c")]?.routes == SandboxRoutes(isDefault: false, toResolver: false))
        #expect(endpoints[EndpointID("a")]?.entry.isInternal == true)
        #expect(endpoints[EndpointID("c")]?.interfaceName == "eth2")
    }

    @Test("a sandbox's maker chooses interface names, and which network leads out")
    func chosenInterfaces() throws {
        var view = try View()
        try view.network("first", "10.1.0.0/24", 4096)
        try view.network("second", "10.2.0.0/24", 4097)
        try view.local("a", "first", "10.1.0.2", eth: 0)
        try view.local("b", "second", "10.2.0.2", eth: 1)
        view.view.attachments[0].interfaceName = "net7"
        view.view.attachments[0].takesDefaultRoute = false
        let endpoints = compile(view.view).endpoints
        #expect(endpoints[EndpointID("a")]?.interfaceName == "net7")
        #expect(endpoints[EndpointID("a")]?.routes == SandboxRoutes(isDefault: false, toResolver: true))
        #expect(endpoints[EndpointID("b")]?.interfaceName == "eth1")
        #expect(endpoints[EndpointID("b")]?.routes == SandboxRoutes(isDefault: true, toResolver: false))
    }

    @Test(
        "the MTU is what fits into the tunnel, or less if asked for", arguments: [(nil, 1450), ("1400", 1350), ("9000", 1450), ("x", 1450)])
    func mtu(option: String?, expected: Int) throws {
        var view = try View()
        try view.network("n", "10.1.0.0/24", 4096)
        view.view.networks[0].spec.options["com.docker.network.driver.mtu"] = option
        try view.local("a", "n", "10.1.0.2")
        #expect(compile(view.view).endpoints[EndpointID("a")]?.mtu.bytes == expected)
    }

    @Test("an endpoint of a network with IPv6 is found by both addresses")
    func bothFamilies() throws {
        var view = try View()
        try view.network("both", "10.1.0.0/24", 4096, subnet6: "fd00:1::/64")
        try view.network("old", "10.2.0.0/24", 4097)
        try view.local("a", "both", "10.1.0.2", ipv6: "fd00:1::2")
        // A stray address counts for nothing on a network without IPv6.
        try view.local("b", "old", "10.2.0.2", eth: 1, ipv6: "fd00:1::9")
        try view.remote("c", "both", "10.1.0.3", on: 1, ipv6: "fd00:1::3")
        try view.remote("d", "both", "10.1.0.4", on: 2, ipv6: "fd00:1::3")
        let state = compile(view.view)
        #expect(
            state.locations.keys.sorted().map { "\($0.vni) \($0.address)" } == [
                "4096 10.1.0.2", "4096 10.1.0.3", "4096 10.1.0.4", "4096 fd00:1::2", "4096 fd00:1::3", "4097 10.2.0.2",
            ])
        #expect(state.subnets.keys.sorted().map(\.description) == ["10.1.0.0/24", "10.2.0.0/24", "fd00:1::/64"])
        let six = OverlayAddress(vni: try vni(4096), address: try #require(IPv6Address("fd00:1::2")))
        #expect(state.locations[six] == .local(EndpointID("a"), mac: MACAddress(forIPv4: try address("10.1.0.2"))))
        let claimed = OverlayAddress(vni: try vni(4096), address: try #require(IPv6Address("fd00:1::3")))
        let mac = MACAddress(forIPv4: try address("10.1.0.3"))
        #expect(state.locations[claimed] == .remote(vtep: peerAddress(1), mac: mac, mtu: MTU(1450)), "the lowest id's")
        #expect(
            state.endpoints[EndpointID("a")]?.entry.ipv6
                == EndpointIPv6(
                    address: try #require(IPv6Address("fd00:1::2")), subnet: try #require(IPv6Prefix("fd00:1::/64")),
                    gateway: try #require(IPv6Address("fd00:1::1"))))
        #expect(state.endpoints[EndpointID("b")]?.entry.ipv6 == nil)
    }

    @Test("an address that two claim is the local endpoint's, else the lowest id's")
    func conflicts() throws {
        var view = try View()
        try view.network("n", "10.1.0.0/24", 4096)
        try view.local("z", "n", "10.1.0.2")
        try view.remote("a", "n", "10.1.0.2", on: 1)
        try view.remote("y", "n", "10.1.0.3", on: 1)
        try view.remote("b", "n", "10.1.0.3", on: 2)
        let mac = MACAddress(forIPv4: try address("10.1.0.3"))
        let locations = compile(view.view).locations
        #expect(
            locations[OverlayAddress(vni: try vni(4096), address: try address("10.1.0.2"))]
                == .local(EndpointID("z"), mac: MACAddress(forIPv4: try address("10.1.0.2"))))
        #expect(
            locations[OverlayAddress(vni: try vni(4096), address: try address("10.1.0.3"))]
                == .remote(vtep: peerAddress(2), mac: mac, mtu: MTU(1450)))
    }

    @Test("a tunnel carries what the smaller MTU of its two ends does, and follows both")
    func pathMTU() throws {
        var view = try View()
        try view.network("n", "10.1.0.0/24", 4096, subnet6: "fd00:1::/64")
        try view.local("a", "n", "10.1.0.2")
        try view.remote("b", "n", "10.1.0.3", on: 1, ipv6: "fd00:1::3")
        try view.remote("c", "n", "10.1.0.4", on: 2)
        view.view.peers[0].underlayMTU = MTU(1300)
        func tunnels(_ state: DesiredState) -> [Int] {
            state.locations.sorted { $0.key < $1.key }.compactMap { entry -> Int? in
                guard case .remote(_, _, let mtu, _, _) = entry.value else { return nil }
                return mtu?.bytes
            }
        }
        #expect(tunnels(compile(view.view)) == [1250, 1450, 1250], "who does not tell has ours")
        #expect(Set(compile(view.view).members.values.map { $0.mtu?.bytes }) == [1250, 1450])
        view.view.peers[1].underlayMTU = MTU(9000)
        var compilation = Compilation(view.view)
        #expect(tunnels(compilation.desired) == [1250, 1450, 1250])
        compilation.setUnderlay(mtu: try #require(MTU(1280)), port: 4789)
        #expect(tunnels(compilation.desired) == [1230, 1230, 1230])
        #expect(compilation.takeTouched().addresses.count == 3)
        compilation.setUnderlay(mtu: try #require(MTU(2000)), port: 4789)
        #expect(tunnels(compilation.desired) == [1250, 1950, 1250])
    }

    @Test("an encrypted network's packets go by the encrypted tunnel, by which alone its members may send, and fit it")
    func encrypted() throws {
        var view = try View()
        try view.network("n", "10.1.0.0/24", 4096, subnet6: "fd00:1::/64")
        try view.network("clear", "10.2.0.0/24", 4097)
        try view.local("a", "n", "10.1.0.2", ipv6: "fd00:1::2")
        try view.remote("b", "n", "10.1.0.3", on: 1, ipv6: "fd00:1::3")
        try view.local("c", "clear", "10.2.0.2", eth: 1)
        try view.remote("d", "clear", "10.2.0.3", on: 1)
        #expect(!compile(view.view).host.encrypts)
        var compilation = Compilation(view.view)
        for value in ["", "true", "1", "anything"] {
            view.view.networks[0].spec.options["encrypted"] = value
            compilation.set(NetworkID("n"), network: view.view.networks[0])
            let state = compile(view.view)
            #expect(compilation.desired == state)
            #expect(state.host.encrypts)
            for (address, location) in state.locations {
                guard case .remote(let vtep, _, let mtu, let tunnel, _) = location else { continue }
                let isEncrypted = address.vni == (try vni(4096))
                #expect(vtep == peerAddress(1) && tunnel == (isEncrypted ? .encrypted : .clear))
                #expect(mtu?.bytes == (isEncrypted ? 1408 : 1450))
            }
            #expect(
                state.members == [
                    Membership(vni: try vni(4096), vtep: peerAddress(1)): MemberTunnel(mtu: MTU(1408), kind: .encrypted),
                    Membership(vni: try vni(4097), vtep: peerAddress(1)): MemberTunnel(mtu: MTU(1450), kind: .clear),
                ])
            #expect(state.endpoints[EndpointID("a")]?.mtu.bytes == 1408)
            #expect(state.endpoints[EndpointID("c")]?.mtu.bytes == 1450)
        }
        view.view.networks[0].spec.options["com.docker.network.driver.mtu"] = "1400"
        #expect(compile(view.view).endpoints[EndpointID("a")]?.mtu.bytes == 1308)
        for value in ["false", "0", "False"] {
            view.view.networks[0].spec.options = ["encrypted": value]
            compilation.set(NetworkID("n"), network: view.view.networks[0])
            #expect(compilation.desired == compile(view.view) && !compilation.desired.host.encrypts)
            #expect(compilation.desired.members.values.allSatisfy { $0.kind == .clear })
        }
    }

    @Test("the host knows the data path addresses of all nodes, its own among them")
    func nodes() throws {
        #expect(compile(try View().view).host.vteps == [peerAddress(0), peerAddress(1), peerAddress(2)])
    }

    @Test("an engine's container goes out by another interface")
    func engineExit() throws {
        var view = try View()
        try view.network("n", "10.1.0.0/24", 4096)
        try view.local("a", "n", "10.1.0.2")
        view.view.attachments.append(SandboxAttachment(engine: try #require(view.view.endpoints.first), isNew: true))
        view.view.attachments.removeFirst()
        #expect(compile(view.view).endpoints[EndpointID("a")]?.entry.isNoExit == true)
    }

    @Test("the order of what is given does not matter")
    func order() throws {
        var view = try View()
        for n in 0..<8 { try view.network("n\(n)", "10.\(n).0.0/24", 4096 + UInt32(n)) }
        for n in 0..<8 {
            try view.local("l\(n)", "n\(n)", "10.\(n).0.2", eth: n)
            try view.remote("r\(n)", "n\(n)", "10.\(n).0.3", on: 1 + n % 2)
        }
        var other = view.view
        other.networks.reverse()
        other.endpoints.reverse()
        other.attachments.reverse()
        other.peers.reverse()
        #expect(compile(view.view) == compile(other))
    }

    @Test("host ends have a stable name of ten characters")
    func names() {
        // FNV-1a of "a" is e40c292c in its authors' own list of test vectors.
        #expect(hostInterfaceName(EndpointID("a")) == "wve40c292c")
        #expect(hostInterfaceName(EndpointID("")) == "wv811c9dc5")
        #expect(hostInterfaceName(EndpointID("a"), attempt: 1) != "wve40c292c")
        #expect((0..<2000).allSatisfy { hostInterfaceName(EndpointID("\($0)")).count == 10 })
    }
}

func address(_ text: String) throws -> IPv4Address { try #require(IPv4Address(text)) }
func vni(_ value: UInt32) throws -> VNI { try #require(VNI(value)) }
/// 172.30.0.1 is this node's.
func peerAddress(_ number: UInt32) -> IPv4Address { IPv4Address(rawValue: 0xac1e_0001 + number) }

/// A view of node 0 among three.
struct View {
    var view: NodeView

    init() throws {
        let peers = (1...2).map { number in
            Peer(
                id: NodeID("node\(number)"), hostname: "h\(number)", state: .ready,
                dataPathAddress: peerAddress(UInt32(number)), managerAddress: nil)
        }
        view = NodeView(
            node: NodeID("node0"), host: HostConfiguration(dataPathAddress: peerAddress(0)), underlayMTU: .ethernet,
            peers: peers)
    }

    mutating func network(
        _ name: String, _ subnet: String, _ number: UInt32, isInternal: Bool = false, subnet6: String? = nil,
        isIngress: Bool = false
    ) throws {
        var spec = NetworkSpec(name: name)
        spec.isInternal = isInternal
        spec.ingress = isIngress
        let prefix = try #require(IPv4Prefix(subnet))
        view.networks.append(
            Network(
                id: NetworkID(name), createdAt: Instant(nanoseconds: 0), spec: spec, vni: try vni(number), subnet: prefix,
                gateway: try #require(prefix.network.advanced(by: 1)), subnet6: subnet6.flatMap { IPv6Prefix($0) },
                gateway6: subnet6.flatMap { IPv6Prefix($0)?.network.advanced(by: 1) }))
    }

    mutating func local(
        _ id: String, _ network: String, _ text: String, eth: Int = 0, sandbox: String = "s", ipv6: String? = nil,
        task: ServingTask? = nil
    ) throws {
        let endpoint = try endpoint(id, network, text, ipv6, node: 0, task)
        view.endpoints.append(endpoint)
        view.attachments.append(
            SandboxAttachment(endpoint: endpoint, namespacePath: "/ns/\(sandbox)", interfaceNumber: eth))
    }

    /// This node's own, on the ingress network.
    mutating func host(_ id: String, _ network: String, _ text: String) throws {
        view.attachments.append(SandboxAttachment(host: try endpoint(id, network, text, nil, node: 0, nil)))
    }

    mutating func remote(
        _ id: String, _ network: String, _ text: String, on node: Int, ipv6: String? = nil, task: ServingTask? = nil
    ) throws {
        view.endpoints.append(try endpoint(id, network, text, ipv6, node: node, task))
    }

    private func endpoint(
        _ id: String, _ network: String, _ text: String, _ ipv6: String?, node: Int, _ task: ServingTask?
    ) throws -> Endpoint {
        let ipv4 = try address(text)
        return Endpoint(
            id: EndpointID(id), network: NetworkID(network), node: NodeID("node\(node)"), sandbox: SandboxID("s"),
            ipv4: ipv4, ipv6: ipv6.flatMap { IPv6Address($0) }, mac: MACAddress(forIPv4: ipv4), name: id,
            task: task)
    }
}
