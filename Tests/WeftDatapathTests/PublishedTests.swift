import Testing
import WeftModel
import WeftNet

@testable import WeftDatapath

/// Published ports.
@Suite struct PublishedTests {
    private func view() throws -> View {
        var view = try View()
        try view.network("ingress", "10.0.0.0/24", 4096, isIngress: true)
        try view.network("n", "10.1.0.0/24", 4097)
        return view
    }

    private func service(
        _ name: String, _ text: String, _ ports: [(UInt16, UInt16, PortConfig.Transport)], labels: [String: String] = [:]
    ) throws -> ServiceView {
        var spec = ServiceSpec(name: name, task: TaskSpec(container: ContainerSpec()))
        spec.labels = labels
        var service = Service(id: ServiceID(name), createdAt: Instant(nanoseconds: 0), spec: spec)
        service.addresses = [VirtualAddress(network: NetworkID("ingress"), ipv4: try address(text))]
        service.ports = ports.map { published, target, transport in
            var port = PortConfig(target: target)
            port.published = published
            port.transport = transport
            return port
        }
        return ServiceView(service)
    }

    @Test("a port leads to its service as long as this node is on the ingress network")
    func published() throws {
        var view = try view()
        view.view.services = [try service("web", "10.0.0.250", [(8080, 80, .tcp), (53, 54, .udp)])]
        #expect(compile(view.view).published.isEmpty)
        try view.host("own", "ingress", "10.0.0.2")
        var compilation = Compilation(view.view)
        let lead = PublishedService(vni: try vni(4096), ipv4: try address("10.0.0.250"), target: 80)
        #expect(compilation.desired.published[PublishedAt(.tcp, 8080)] == lead)
        #expect(compilation.desired.published[PublishedAt(.udp, 53)]?.target == 54)

        let changed = try service("web", "10.0.0.250", [(8081, 80, .tcp)])
        compilation.set(changed.id, service: changed)
        #expect(Set(compilation.desired.published.keys) == [PublishedAt(.tcp, 8081)])
        #expect(compilation.takeTouched().published.contains(PublishedAt(.tcp, 8080)))

        compilation.set(EndpointID("own"), attachment: nil, endpoint: nil)
        #expect(compilation.desired.published.isEmpty)
        #expect(compilation.takeTouched().published == [PublishedAt(.tcp, 8081)])
    }

    @Test("labels say at which addresses a port is published, and for whom; what cannot be read is published nowhere")
    func labels() throws {
        var view = try view()
        try view.host("own", "ingress", "10.0.0.2")
        var compilation = Compilation(view.view)
        func ports(_ labels: [String: String]) throws -> [PublishedAt: PublishedService] {
            let web = try service("web", "10.0.0.250", [(8080, 80, .tcp), (53, 54, .udp)], labels: labels)
            compilation.set(web.id, service: web)
            return compilation.desired.published
        }
        let (one, six) = (try #require(IPAddress("192.0.2.10")), try #require(IPAddress("2001:db8::1")))
        let both = try ports([IngressLabels.addressesKey: "192.0.2.10:8080,[2001:db8::1]:8080", IngressLabels.fromKey: "10.0.0.0/8"])
        #expect(Set(both.keys) == [PublishedAt(.tcp, 8080, at: one), PublishedAt(.tcp, 8080, at: six), PublishedAt(.udp, 53)])
        #expect(both.values.allSatisfy { $0.sources.map(\.description) == ["10.0.0.0/8"] })
        #expect(both.keys.sorted().map(\.description) == ["53/udp", "192.0.2.10:8080/tcp", "[2001:db8::1]:8080/tcp"])
        #expect(try Set(ports([IngressLabels.addressesKey: "192.0.2.10"]).keys) == [.init(.tcp, 8080, at: one), .init(.udp, 53, at: one)])
        #expect(try ports([IngressLabels.fromKey: "everybody"]).isEmpty)
        #expect(try ports([:]).count == 2)
    }

    @Test("the node's own endpoint is a device of the host's, without routes of a sandbox's")
    func device() throws {
        var view = try view()
        try view.host("own", "ingress", "10.0.0.2")
        let desired = compile(view.view)
        let own = try #require(desired.endpoints[EndpointID("own")])
        #expect(own.interfaceName == "weft_ingress")
        #expect(own.placement == .host)
        #expect(own.entry.isIngress)
        #expect(own.routes == SandboxRoutes(isDefault: false, toResolver: false))
        let mac = MACAddress(forIPv4: try address("10.0.0.2"))
        #expect(
            desired.locations[OverlayAddress(vni: try vni(4096), address: try address("10.0.0.2"))]
                == .local(EndpointID("own"), mac: mac, isHost: true))
    }

    @Test("of two services with one port, for a moment, one has it, and the other when that one is gone")
    func two() throws {
        var view = try view()
        let (first, second) = (
            try service("a", "10.0.0.250", [(80, 1, .tcp)]), try service("b", "10.0.0.251", [(80, 2, .tcp)])
        )
        view.view.services = [second, first]
        try view.host("own", "ingress", "10.0.0.2")
        var compilation = Compilation(view.view)
        #expect(compilation.desired.published[PublishedAt(.tcp, 80)]?.target == 1)
        compilation.set(first.id, service: nil)
        #expect(compilation.desired.published[PublishedAt(.tcp, 80)]?.target == 2)
    }

    @Test("a port comes after all that it leads to, and goes before it")
    func order() throws {
        var view = try view()
        view.view.services = [try service("web", "10.0.0.250", [(8080, 80, .tcp)])]
        try view.host("own", "ingress", "10.0.0.2")
        let desired = compile(view.view)
        var observed = ObservedState(host: desired.host)
        let operations = difference(desired: desired, observed: observed)
        let port = PublishedAt(.tcp, 8080)
        #expect(operations.last == .setPublished(port, try #require(desired.published[port])))
        for operation in operations { observed.record(operation) }
        #expect(difference(desired: desired, observed: observed).isEmpty)
        let removals = difference(desired: DesiredState(host: desired.host), observed: observed)
        #expect(removals.first == .removePublished(port))
    }
}
