import Glibc
import Testing
import WeftBPF
import WeftDatapath
import WeftKernel
import WeftLinux
import WeftModel
import WeftNet
import WeftWire

@Suite(.serialized, .enabled(if: getuid() == 0, "needs root: makes network namespaces"), .timeLimit(.minutes(5)))
struct KernelDatapathTests {
    @Test("endpoints of two hosts reach each other, and those of one host too")
    func overlay() throws {
        let topology = try KernelTopology()
        _ = try topology.twoHosts()
        let (a, b, c) = (try topology.namespace("a"), try topology.namespace("b"), try topology.namespace("c"))
        var swarm = TestSwarm()
        let net = try swarm.network("net", "10.77.1.0/24", vni: 4097)
        try swarm.endpoint("a", on: 0, net, number: 2, in: a)
        try swarm.endpoint("b", on: 1, net, number: 3, in: b)
        try swarm.endpoint("c", on: 0, net, number: 4, in: c)
        let (first, second) = (try topology.datapath("h1"), try topology.datapath("h2"))
        try converge(first, swarm.desired(0))
        try converge(second, swarm.desired(1))

        #expect(answers("10.77.1.3", from: a))
        #expect(answers("10.77.1.2", from: b))
        #expect(answers("10.77.1.4", from: a))
        #expect(answers("169.254.77.53", from: a))
        #expect(isSilent("10.77.1.9", from: a))
        let text = try run(in: a, "ip -o addr show dev eth0; ip route; ip -o link show dev eth0")
        #expect(text.contains("10.77.1.2/24"))
        #expect(text.contains("default via 10.77.1.1 dev eth0"))
        #expect(text.contains("169.254.77.53 dev eth0 proto static scope link"))
        #expect(text.contains("link/ether 02:42:0a:4d:01:02"))
        #expect(text.contains("mtu 1450"))

        let counters = try first.counters()
        let of = try #require(counters[EndpointID("a")])
        #expect(of.sentPackets >= 9)
        #expect(of.receivedPackets >= 6)
        #expect(of.dropped[.noEndpoint, default: 0] > 0, "the address nobody has was pinged")
    }

    @Test("a second process adopts what is pinned, and no ping is lost")
    func adoption() throws {
        let topology = try KernelTopology()
        _ = try topology.twoHosts()
        let (a, b) = (try topology.namespace("a"), try topology.namespace("b"))
        var swarm = TestSwarm()
        let net = try swarm.network("net", "10.77.2.0/24", vni: 4098)
        try swarm.endpoint("a", on: 0, net, number: 2, in: a)
        try swarm.endpoint("b", on: 1, net, number: 3, in: b)
        // The instances end with this scope, as a killed process's would.
        do {
            try converge(try topology.datapath("h1"), swarm.desired(0))
            try converge(try topology.datapath("h2"), swarm.desired(1))
        }
        #expect(answers("10.77.2.3", from: a))
        let pings = try PingStream("10.77.2.3", in: a)
        for _ in 0..<3 {
            for (name, node) in [("h1", 0), ("h2", 1)] {
                let datapath = try topology.datapath(name)
                let observed = try datapath.observe(for: swarm.desired(node).host)
                let operations = difference(desired: swarm.desired(node), observed: observed)
                #expect(operations.isEmpty, "\(operations)")
            }
        }
        let (answered, lost) = try pings.end()
        #expect(answered > 0 && lost == 0)
    }

    @Test("maps of another version are filled beside the former ones, and no packet is lost when they take over")
    func upgrade() throws {
        let topology = try KernelTopology()
        _ = try topology.twoHosts()
        let (a, b) = (try topology.namespace("a"), try topology.namespace("b"))
        var swarm = TestSwarm()
        let net = try swarm.network("net", "10.77.13.0/24", vni: 4109, subnet6: "fd77:d::/64")
        try swarm.endpoint("a", on: 0, net, number: 2, in: a)
        try swarm.endpoint("b", on: 1, net, number: 3, in: b)
        do {
            try converge(try topology.datapath("h1"), swarm.desired(0))
            try converge(try topology.datapath("h2"), swarm.desired(1))
        }
        #expect(answers("10.77.13.3", from: a) && answers("fd77:d::3", from: a))
        let streams = try ["10.77.13.3", "fd77:d::3"].map { try PingStream($0, in: a) }

        // Without the map that tells the version none is adopted. An endpoint that cannot be made must not hold up the rest.
        unlink(topology.pinDirectory("h1") + "/maps/weft_config")
        try swarm.endpoint("lost", on: 0, net, number: 9, in: NetworkNamespace(path: "/run/netns/there-is-none"))
        let datapath = try topology.datapath("h1")
        var reconciler = DatapathReconciler()
        #expect(try reconciler.reconcile(swarm.desired(0), with: datapath).map(\.endpoint) == [EndpointID("lost")])
        for pings in streams {
            let (answered, lost) = try pings.end()
            #expect(answered > 0 && lost == 0)
        }

        swarm.remove("lost")
        swarm.remove("b")
        try converge(datapath, swarm.desired(0))
        #expect(isSilent("10.77.13.3", from: a), "the programs run on the maps that this weftd fills")
    }

