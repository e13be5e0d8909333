import Testing
import WeftControl
import WeftModel
import WeftNet

@Suite("Networks, as the manager makes them")
struct NetworkTests {
    @Test("A new swarm has its ingress network, first VNI and first subnet")
    func ingress() throws {
        let swarm = try Swarm()
        let ingress = try #require(swarm.replica.networks.first)
        #expect(swarm.replica.networks.count == 1 && ingress.spec.ingress && ingress.spec.name == "ingress")
        #expect(ingress.vni.rawValue == 4096)
        #expect(ingress.subnet == (try prefix("10.0.0.0/24")))
        #expect(ingress.gateway == (try address("10.0.0.1")))
        let elsewhere = try Swarm(routes: [prefix("10.0.0.0/15"), prefix("0.0.0.0/0")])
        #expect(elsewhere.replica.networks.first?.subnet == (try prefix("10.2.0.0/24")))
    }

    @Test("Subnets and VNIs follow in order, and are found by id, name and beginning of an id")
    func allocation() throws {
        var swarm = try Swarm()
        let one = try swarm.create("one")
        let two = try swarm.create("two")
        #expect(one.subnet == (try prefix("10.0.1.0/24")))
        #expect(two.subnet == (try prefix("10.0.2.0/24")))
        #expect(one.vni.rawValue == 4097 && two.vni.rawValue == 4098 && one.version == Version(2))
        #expect(try swarm.replica.network(matching: "one") == one)
        #expect(try swarm.replica.network(matching: two.id.rawValue) == two)
        #expect(try swarm.replica.network(matching: String(two.id.rawValue.prefix(10))) == two)
        #expect(throws: ControlError(.notFound, "network three not found")) {
            try swarm.replica.network(matching: "three")
        }
        #expect(throws: ControlError.self) { try swarm.replica.network(matching: "") }
    }

    @Test("What the user pins is taken as it is")
    func pinned() throws {
        var swarm = try Swarm()
        let network = try swarm.create("mine") {
            $0.ipam = IPAMConfig(
                subnet: try prefix("10.9.0.0/24"), range: try prefix("10.9.0.128/25"),
                gateway: try address("10.9.0.254"))
            $0.options = [
                "com.docker.network.driver.overlay.vxlanid_list": "5000", "com.docker.network.driver.mtu": "9000",
                "encrypted": "false",
            ]
        }
        #expect(network.vni.rawValue == 5000)
        #expect(network.gateway == (try address("10.9.0.254")))
    }

    @Test("IPv6 subnets come from the swarm's own unique local prefix, in order, and rest before they are used again")
    func ipv6() throws {
        var swarm = try Swarm()
        let prefix = try #require(swarm.replica.cluster?.id.uniqueLocalPrefix)
        let one = try swarm.create("one") { $0.ipam6 = IPAMConfig() }
        #expect(one.subnet6 == prefix.subprefix(length: 64, index: 0) && one.gateway6 == prefix.network.advanced(by: 1))
        let two = try swarm.create("two") { $0.ipam6 = IPAMConfig() }
        #expect(two.subnet6 == prefix.subprefix(length: 64, index: 1))
        #expect(try swarm.create("plain").subnet6 == nil)
        _ = try swarm.run(.removeNetwork("one"))
        #expect(try swarm.create("three") { $0.ipam6 = IPAMConfig() }.subnet6 == prefix.subprefix(length: 64, index: 2))
        let mine = try swarm.create("mine") {
            $0.ipam6 = IPAMConfig(subnet: IPv6Prefix("fd00:9::/64"), gateway: IPv6Address("fd00:9::fe"))
        }
        #expect(mine.subnet6 == IPv6Prefix("fd00:9::/64") && mine.gateway6 == IPv6Address("fd00:9::fe"))
        for subnet in ["fd00:9::/64", "fd00:9::/48", "fd00:9::8000:0:0:0/96"] {
            var spec = NetworkSpec(name: "again")
            spec.ipam6 = IPAMConfig(subnet: IPv6Prefix(subnet))
            let error = try swarm.refusal(.createNetwork(spec))
            #expect(error.kind == .forbidden && error.message.contains("overlaps with network mine"))
        }
        var narrow = NetworkSpec(name: "narrow")
        narrow.options = ["com.docker.network.driver.mtu": "1329"]
        narrow.ipam6 = IPAMConfig()
        #expect(try swarm.refusal(.createNetwork(narrow)).message.contains("between 1330 and 65535, as the network has IPv6"))
        narrow.options = ["com.docker.network.driver.mtu": "1330"]
        _ = try swarm.run(.createNetwork(narrow))
        for subnet in ["fe80::/64", "fd00::/40", "fd00::/126"] {
            var spec = NetworkSpec(name: "bad")
            spec.ipam6 = IPAMConfig(subnet: IPv6Prefix(subnet))
            #expect(try swarm.refusal(.createNetwork(spec)).kind == .invalid)
        }
    }

    @Test("Docker's words for names")
    func names() throws {
        var swarm = try Swarm()
        _ = try swarm.create("my_net")
        #expect(
            try swarm.refusal(.createNetwork(NetworkSpec(name: "my_net")))
                == ControlError(.conflict, "network with name my_net already exists"))
        // DNS cannot tell them apart.
        let other = try swarm.refusal(.createNetwork(NetworkSpec(name: "My_NET")))
        #expect(other.kind == .conflict && other.message.hasPrefix("network with name my_net already exists"))
        #expect(try swarm.refusal(.createNetwork(NetworkSpec(name: "host"))).kind == .forbidden)
        for name in ["", "-x", "a b", "ä", String(repeating: "x", count: 64), "a/b"] {
            #expect(try swarm.refusal(.createNetwork(NetworkSpec(name: name))).kind == .invalid, "\(name)")
        }
    }

    @Test(
        "Nothing is accepted and ignored",
        arguments: [
            ("encrypted", "perhaps", "--opt encrypted=false for packets in the clear"),
            ("com.docker.network.driver.mtu", "100", "between 626 and 65535"),
            ("com.docker.network.driver.mtu", "x", "between"),
            ("com.docker.network.driver.overlay.vxlanid_list", "0", "between 1 and 16777215"),
            ("com.docker.network.driver.overlay.vxlanid_list", "1,2", "one VNI"),
            ("com.docker.network.driver.overlay.vxlanid_list", "4096", "already that of network ingress"),
            ("dsr", "", "have no option dsr"),
        ])
    func options(key: String, value: String, text: String) throws {
        var swarm = try Swarm()
        var spec = NetworkSpec(name: "n")
        spec.options = [key: value]
        #expect(try swarm.refusal(.createNetwork(spec)).message.contains(text))
    }

    @Test("Subnets that overlap networks, routes or addresses of nodes are refused by name")
    func overlaps() throws {
        var swarm = try Swarm()
        let worker = try swarm.admit("w1")
        try swarm.hello(worker, vtep: "192.168.5.7", routes: [prefix("10.50.0.0/16"), prefix("0.0.0.0/0")])
        for (subnet, texts) in [
            ("10.0.0.128/25", ["ingress", "10.0.0.0/24"]), ("10.50.3.0/24", ["host-w1", "10.50.0.0/16"]),
            ("10.0.0.0/8", ["overlaps"]), ("192.168.5.0/24", ["192.168.5.7"]), ("127.0.0.0/24", ["loopback"]),
        ] {
            var spec = NetworkSpec(name: "n")
            spec.ipam.subnet = try prefix(subnet)
            let error = try swarm.refusal(.createNetwork(spec))
            for text in texts { #expect(error.message.contains(text), "\(error)") }
        }
        var spec = NetworkSpec(name: "n")
        spec.ipam.gateway = try address("10.0.7.1")
        #expect(try swarm.refusal(.createNetwork(spec)).message.contains("--subnet"))
        spec.ipam.subnet = try prefix("10.0.8.0/24")
        #expect(try swarm.refusal(.createNetwork(spec)).message.contains("10.0.7.1"))
    }

    @Test("Routes that are told right before count, whatever the node said of itself last")
    func routesOfNow() throws {
        var swarm = try Swarm(routes: [prefix("10.60.0.0/16")])
        var spec = NetworkSpec(name: "n")
        spec.ipam.subnet = try prefix("10.50.3.0/24")
        let routes = try [prefix("10.50.0.0/16")]
        guard case .node(let node) = try swarm.run(.noteRoutes(Swarm.first, routes)) else { throw Swarm.Unexpected(what: "reply") }
        #expect(node.description?.routes == routes && node.description?.hostname == "h1")
        #expect(try swarm.refusal(.createNetwork(spec)).message.contains("the route 10.50.0.0/16 of node h1"))
        let commits = swarm.commits
        _ = try swarm.run(.noteRoutes(Swarm.first, routes))
        #expect(swarm.commits == commits, "nothing new is not written")
        _ = try swarm.run(.noteRoutes(Swarm.first, []))
        _ = try swarm.run(.createNetwork(spec))
        #expect(try swarm.refusal(.noteRoutes(NodeID("none"), [])).kind == .notFound)
    }

    @Test("Where the first manager has IPv6, so has the ingress network, by the swarm's own prefix")
    func ingress6() throws {
        #expect(try Swarm().replica.networks.first?.subnet6 == nil)
        let swarm = try Swarm(hasIPv6: true)
        let ingress = try #require(swarm.replica.networks.first)
        let subnet6 = try #require(ingress.subnet6)
        #expect(ingress.spec.ipv6 && ingress.spec.ingress && subnet6.length == 64 && ingress.gateway6 != nil)
        #expect(ClusterID("cluster").uniqueLocalPrefix.contains(subnet6.network))
        #expect(ingress.subnet == (try prefix("10.0.0.0/24")))
    }

    @Test("There is one ingress network, and it can be made anew")
    func secondIngress() throws {
        var swarm = try Swarm()
        var spec = NetworkSpec(name: "again")
        spec.ingress = true
        let present = try #require(swarm.replica.networks.first)
        #expect(
            try swarm.refusal(.createNetwork(spec))
                == ControlError(
                    .conflict,
                    "rpc error: code = AlreadyExists desc = ingress network (\(present.id)) is already present"))
        _ = try swarm.run(.removeNetwork("ingress"))
        #expect(try swarm.create("again") { $0 = spec }.spec.ingress)
        spec.attachable = true
        #expect(try swarm.refusal(.createNetwork(spec)).message.contains("cannot be attachable"))
    }

    @Test("What only tasks are on that are to end is refused as what goes by itself, and then goes")
    func removalAfterService() throws {
        var swarm = try Swarm.withWorkers(1)
        let network = try swarm.create("net")
        let service = try swarm.serve("web") { $0.task.networks = [TaskNetwork(target: network.id.rawValue)] }
        try swarm.obey()
        let task = try #require(swarm.wanted(service.id).first)
        let node = try #require(task.node)
        var endpoint = try swarm.endpoint("web.1", node, network)
        endpoint.task = ServingTask(service: service.id, task: task.id, slot: 1)
        swarm.say(.endpointsChanged(added: [endpoint], removed: []), as: node)
        #expect(try swarm.refusal(.removeNetwork("net")).kind == .failedPrecondition)
        _ = try swarm.run(.removeService(service.id))
        #expect(try swarm.refusal(.removeNetwork("net")).kind == .ending)
        try swarm.obey()
        #expect(try swarm.refusal(.removeNetwork("net")).kind == .ending)
        // A container that somebody put there is no task's.
        let other = try swarm.endpoint("a1", node, network, offset: 3)
        swarm.say(.endpointsChanged(added: [other], removed: [endpoint.id]), as: node)
        #expect(try swarm.refusal(.removeNetwork("net")).kind == .failedPrecondition)
        swarm.say(.endpointsChanged(added: [], removed: [other.id]), as: node)
        _ = try swarm.run(.removeNetwork("net"))
    }

    @Test("A network in use stays; one that is not goes with its leases")
    func removal() throws {
        var swarm = try Swarm()
        let worker = try swarm.admit("w1")
        try swarm.hello(worker, vtep: "172.30.0.2")
        let network = try swarm.create("net")
        let endpoint = try swarm.endpoint("a1", worker, network)
        swarm.say(.endpointsChanged(added: [endpoint], removed: []), as: worker)
        #expect(
            try swarm.refusal(.removeNetwork("net"))
                == ControlError(
                    .failedPrecondition,
                    "rpc error: code = FailedPrecondition desc = network \(network.spec.name) is in use by endpoint a1 on node host-w1"
                ))
        swarm.say(.endpointsChanged(added: [], removed: [endpoint.id]), as: worker)
        _ = try swarm.run(.removeNetwork("net"))
        #expect(swarm.leases(worker, network).isEmpty)
        #expect(try swarm.assignments(worker).removedNetworks == [network.id])
        #expect(try swarm.assignments(worker).removedLeases.count == 1)
        #expect(try swarm.refusal(.removeNetwork("net")).kind == .notFound)
        // Its subnet and VNI are not the next to be used, but after a while they are.
        let next = try swarm.create("next")
        #expect(next.subnet != network.subnet && next.vni != network.vni)
        swarm.pass(.seconds(61))
        #expect(try swarm.create("later").subnet == network.subnet)
    }
}
