import Testing
import WeftControl
import WeftModel
import WeftNet

@Suite("Ports of services that change")
struct PortCaseTests {
    private func publish(_ number: UInt16, _ mode: PortConfig.Mode) -> (inout ServiceSpec) -> Void {
        { spec in
            var port = PortConfig(target: 80)
            port.published = number
            port.mode = mode
            spec.endpoint = ServiceEndpointSpec()
            spec.endpoint?.ports = [port]
        }
    }

    @Test("A task has at its node the ports that it was made with until it ends")
    func hostPorts() throws {
        var swarm = try Swarm.withWorkers(1)
        let service = try swarm.serve("web", .replicated(1), publish(8080, .host)).id
        try swarm.obey()
        try swarm.update(service) { [publish] in publish(9090, .host)(&$0) }
        let old = try #require(swarm.tasks(service).first { $0.status.state == .running })
        #expect(old.desiredState == .shutdown && old.ports.map(\.published) == [8080])
        let other = try swarm.serve("other", .replicated(1), publish(8080, .host)).id
        #expect(swarm.wanted(other).first?.status.problem?.contains("host-mode port already in use on 1 node") == true)
        try swarm.obey()
        swarm.pass(.seconds(1))
        try swarm.obey()
        #expect(swarm.wanted(other).map(\.status.state) == [.running])
        #expect(swarm.wanted(service).map { $0.ports.map(\.published) } == [[9090]])

        // With start-first the two of them are on one node.
        try swarm.update(service) { [publish] in
            publish(7070, .host)(&$0)
            $0.update = UpdateConfig()
            $0.update?.order = .startFirst
        }
        let both = swarm.wanted(service)
        #expect(both.map { $0.ports.map(\.published) }.sorted { $0[0] < $1[0] } == [[7070], [9090]])
        #expect(both.allSatisfy { $0.node != nil })
    }

    @Test("The first port that is published at every node replaces tasks, as they are not on the ingress network; more of them do not")
    func firstPort() throws {
        var swarm = try Swarm.withWorkers(1)
        let service = try swarm.serve("web").id
        try swarm.obey()
        let before = swarm.wanted(service).map(\.id)
        try swarm.update(service) { [publish] in publish(8080, .ingress)(&$0) }
        #expect(swarm.tasks(service).first { $0.id == before[0] }?.ports == [])
        try swarm.obey()
        let published = swarm.wanted(service).map(\.id)
        #expect(published.count == 1 && published != before)
        try swarm.update(service) { $0.endpoint?.ports.append(PortConfig(target: 81)) }
        #expect(swarm.wanted(service).map(\.id) == published)
        #expect(swarm.wanted(service).first?.ports.map(\.published) == [8080, 30000])
        try swarm.update(service) { $0.endpoint = nil }
        #expect(swarm.wanted(service).map(\.id) == published && swarm.wanted(service).first?.ports == [])
    }

    @Test("A service's address outlives updates; another mode gives it up, and another one comes with the next")
    func addresses() throws {
        var swarm = try Swarm.withWorkers(1)
        let network = try swarm.create("net")
        let service = try swarm.serve("web") { $0.task.networks = [TaskNetwork(target: network.id.rawValue)] }.id
        try swarm.obey()
        let address = try swarm.service(service).addresses
        try swarm.update(service) { $0.task.container.image = "app:2" }
        try swarm.obey()
        #expect(try swarm.service(service).addresses == address)
        let tasks = swarm.wanted(service).map(\.id)
        try swarm.update(service) {
            $0.endpoint = ServiceEndpointSpec()
            $0.endpoint?.mode = .dnsrr
        }
        try swarm.obey()
        #expect(try swarm.service(service).addresses.isEmpty && swarm.wanted(service).map(\.id) != tasks)
        try swarm.update(service) { $0.endpoint?.mode = .vip }
        #expect(try swarm.service(service).addresses.count == 1)
    }

    @Test("A port is another's as soon as the service that had it is removed, though its tasks still run")
    func removed() throws {
        var swarm = try Swarm.withWorkers(1)
        let service = try swarm.serve("web", .replicated(1), publish(8080, .ingress)).id
        try swarm.obey()
        _ = try swarm.run(.removeService(service))
        let next = try swarm.serve("web", .replicated(1), publish(8080, .ingress)).id
        #expect(try swarm.service(next).ports.map(\.published) == [8080] && swarm.service(next).problem == nil)
        #expect(swarm.tasks(service).map(\.status.state) == [.running])
    }