    @Test("leftovers of every kind are removed, and what others changed is put right")
    func leftovers() throws {
        let topology = try KernelTopology()
        let (host, _) = try topology.twoHosts()
        let (a, b) = (try topology.namespace("a"), try topology.namespace("b"))
        var swarm = TestSwarm()
        let net = try swarm.network("net", "10.77.3.0/24", vni: 4099)
        try swarm.endpoint("a", on: 0, net, number: 2, in: a)
        try swarm.endpoint("gone", on: 0, net, number: 3, in: b)
        try swarm.endpoint("far", on: 1, net, number: 4, in: b)
        let datapath = try topology.datapath("h1")
        try converge(datapath, swarm.desired(0))
        swarm.remove("gone")
        swarm.remove("far")

        let name = hostInterfaceName(EndpointID("a"))
        try run(in: host, "ip link add wv00000000 type veth peer name unfinished; ip link set unfinished up")
        try run(in: host, "ip route flush table 7700; ip rule del pref 100; nft delete table inet weft")
        try run(in: host, "ip link set \(name) mtu 1300; sysctl -qw net.ipv4.ip_forward=0 net.ipv4.conf.\(name).rp_filter=1")
        try run(in: host, "ip neigh del 10.77.3.2 dev \(name); ip link del weft_vxlan; ip addr del 169.254.77.53/32 dev lo")
        try run(in: host, "ip neigh add 10.77.3.9 lladdr 02:00:00:00:00:09 dev \(name) nud permanent")
        try run(in: host, "ip route add 10.77.3.9/32 dev \(name) table 7700")
        try converge(datapath, swarm.desired(0))

        let links = try HostInterfaces.read(in: host).links.map(\.name)
        #expect(links.filter { $0.hasPrefix("wv") } == [name])
        #expect(links.contains("weft_vxlan"))
        #expect(try run(in: host, "ip route show table 7700") == "10.77.3.2 dev \(name) proto static scope link \n")
        #expect(try run(in: host, "ip -o link show dev \(name)").contains("mtu 1450"))
        #expect(try run(in: b, "ip -o link").contains("eth0") == false)
        #expect(Set(try datapath.counters().keys) == [nil, EndpointID("a")])
    }

