import Testing
import WeftModel
import WeftNet
import WeftNode

@Suite("Endpoints of a container engine")
struct EngineTests {
    private let net = NetworkID("id-net")

    private func reserve(_ host: inout Host, _ number: UInt64, _ address: IPv4Address? = nil) throws -> IPv4Address {
        host.feed(.reserve(RequestID(number), SubnetID(net, .v4), address.map(IPAddress.v4)))
        let result = try #require(host.reservations[RequestID(number)])
        return try #require(try result.get().v4)
    }

    private func attachment(_ id: String, _ address: IPv4Address) -> EngineAttachment {
        EngineAttachment(
            id: EndpointID(id), EndpointSpec(network: net, ipv4: address, mac: MACAddress(forIPv4: address)), sandbox: SandboxID("key"))
    }

    private func attach(_ host: inout Host, _ number: UInt64, _ id: String, _ address: IPv4Address) throws -> Endpoint {
        host.feed(.attachEngine(RequestID(number), attachment(id, address)))
        host.applied()
        return try #require(host.replies[RequestID(number)]).get()
    }

    @Test("A reserved address is nobody else's, is on disk before it is answered, and rests after its release")
    func reservation() throws {
        var host = try Host.synchronised()
        let address = try reserve(&host, 101)
        #expect(host.disk.own.reservations.map(\.address) == [.v4(address)])
        #expect(host.sent.isEmpty, "no endpoint, nothing to tell")
        #expect(try host.attached("net", "a").ipv4 != address)
        host.feed(.reserve(RequestID(102), SubnetID(net, .v4), .v4(address)))
        guard case .failure(let error)? = host.reservations[RequestID(102)] else { throw Host.Unexpected(what: "given twice") }
        #expect(error.description.contains("already in use"))

        var restarted = try Host(saved: host.disk)
        #expect(try reserve(&restarted, 103) != address, "kept over a restart")
        restarted.feed(.release(net, .v4(address)))
        #expect(restarted.machine.saved.own.resting.map(\.address) == [.v4(address)])
        #expect(restarted.machine.saved.own.reservations.map(\.address) != [.v4(address)])
    }

    @Test("A reservation that nothing comes of runs out")
    func expiry() throws {
        var host = try Host.synchronised()
        let address = try reserve(&host, 101)
        host.now = host.now + .seconds(119)
        host.feed(.tick)
        #expect(host.machine.saved.own.reservations.count == 1)
        host.now = host.now + .seconds(2)
        host.feed(.tick)
        #expect(host.machine.saved.own.reservations.isEmpty)
        #expect(host.machine.saved.own.resting.map(\.address) == [.v4(address)])
    }

    @Test("An address of another node's block is asked for, and refused with the manager's reason or in time")
    func foreignAddress() throws {
        var host = try Host.synchronised()
        let far = try #require(IPv4Address("10.0.1.77"))
        host.feed(.reserve(RequestID(101), SubnetID(net, .v4), .v4(far)))
        host.feed(.received(.leaseRefused(try host.leaseRequest(), reason: "it is node n2's")))
        guard case .failure(let error)? = host.reservations[RequestID(101)] else { throw Host.Unexpected(what: "no refusal") }
        #expect(error.description.contains("it is node n2's") && error.description.contains("net"))
        host.feed(.sessionClosed)
        host.feed(.reserve(RequestID(102), SubnetID(net, .v4), .v4(far)))
        #expect(host.reservations[RequestID(102)] == nil)
        host.now = host.now + .seconds(5)
        host.feed(.tick)
        #expect(host.reservations[RequestID(102)] != nil)
        host.feed(.reserve(RequestID(103), SubnetID(NetworkID("gone"), .v4), nil))
        #expect(host.reservations[RequestID(103)] == .failure(.networkNotFound("gone")))
    }

