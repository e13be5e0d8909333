import Testing
import WeftModel
import WeftNet
import WeftNode

@Suite("Addresses of both families")
struct DualStackTests {
    private let net = NetworkID("id-dual")

    private func host(ipv4: [String] = ["10.0.9.0/29"], ipv6: [String] = ["fd00:9::8000:0:0:0/125"]) throws -> Host {
        var host = try Host.synchronised()
        var spec = NetworkSpec(name: "dual")
        spec.attachable = true
        spec.ipam6 = IPAMConfig()
        let network = Network(
            id: net, createdAt: Instant(nanoseconds: 0), spec: spec, vni: try #require(VNI(4098)),
            subnet: try prefix("10.0.9.0/24"), gateway: try address("10.0.9.1"), subnet6: IPv6Prefix("fd00:9::/64"),
            gateway6: IPv6Address("fd00:9::1"))
        try host.delta(11) {
            $0.networks = [network]
            $0.leases = try (ipv4 + ipv6).map { try Host.lease("dual", $0) }
        }
        return host
    }

    private func six(_ text: String) throws -> IPv6Address { try #require(IPv6Address(text)) }

    @Test("An attach gets one of each, also without a manager, and a restart remembers both")
    func both() throws {
        var host = try host()
        host.feed(.sessionClosed)
        let endpoint = try host.attached("dual", "a")
        #expect(try endpoint.ipv4 == address("10.0.9.2") && endpoint.ipv6 == six("fd00:9::8000:0:0:0"))
        var restarted = try Host(saved: host.disk)
        restarted.random.state = 12
        let other = try restarted.attached("dual", "b")
        #expect(try other.ipv4 == address("10.0.9.3") && other.ipv6 == six("fd00:9::8000:0:0:1"))
        restarted.feed(.detach(RequestID(50), endpoint.id))
        let resting = restarted.machine.saved.own.resting.map(\.address)
        #expect(resting == endpoint.addresses)
    }

    @Test("Where one family has none, nothing is taken, and that family is asked for")
    func oneMissing() throws {
        var host = try host(ipv6: [])
        let id = try host.attach("dual", "a")
        #expect(host.replies[id] == nil && host.machine.ownEndpoints.isEmpty)
        let number = try host.leaseRequest()
        #expect(host.sent == [.leaseRequest(number, SubnetID(net, .v6), address: nil)])
        try host.delta(12) { $0.leases = [try Host.lease("dual", "fd00:9::8000:0:0:40/122")] }
        host.feed(.received(.leaseGranted(number)))
        host.applied()
        let endpoint = try #require(host.replies[id]).get()
        #expect(try endpoint.ipv4 == address("10.0.9.2") && endpoint.ipv6 == six("fd00:9::8000:0:0:40"))
    }

    @Test("One particular address of each, and none where the network has no IPv6")
    func particular() throws {
        var host = try host()
        let id = try host.attach("dual", "a") { $0.endpoint.ipv6 = try six("fd00:9::77") }
        let number = try host.leaseRequest()
        #expect(host.sent.last == .leaseRequest(number, SubnetID(net, .v6), address: .v6(try six("fd00:9::77"))))
        try host.delta(12) { $0.leases = [try Host.lease("dual", "fd00:9::77/128")] }
        host.feed(.received(.leaseGranted(number)))
        host.applied()
        #expect(try #require(host.replies[id]).get().ipv6 == six("fd00:9::77"))
        #expect(try host.refusal("dual", "b") { $0.endpoint.ipv6 = try six("fd00:9::77") }.description.contains("already in use"))
        #expect(try host.refusal("dual", "c") { $0.endpoint.ipv6 = try six("fd00:9::1") }.description.contains("gateway"))
        #expect(try host.refusal("dual", "d") { $0.endpoint.ipv6 = try six("fd00:9::") }.description.contains("anycast"))
        #expect(try host.refusal("net", "e") { $0.endpoint.ipv6 = try six("fd00:9::5") }.description.contains("has no IPv6"))
        // What a refused attach would have had of the other family is still free.
        #expect(try host.attached("dual", "f").ipv4 == address("10.0.9.3"))
    }

    @Test("An engine reserves one after the other, and gives both back")
    func engine() throws {
        var host = try host()
        host.feed(.reserve(RequestID(1), SubnetID(net, .v4), nil))
        host.feed(.reserve(RequestID(2), SubnetID(net, .v6), nil))
        let ipv4 = try #require(try host.reservations[RequestID(1)]?.get().v4)
        let ipv6 = try #require(try host.reservations[RequestID(2)]?.get().v6)
        host.feed(.reserve(RequestID(3), SubnetID(NetworkID("id-net"), .v6), nil))
        #expect(host.reservations[RequestID(3)] == .failure(.noSubnet(.v6, network: "net")))
        let attachment = EngineAttachment(
            id: EndpointID("e1"), EndpointSpec(network: net, ipv4: ipv4, ipv6: ipv6, mac: MACAddress(forIPv4: ipv4)),
            sandbox: SandboxID("s"))
        host.feed(.attachEngine(RequestID(4), attachment))
        host.applied()
        #expect(try #require(host.replies[RequestID(4)]).get().addresses == [.v4(ipv4), .v6(ipv6)])
        #expect(host.disk.own.reservations.isEmpty)
        host.feed(.rename(RequestID(5), EndpointID("e1"), sandbox: SandboxID("c"), name: "web", aliases: []))
        #expect(host.machine.ownEndpoints.first?.ipv6 == ipv6)
        host.feed(.detach(RequestID(6), EndpointID("e1")))
        #expect(host.disk.own.reservations.map(\.address) == [.v4(ipv4), .v6(ipv6)])
        host.feed(.release(net, .v6(ipv6)))
        host.feed(.release(net, .v4(ipv4)))
        #expect(Set(host.machine.saved.own.resting.map(\.address)) == [.v4(ipv4), .v6(ipv6)])
    }

    @Test("An endpoint goes when its IPv6 address is leased to it no longer")
    func lost() throws {
        var host = try host()
        let endpoint = try host.attached("dual", "a")
        try host.delta(12) { $0.removedLeases = ["\(net)/fd00:9:0:0:8000::/125"] }
        #expect(host.lost.map(\.id) == [endpoint.id])
    }
}