    @Test("a network with IPv6 has it inside at once, one without keeps quiet, and the host takes no part in it")
    func ipv6() throws {
        let topology = try KernelTopology()
        let (host, _) = try topology.twoHosts()
        let (a, b, c) = (try topology.namespace("a"), try topology.namespace("b"), try topology.namespace("c"))
        // What a host may have as its default for new interfaces, either way.
        try run(in: a, "sysctl -qw net.ipv6.conf.default.disable_ipv6=1")
        try run(in: c, "sysctl -qw net.ipv6.conf.default.disable_ipv6=0")
        var swarm = TestSwarm()
        let both = try swarm.network("both", "10.77.10.0/24", vni: 4106, subnet6: "fd77:a::/64")
        let old = try swarm.network("old", "10.77.11.0/24", vni: 4107)
        try swarm.endpoint("a", on: 0, both, number: 2, in: a)
        try swarm.endpoint("b", on: 1, both, number: 3, in: b)
        try swarm.endpoint("c", on: 0, old, number: 2, in: c)
        let (first, second) = (try topology.datapath("h1"), try topology.datapath("h2"))
        try converge(first, swarm.desired(0))
        try converge(second, swarm.desired(1))

        let address = try run(in: a, "ip -o address show dev eth0 to fd77:a::2")
        #expect(address.contains("fd77:a::2/64") && address.contains("nodad") && !address.contains("tentative"), "\(address)")
        #expect(try run(in: a, "ip -6 route show default").isEmpty)
        #expect(try run(in: c, "ip -6 address show dev eth0").isEmpty)
        let name = hostInterfaceName(EndpointID("a"))
        #expect(try run(in: host, "ip -6 address show dev \(name)").isEmpty)
        for target in ["fd77:a::3", "fd77:a::1", "10.77.10.3"] { #expect(answers(target, from: a), "\(target)") }
        #expect(answers("fd77:a::2", from: b))
        let counters = try first.counters()
        for id in ["a", "c"] { #expect(counters[EndpointID(id)]?.dropped == [:], "\(id)") }

        // Drift at the host end is seen and put right, and the way to an endpoint that went is taken away.
        try run(in: host, "sysctl -qw net.ipv6.conf.\(name).disable_ipv6=0")
        swarm.remove("b")
        let operations = difference(desired: swarm.desired(0), observed: try first.observe(for: swarm.desired(0).host))
        #expect(operations.count == 4, "a repair, a member and two ways: \(operations)")
        try converge(first, swarm.desired(0))
        #expect(try run(in: host, "ip -6 address show dev \(name)").isEmpty)
        #expect(isSilent("fd77:a::3", from: a))
    }

    @Test("an MTU that IPv6 cannot have is refused with what to do")
    func smallMTU() throws {
        let topology = try KernelTopology()
        _ = try topology.twoHosts()
        let a = try topology.namespace("a")
        var swarm = TestSwarm()
        let net = try swarm.network("net", "10.77.12.0/24", vni: 4108, subnet6: "fd77:c::/64")
        swarm.networks[0].spec.options["com.docker.network.driver.mtu"] = "1300"
        try swarm.endpoint("a", on: 0, net, number: 2, in: a)
        var reconciler = DatapathReconciler()
        let failures = try reconciler.reconcile(swarm.desired(0), with: try topology.datapath("h1"))
        #expect(failures.map(\.endpoint) == [EndpointID("a")])
        #expect(failures.first?.reason.contains("An MTU of 1250 is too small for IPv6, which needs 1280") == true)
    }

    @Test("the way out is masqueraded; an internal network has none")
    func egress() throws {
        let topology = try KernelTopology()
        let (host, _) = try topology.twoHosts()
        let outside = try topology.outside(of: host)
        let (a, b) = (try topology.namespace("a"), try topology.namespace("b"))
        var swarm = TestSwarm()
        let open = try swarm.network("open", "10.77.4.0/24", vni: 4100)
        let closed = try swarm.network("closed", "10.77.5.0/24", vni: 4101, isInternal: true)
        try swarm.endpoint("a", on: 0, open, number: 2, in: a)
        try swarm.endpoint("b", on: 0, closed, number: 2, in: b)
        try swarm.endpoint("a2", on: 0, closed, number: 3, in: a, eth: 1)
        let datapath = try topology.datapath("h1")
        try converge(datapath, swarm.desired(0))

        #expect(answers("198.51.100.2", from: a), "the outside host knows only 198.51.100.0/24: without masquerade no answer")
        #expect(answers("10.77.5.2", from: a))
        #expect(!(try run(in: b, "ip route")).contains("default"))
        try run(in: b, "ip route add default via 10.77.5.1")
        #expect(isSilent("198.51.100.2", from: b))
        let drops = try #require(try datapath.counters()[EndpointID("b")]).dropped
        #expect(drops[.isInternal, default: 0] > 0)
        #expect(isSilent("10.77.4.2", from: b), "another network, though both are on this host")
        // From outside, by a route through the host, there is no way in either.
        try run(in: outside, "ip route add 10.77.4.0/24 via 198.51.100.1")
        #expect(isSilent("10.77.4.2", from: outside))

        // The second network takes over nothing, being internal; the first one's end leaves no default route.
        swarm.remove("a")
        try converge(datapath, swarm.desired(0))
        #expect(!(try run(in: a, "ip route")).contains("default"))
        #expect(try run(in: a, "ip route").contains("169.254.77.53 dev eth1"))
    }

    @Test("the way out stays open where Docker's firewall drops what is forwarded")
    func dockerFirewall() throws {
        let topology = try KernelTopology()
        let (host, _) = try topology.twoHosts()
        _ = try topology.outside(of: host)
        let a = try topology.namespace("a")
        try run(in: host, "iptables -P FORWARD DROP; iptables -N DOCKER-USER; iptables -I FORWARD -j DOCKER-USER")
        var swarm = TestSwarm()
        let net = try swarm.network("net", "10.77.8.0/24", vni: 4104)
        try swarm.endpoint("a", on: 0, net, number: 2, in: a)
        let datapath = try topology.datapath("h1")
        try converge(datapath, swarm.desired(0))
        #expect(answers("198.51.100.2", from: a))
        try run(in: host, "iptables -F DOCKER-USER")
        #expect(isSilent("198.51.100.2", from: a), "else the rules prove nothing")
        try converge(datapath, swarm.desired(0))
        #expect(answers("198.51.100.2", from: a))
        try KernelDatapath.teardown(pinDirectory: topology.pinDirectory("h1"), namespace: host)
        #expect(try run(in: host, "iptables -S DOCKER-USER") == "-N DOCKER-USER\n")
    }

    @Test("the firewall is set up while no interface has the data-path address")
    func firewallWithoutUnderlay() throws {
        let topology = try KernelTopology()
        let (host, _) = try topology.twoHosts()
        try run(in: host, "ip addr del 172.30.0.1/24 dev eth0")
        let datapath = try topology.datapath("h1")
        let desired = TestSwarm().desired(0)
        var reconciler = DatapathReconciler()
        for _ in 0..<2 {
            let failures = try reconciler.reconcile(desired, with: datapath)
            #expect(!failures.contains { $0.operation == .prepareHost(.firewall, desired.host) })
        }
        let forged = try run(in: host, "nft list chain inet weft prerouting")
        #expect(forged.contains("meta iifkind \"veth\"") && !forged.contains("iifname"))
        try run(in: host, "ip addr add 172.30.0.1/24 dev eth0")
        try converge(datapath, desired)
        #expect(try run(in: host, "nft list chain inet weft prerouting").contains("iifname != \"eth0\""))
    }

    @Test("a bridge is a LAN if the default route leads by it, not for a route by a container")
    func bridgeWithRoutes() throws {
        let topology = try KernelTopology()
        let (host, _) = try topology.twoHosts()
        try run(in: host, "ip link add docker0 type bridge; ip addr add 172.17.0.1/16 dev docker0; ip link set docker0 up")
        let datapath = try topology.datapath("h1")
        func isLAN() throws -> Bool {
            try converge(datapath, TestSwarm().desired(0))
            return try run(in: host, "nft list set inet weft lans").contains("docker0")
        }
        #expect(try !isLAN())
        try run(in: host, "ip route add 10.8.0.0/24 via 172.17.0.2; ip route add default via 172.17.0.2 table 100")
        #expect(try !isLAN())
        try run(in: host, "ip route add default via 172.17.0.2")
        #expect(try isLAN())
    }

    @Test("a VXLAN port that another tunnel holds is reported by the tunnel's name")
    func portTaken() throws {
        let topology = try KernelTopology()
        let (host, _) = try topology.twoHosts()
        try run(in: host, "ip link add swarm0 type vxlan id 7 dstport 4789; ip link set swarm0 up")
        let swarm = TestSwarm()
        let datapath = try topology.datapath("h1")
        var reconciler = DatapathReconciler()
        let failures = try reconciler.reconcile(swarm.desired(0), with: datapath)
        let reason = try #require(failures.first { $0.operation == .prepareHost(.vxlanDevice, swarm.desired(0).host) }).reason
        #expect(reason.contains("UDP port 4789 is in use by the interface swarm0"))
        #expect(reason.contains("--data-path-port"))
        try converge(datapath, swarm.desired(0, port: 4790))
        #expect(try run(in: host, "ip -d link show weft_vxlan").contains("dstport 4790"))
    }

    @Test("teardown leaves nothing of ours and everything of others")
    func teardown() throws {
        let topology = try KernelTopology()
        let (host, _) = try topology.twoHosts()
        let a = try topology.namespace("a")
        let before = try run(in: host, "ip -o link; ip -4 -o addr; ip rule; nft list ruleset")
        var swarm = TestSwarm()
        let net = try swarm.network("net", "10.77.6.0/24", vni: 4102, isEncrypted: true)
        try swarm.endpoint("a", on: 0, net, number: 2, in: a)
        do { try converge(try topology.datapath("h1"), swarm.desired(0)) }
        #expect(try run(in: host, "ip -o link; ip -4 -o addr; ip rule; nft list ruleset") != before)
        let pins = topology.pinDirectory("h1")
        for _ in 0..<2 { try KernelDatapath.teardown(pinDirectory: pins, namespace: host) }
        #expect(try run(in: host, "ip -o link; ip -4 -o addr; ip rule; nft list ruleset") == before)
        #expect(!FileSystem.exists(pins))
    }

    @Test("an endpoint whose sandbox is gone fails by itself and harms no other")
    func sandboxGone() throws {
        let topology = try KernelTopology()
        _ = try topology.twoHosts()
        let a = try topology.namespace("a")
        var swarm = TestSwarm()
        let net = try swarm.network("net", "10.77.7.0/24", vni: 4103)
        try swarm.endpoint("a", on: 0, net, number: 2, in: NetworkNamespace(path: "/run/netns/there-is-none"))
        try swarm.endpoint("b", on: 0, net, number: 3, in: a)
        let datapath = try topology.datapath("h1")
        var reconciler = DatapathReconciler()
        let failures = try reconciler.reconcile(swarm.desired(0), with: datapath)
        #expect(failures.map(\.endpoint) == [EndpointID("a")])
        #expect(answers("169.254.77.53", from: a))
        swarm.remove("a")
        #expect(try reconciler.reconcile(swarm.desired(0), with: datapath).isEmpty)
    }
}