    @Test("The endpoint has the engine's id and no name until it is told; asking again is not a second endpoint")
    func attachAndRename() throws {
        var host = try Host.synchronised()
        let address = try reserve(&host, 101)
        let endpoint = try attach(&host, 1, "e1", address)
        #expect(endpoint.id == EndpointID("e1") && endpoint.ipv4 == address && endpoint.name.isEmpty)
        #expect(host.disk.own.reservations.isEmpty && host.disk.own.engine.map(\.id) == [EndpointID("e1")])
        let before = try #require(host.generation)
        #expect(try attach(&host, 2, "e1", address) == endpoint)
        #expect(try #require(host.generation) > before, "its interface may be missing")
        #expect(host.machine.ownEndpoints.count == 1)
        host.feed(.attachEngine(RequestID(3), attachment("e1", try #require(address.advanced(by: 1)))))
        #expect(try host.error(RequestID(3)) == .endpointTaken(EndpointID("e1")))
        host.feed(.attachEngine(RequestID(4), attachment("e2", address)))
        #expect(try host.error(RequestID(4)) == .macInUse(MACAddress(forIPv4: address), network: "net"))

        host.sent = []
        host.feed(.rename(RequestID(5), EndpointID("e1"), sandbox: SandboxID("c1"), name: "web", aliases: ["w"]))
        let renamed = try #require(host.replies[RequestID(5)]).get()
        #expect(renamed.name == "web" && renamed.sandbox == SandboxID("c1") && renamed.ipv4 == address)
        #expect(host.sent == [.endpointsChanged(added: [renamed], removed: [])] && host.disk.own.endpoints == [renamed])
        host.sent = []
        host.feed(.rename(RequestID(6), EndpointID("e1"), sandbox: SandboxID("c1"), name: "web", aliases: ["w"]))
        #expect(host.sent.isEmpty, "nothing new is not told")
        host.feed(.rename(RequestID(7), EndpointID("e1"), sandbox: SandboxID("c1"), name: "a\u{7}b", aliases: []))
        #expect(try host.error(RequestID(7)) == .badName("a\u{7}b"))
        host.feed(.rename(RequestID(8), EndpointID("nosuch"), sandbox: SandboxID("c1"), name: "x", aliases: []))
        #expect(try host.error(RequestID(8)) == .endpointNotFound(EndpointID("nosuch")))
    }

    @Test("After the endpoint the address is the engine's until it releases it, so that a late release hits nobody")
    func lateRelease() throws {
        var host = try Host.synchronised()
        let address = try reserve(&host, 101)
        _ = try attach(&host, 1, "e1", address)
        host.feed(.release(net, .v4(address)))
        #expect(host.machine.ownEndpoints.count == 1, "an endpoint's address is not released under it")
        host.feed(.detach(RequestID(2), EndpointID("e1")))
        host.applied()
        #expect(host.disk.own.reservations.map(\.address) == [.v4(address)] && host.disk.own.engine.isEmpty)
        host.feed(.reserve(RequestID(102), SubnetID(net, .v4), .v4(address)))
        guard case .failure? = host.reservations[RequestID(102)] else { throw Host.Unexpected(what: "given twice") }
        host.feed(.release(net, .v4(address)))
        host.feed(.release(net, .v4(address)))
        #expect(host.machine.saved.own.resting.map(\.address) == [.v4(address)])
        #expect(try reserve(&host, 103, address) == address, "who names it may have it at once")
    }

    /// A container that had an address of its own and ended.
    private func ended(_ host: inout Host, _ number: UInt64, _ name: String) throws -> IPv4Address {
        let address = try reserve(&host, 100 + number, for: .among([name]))
        _ = try attach(&host, number * 10, "e-\(name)", address)
        host.feed(.rename(RequestID(number * 10 + 1), EndpointID("e-\(name)"), sandbox: SandboxID("id-\(name)"), name: name, aliases: []))
        host.feed(.detach(RequestID(number * 10 + 2), EndpointID("e-\(name)")))
        host.applied()
        host.feed(.release(net, .v4(address)))
        return address
    }

    private func reserve(_ host: inout Host, _ number: UInt64, for comer: Comer) throws -> IPv4Address {
        host.feed(.reserve(RequestID(number), SubnetID(net, .v4), nil, for: comer))
        let result = try #require(host.reservations[RequestID(number)])
        return try #require(try result.get().v4)
    }

    @Test("A container that comes back has its address back: by what started it, or when only one can be meant")
    func comesBack() throws {
        var host = try Host.synchronised()
        let web = try ended(&host, 1, "web")
        let db = try ended(&host, 2, "db")
        #expect(web != db)
        #expect(try reserve(&host, 901, for: .among(["db"])) == db)
        host.feed(.release(net, .v4(db)))
        #expect(try reserve(&host, 902, for: .among(["id-we"])) == web, "by the beginning of its id")
        host.feed(.release(net, .v4(web)))
        // Not a new one's, nor any one's of several that may be meant.
        #expect(try ![web, db].contains(reserve(&host, 903, for: .among(["new"]))))
        #expect(try ![web, db].contains(reserve(&host, 904, for: .among(["web", "db"]))))
        host.feed(.containerGone(SandboxID("id-db")))
        #expect(try reserve(&host, 905, for: .unknown) == web, "it died, and its engine starts it again")
        // In use now: it gets another.
        #expect(try reserve(&host, 906, for: .among(["web"])) != web)
        host.feed(.release(net, .v4(web)))
        host.now = host.now + .seconds(61)
        #expect(try reserve(&host, 907, for: .unknown) != web, "long ago")
    }

    @Test("A sandbox that starts again has its address back")
    func sandboxComesBack() throws {
        var host = try Host.synchronised()
        let first = try host.attached("net", "a")
        host.feed(.detach(RequestID(900), first.id))
        _ = try host.attached("net", "b")
        host.now = host.now + .seconds(600)
        host.feed(.tick)
        #expect(try host.attached("net", "a").ipv4 == first.ipv4)
    }

    @Test("An attach that the data path refuses leaves the address to the engine")
    func failedAttach() throws {
        var host = try Host.synchronised()
        let address = try reserve(&host, 101)
        host.feed(.attachEngine(RequestID(1), attachment("e1", address)))
        host.feed(.datapathApplied(try #require(host.generation), failures: [EndpointID("e1"): "no veth"]))
        #expect(try host.error(RequestID(1)) == .datapath("no veth"))
        #expect(host.machine.ownEndpoints.isEmpty && host.disk.own.reservations.map(\.address) == [.v4(address)])
    }

    @Test("Endpoints of containers outlive weftd, until the engine says that it has them no more")
    func restart() throws {
        var host = try Host.synchronised()
        for (number, id) in [(UInt64(201), "e1"), (202, "e2")] {
            let address = try reserve(&host, 100 + number)
            _ = try attach(&host, number, id, address)
        }
        _ = try host.attached("net", "sandbox")
        var restarted = try Host(saved: host.disk)
        restarted.now = host.now + .seconds(10)
        restarted.feed(.sandboxesFound([]))
        #expect(restarted.machine.ownEndpoints.map(\.id.rawValue) == ["e1", "e2"], "only the sandbox's went")
        #expect(restarted.machine.newEndpoints.isEmpty, "and none is made anew")
        restarted.feed(.engineEndpointsFound([EndpointID("e2")], asOf: host.now + .seconds(-1)))
        #expect(restarted.machine.ownEndpoints.count == 2, "they are younger than what the engine said")
        restarted.feed(.engineEndpointsFound([EndpointID("e2")], asOf: restarted.now))
        #expect(restarted.machine.ownEndpoints.map(\.id.rawValue) == ["e2"])
        #expect(restarted.disk.own.resting.count == 2, "the sandbox's and e1's")
    }

    @Test("A lease that went elsewhere takes its reservations along")
    func leaseLost() throws {
        var host = try Host.synchronised()
        _ = try reserve(&host, 101)
        try host.delta(11) { $0.removedLeases = [try Host.lease("net", "10.0.1.0/29").id] }
        #expect(host.machine.saved.own.reservations.isEmpty)
    }
}
