import Testing
import WeftModel
import WeftNet
import WeftNode

@Suite("A node that has lost its memory")
struct AdoptionTests {
    private func found(_ id: String, _ ipv4: String, vni: UInt32 = 4097, sandbox: String? = nil) throws -> FoundEndpoint {
        let ipv4 = try address(ipv4)
        var endpoint = FoundEndpoint(
            id: EndpointID(id), vni: try #require(VNI(vni)), ipv4: ipv4, ipv6: nil, mac: MACAddress(forIPv4: ipv4))
        endpoint.sandbox = sandbox.map { SandboxID($0) }
        endpoint.name = sandbox.map { "name-of-\($0)" } ?? ""
        return endpoint
    }

    private func known(_ id: String, _ ipv4: String) throws -> Endpoint {
        let ipv4 = try address(ipv4)
        return Endpoint(
            id: EndpointID(id), network: NetworkID("id-net"), node: Host.id, sandbox: SandboxID("s-\(id)"), ipv4: ipv4,
            mac: MACAddress(forIPv4: ipv4), name: id, aliases: ["db"])
    }

    @Test("It keeps what is in the kernel, with the names that the manager knows, and tells what is gone")
    func adopts() throws {
        var host = try Host()
        host.feed(
            .endpointsFound([
                try found("e1", "10.0.1.2", sandbox: "s-e1"), try found("e2", "10.0.1.3", sandbox: "s-e2"), try found("e3", "10.0.1.4"),
                try found("e4", "10.0.9.4", vni: 9999),
            ]))
        host.feed(.sandboxesFound([SandboxID("s-e1"), SandboxID("s-e2")]))
        #expect(host.machine.isAdopting)
        host.feed(.sessionOpened)
        #expect(host.generation == nil, "the kernel is left alone until a manager has spoken")

        var all = try Host.everything()
        all.endpoints = [try known("e1", "10.0.1.2"), try known("gone", "10.0.1.5")]
        host.sent = []
        host.feed(.received(.assignments(all)))
        #expect(!host.machine.isAdopting && host.generation != nil)
        let own = host.machine.ownEndpoints
        #expect(own.map(\.id.rawValue) == ["e1", "e2", "e3"], "the network of e4 is gone")
        #expect(own.first == (try known("e1", "10.0.1.2")))
        #expect(own.map(\.name) == ["e1", "name-of-s-e2", ""])
        #expect(own.map { host.machine.engineState(of: $0.id).isEngine } == [false, false, true])
        #expect(host.sent.first == .endpointsChanged(added: own, removed: [EndpointID("gone")]))
        #expect(host.disk.own.endpoints == own)
        // Their addresses are not given to others.
        #expect(try host.attached("net", "new").ipv4 == address("10.0.1.5"))
    }

    @Test("A node with a memory does not adopt: what it does not know of is a leftover")
    func remembers() throws {
        var host = try Host.synchronised()
        host.feed(.endpointsFound([try found("e1", "10.0.1.2")]))
        #expect(!host.machine.isAdopting)
    }
}

@Suite("A disk that is full")
struct NotSavedTests {
    @Test("An attach that could not be saved is refused and taken back")
    func attach() throws {
        var host = try Host.synchronised()
        let kept = try host.attached("net", "kept")
        let id = try host.attach("net", "lost")
        #expect(host.machine.undurable.count == 1)
        host.feed(.notSaved("the disk is full"))
        #expect(try host.error(id) == .notSaved("the disk is full"))
        #expect(host.machine.ownEndpoints == [kept] && host.machine.undurable.isEmpty)
        // Nothing that was saved before goes.
        host.feed(.notSaved("the disk is full"))
        #expect(host.machine.ownEndpoints == [kept])
        #expect(try host.attached("net", "lost").name == "lost")
    }

    @Test("A reservation that could not be saved is refused and taken back")
    func reserve() throws {
        let host = try Host.synchronised()
        var (machine, random) = (host.machine, host.random)
        let granted = machine.handle(.reserve(RequestID(900), SubnetID(NetworkID("id-net"), .v4), nil), now: host.now, random: &random)
        #expect(granted.contains { if case .reserved(_, .success) = $0 { true } else { false } })
        let taken = machine.handle(.notSaved("the disk is full"), now: host.now, random: &random)
        #expect(taken.contains(.reserved(RequestID(900), .failure(.notSaved("the disk is full")))))
        #expect(machine.saved.own.reservations.isEmpty)
    }
}
