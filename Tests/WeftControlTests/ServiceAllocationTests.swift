import Testing
import WeftControl
import WeftModel
import WeftNet

@Suite("Addresses and ports of services")
struct ServiceAllocationTests {
    private func publish(_ ports: [UInt16], transport: PortConfig.Transport = .tcp, mode: PortConfig.Mode = .ingress)
        -> (inout ServiceSpec) -> Void
    {
        { spec in
            spec.endpoint = ServiceEndpointSpec()
            spec.endpoint?.ports = ports.map { number in
                var port = PortConfig(target: 80)
                port.published = number
                port.transport = transport
                port.mode = mode
                return port
            }
        }
    }

    private func attach(_ networks: Network...) -> (inout ServiceSpec) -> Void {
        { spec in spec.task.networks = networks.map { TaskNetwork(target: $0.id.rawValue) } }
    }

    @Test("A service has an address on each of its networks, of both families, that lies where no node's block is")
    func addresses() throws {
        var swarm = try Swarm.withWorkers(2)
        let one = try swarm.create("one")
        let two = try swarm.create("two") { $0.ipam6 = IPAMConfig(subnet: IPv6Prefix("fd00:9::/64")) }
        let created = try swarm.serve("web", .replicated(2), attach(one, two))
        let service = try swarm.service(created.id)
        #expect(service.addresses.map(\.network) == [one.id, two.id])
        #expect(service.addresses.map(\.ipv4.description) == ["10.0.1.254", "10.0.2.254"])
        #expect(service.addresses.map { $0.ipv6?.description } == [nil, "fd00:9::ffff:ffff:ffff:ffff"])
        let second = try swarm.serve("other", .global, attach(one))
        let other = try swarm.service(second.id)
        #expect(other.addresses.map(\.ipv4.description) == ["10.0.1.253"])
        let leases = swarm.replica.leases
        #expect(leases.filter { $0.node == NodeID(service.id.rawValue) }.count == 3)
        for lease in leases { #expect(leases.count { $0.network == lease.network && $0.block.overlaps(lease.block) } == 1) }
        // None with dnsrr.
        let plain = try swarm.serve("plain") { [attach] spec in
            attach(one)(&spec)
            spec.endpoint = ServiceEndpointSpec()
            spec.endpoint?.mode = .dnsrr
        }
        #expect(try swarm.service(plain.id).addresses.isEmpty)
    }

    @Test("Addresses that a service gives up rest, and are free then")
    func rest() throws {
        var swarm = try Swarm.withWorkers(1)
        let one = try swarm.create("one")
        let two = try swarm.create("two")
        let service = try swarm.serve("web", .replicated(1), attach(one, two))
        func leases() -> Int { swarm.replica.leases.count { $0.node == NodeID(service.id.rawValue) } }
        try swarm.update(service.id) { $0.task.networks.removeLast() }
        #expect(try swarm.service(service.id).addresses.map(\.network) == [one.id] && leases() == 2)
        swarm.live(61)
        #expect(leases() == 1)
        _ = try swarm.run(.removeService(service.id))
        swarm.restart()
        swarm.live(1)
        #expect(leases() == 1)
        swarm.live(61)
        #expect(leases() == 0)
    }

    @Test("Where no address is left the tasks say so, and go on when one is free")
    func exhausted() throws {
        var swarm = try Swarm.withWorkers(1)
        let small = try swarm.create("small") { $0.ipam = IPAMConfig(subnet: try prefix("192.168.9.0/30")) }
        for lease in swarm.replica.leases where lease.network == small.id { swarm.say(.leasesReturned([lease.id]), as: lease.node) }
        let first = try swarm.serve("first", .replicated(1), attach(small))
        #expect(try swarm.service(first.id).problem == nil)
        let large = try swarm.create("large")
        let second = try swarm.serve("second", .replicated(1), attach(large, small))
        #expect(swarm.replica.leases.allSatisfy { $0.node != NodeID(second.id.rawValue) }, "none of the other network is kept")
        let waiting = try #require(swarm.tasks(second.id).first)
        #expect(waiting.status.state == .new && waiting.status.problem?.contains("could not find an available IP") == true)
        #expect(try swarm.service(second.id).problem == waiting.status.problem)
        _ = try swarm.run(.removeService(first.id))
        swarm.live(61)
        #expect(try swarm.service(second.id).problem == nil)
        let task = try #require(swarm.tasks(second.id).first)
        #expect(task.status.state == .assigned && task.status.problem == nil)
    }

    @Test("A service that waits for an address on its new network loses the former one with its network")
    func movedAndWaiting() throws {
        var swarm = try Swarm.withWorkers(1)
        let small = try swarm.create("small") { $0.ipam = IPAMConfig(subnet: try prefix("192.168.9.0/30")) }
        for lease in swarm.replica.leases where lease.network == small.id { swarm.say(.leasesReturned([lease.id]), as: lease.node) }
        _ = try swarm.serve("first", .replicated(1), attach(small))
        let former = try swarm.create("former")
        let moved = try swarm.serve("moved", .replicated(0), attach(former))
        try swarm.update(moved.id, attach(small))
        #expect(try swarm.service(moved.id).problem?.contains("could not find an available IP") == true)
        #expect(try swarm.service(moved.id).addresses.map(\.network) == [former.id], "tasks of before may serve on it")
        _ = try swarm.run(.removeNetwork("former"))
        #expect(try swarm.service(moved.id).addresses.isEmpty)
        #expect(swarm.replica.leases.allSatisfy { $0.network != former.id })
    }

    @Test("Published ports get numbers and an address on the ingress network; TCP and UDP are apart; the holder is named")
    func ports() throws {
        var swarm = try Swarm.withWorkers(1)
        let created = try swarm.serve("web", .replicated(1), publish([0, 8080, 0]))
        let web = try swarm.service(created.id)
        #expect(web.ports.map(\.published) == [30000, 8080, 30001])
        let ingress = try #require(swarm.replica.networks.first { $0.spec.ingress })
        #expect(web.addresses.map(\.network) == [ingress.id])
        #expect(swarm.tasks(web.id).first?.ports == web.ports)
        let udp = try swarm.serve("udp", .replicated(1), publish([0, 8080], transport: .udp))
        #expect(try swarm.service(udp.id).ports.map(\.published) == [30000, 8080])
        var spec = ServiceSpec(name: "late", task: TaskSpec(container: ContainerSpec(image: "i")))
        publish([8080])(&spec)
        let taken = try swarm.refusal(.createService(spec))
        #expect(taken.message.hasSuffix("port '8080' is already in use by service 'web' (\(web.id)) as an ingress port"))
        publish([30001])(&spec)
        #expect(try swarm.refusal(.createService(spec)).message.contains("service 'web'"))
        publish([8080], mode: .host)(&spec)
        #expect(try swarm.refusal(.createService(spec)).message.contains("as an ingress port"))
        // What it has it keeps, what it does not want any more is free.
        try swarm.update(web.id) { $0.endpoint?.ports.remove(at: 1) }
        #expect(try swarm.service(web.id).ports.map(\.published) == [30000, 30001])
        #expect(swarm.wanted(web.id).count == 1 && swarm.tasks(web.id).count == 1)
        publish([8080], mode: .host)(&spec)
        _ = try swarm.run(.createService(spec))
        spec.name = "later"
        publish([8080])(&spec)
        #expect(try swarm.refusal(.createService(spec)).message.contains("as a host-published port"))
    }

    @Test("A network that a service or one of its tasks is on is not removed")
    func networks() throws {
        var swarm = try Swarm.withWorkers(1)
        let network = try swarm.create("net")
        let service = try swarm.serve("web", .replicated(1), attach(network))
        let prefix = "rpc error: code = FailedPrecondition desc = network \(network.id) is in use by "
        #expect(try swarm.refusal(.removeNetwork("net")).message == prefix + "service \(service.id)")
        let task = try #require(swarm.tasks(service.id).first)
        _ = try swarm.run(.removeService(service.id))
        #expect(try swarm.refusal(.removeNetwork("net")).message == prefix + "task \(task.id)")
        try swarm.obey()
        _ = try swarm.run(.removeNetwork("net"))
        #expect(swarm.replica.leases.allSatisfy { $0.network != network.id })
        swarm.live(61)
        let published = try swarm.serve("pub", .replicated(1), publish([80]))
        let ingress = try swarm.refusal(.removeNetwork("ingress"))
        #expect(ingress.message.hasSuffix("ingress network cannot be removed because service \(published.id) depends on it"))
    }
}