    @Test("A service whose rollback finds its port taken says so, can be changed otherwise, and has the port once it is free")
    func takenMeanwhile() throws {
        var swarm = try Swarm.withWorkers(2)
        let service = try swarm.serve("web", .replicated(1)) { [publish] in
            publish(8080, .ingress)(&$0)
            $0.update = UpdateConfig()
            $0.update?.failureAction = .rollback
        }.id
        try swarm.obey()
        try swarm.update(service) { [publish] in
            publish(9090, .ingress)(&$0)
            $0.task.container.image = "bad"
        }
        let other = try swarm.serve("other", .replicated(1), publish(8080, .ingress)).id
        try swarm.report(try #require(swarm.wanted(service).first), .rejected)
        let stuck = try swarm.service(service)
        #expect(stuck.updateStatus?.state == .rollbackStarted)
        #expect(stuck.problem == "port '8080' is already in use by service 'other' (\(other)) as an ingress port")
        func waiting() -> [ServiceTask] { swarm.wanted(service).filter { $0.spec.container.image == "app:1" } }
        #expect(waiting().map(\.status.problem) == [stuck.problem] && waiting().map(\.status.state) == [.new])
        try swarm.update(service) { $0.mode = .replicated(2) }
        #expect(waiting().map(\.slot) == [1, 2])
        _ = try swarm.run(.removeService(other))
        #expect(try swarm.service(service).problem == nil && swarm.service(service).ports.map(\.published) == [8080])
        try swarm.obey()
        #expect(swarm.wanted(service).map(\.spec.container.image) == ["app:1", "app:1"])
        #expect(swarm.wanted(service).allSatisfy { $0.ports.map(\.published) == [8080] })
    }

    @Test("Services publish one port at different addresses, and not where another does, or at all")
    func atAddresses() throws {
        var swarm = try Swarm.withWorkers(1)
        func at(_ addresses: String?) -> (inout ServiceSpec) -> Void {
            { [publish] spec in
                publish(8080, .ingress)(&spec)
                spec.labels[IngressLabels.addressesKey] = addresses
            }
        }
        func refusal(_ name: String, _ addresses: String?) throws -> String {
            var spec = ServiceSpec(name: name, task: TaskSpec(container: ContainerSpec(image: "app")))
            at(addresses)(&spec)
            return try swarm.refusal(.createService(spec)).message
        }
        let first = try swarm.serve("first", .replicated(1), at("192.0.2.10:8080,[2001:db8::1]:8080")).id
        let second = try swarm.serve("second", .replicated(1), at("192.0.2.11:8080/tcp")).id
        #expect(try swarm.service(second).ports.map(\.published) == [8080] && swarm.service(second).problem == nil)
        #expect(try refusal("third", nil).contains("port '8080' is already in use by service"))
        #expect(try refusal("third", "192.0.2.12,2001:db8::1").contains("already in use by service 'first'"))
        #expect(try refusal("third", "192.0.2.11").contains("already in use by service 'second'"))
        _ = try swarm.serve("third", .replicated(1), at("192.0.2.12"))
        // A service that comes to another's address is refused, though its ports are as they were.
        let current = try swarm.service(second)
        var moved = current.spec
        moved.labels[IngressLabels.addressesKey] = "192.0.2.10"
        #expect(
            try swarm.refusal(.updateService(second, version: current.version, moved)).message.contains("in use by service 'first'"))
        _ = try swarm.run(.removeService(first))
        try swarm.update(second) { $0.labels[IngressLabels.addressesKey] = "192.0.2.10" }
        #expect(try swarm.service(second).problem == nil)
        #expect(ServiceView(try swarm.service(second)).labels == [IngressLabels.addressesKey: "192.0.2.10"])
    }

    @Test("What labels say of a service's ports must be of ports that it has, and be known")
    func labels() throws {
        var swarm = try Swarm.withWorkers(1)
        for (key, value, sentence) in [
            (IngressLabels.addressesKey, "192.0.2.10:8081", "which the service does not publish"),
            (IngressLabels.addressesKey, "192.0.2.10:8080/udp", "which the service does not publish"),
            (IngressLabels.fromKey, "everybody", "no network"), ("weft.ingress.form", "10.0.0.0/8", "there is no label"),
        ] {
            var spec = ServiceSpec(name: "web", task: TaskSpec(container: ContainerSpec(image: "app")))
            publish(8080, .ingress)(&spec)
            spec.labels[key] = value
            #expect(try swarm.refusal(.createService(spec)).message.contains(sentence))
        }
    }
}
