import Testing
import WeftModel
import WeftNet
import WeftNode

@Suite("Addresses that another node needs")
struct RecallTests {
    private let net = SubnetID(NetworkID("id-net"), .v4)

    private func answer(_ host: Host) throws -> (number: RequestNumber, prefix: String) {
        for case .addressesReturned(let number, net, let prefix) in host.sent.reversed() { return (number, prefix.description) }
        throw Host.Unexpected(what: "\(host.sent)")
    }

    private func reason(_ host: Host, _ number: RequestNumber) -> String? {
        for case .addressesKept(number, let reason) in host.sent { return reason }
        return nil
    }

    @Test("Half of what is free is given back: on disk before it is said, and used no more, not even after a restart")
    func half() throws {
        var host = try Host.synchronised()
        host.feed(.received(.addressesWanted(7, net, address: nil)))
        let given = try answer(host)
        #expect(given == (7, "10.0.1.2/31"))
        #expect(host.disk.own.returned == ["id-net/10.0.1.2/31"])
        #expect(host.machine.usableLeases.map(\.block.description) == ["10.0.1.0/31", "10.0.1.4/30"])
        #expect(try host.attached("net", "a").ipv4 == address("10.0.1.4"))
        var again = try Host(saved: host.disk)
        #expect(again.machine.usableLeases.map(\.block.description) == ["10.0.1.0/31", "10.0.1.4/30"])
        // The manager died before it heard: the first answer of a session says where all is.
        again.feed(.sessionOpened)
        again.feed(.received(.assignments(try Host.everything(revision: 11))))
        #expect(again.machine.usableLeases.map(\.block.description) == ["10.0.1.0/29"])
        #expect(again.machine.saved.own.returned.isEmpty)
    }

    @Test("What could not be marked as given back stays this node's, and who asked for it is told so")
    func notSaved() throws {
        var host = try Host.synchronised()
        host.feed(.received(.addressesWanted(7, net, address: nil)))
        host.feed(.notSaved("the disk is full"))
        #expect(reason(host, 7)?.hasSuffix("the disk is full") == true)
        #expect(host.machine.usableLeases.map(\.block.description) == ["10.0.1.0/29"])
        #expect(host.machine.saved.own.returned.isEmpty)
        // The disk has room again.
        host.feed(.received(.addressesWanted(8, net, address: nil)))
        #expect(try answer(host) == (8, "10.0.1.2/31"))
        // What was saved before is not taken back.
        host.feed(.addressesHeld([]))
        host.feed(.notSaved("the disk is full"))
        #expect(host.machine.saved.own.returned == ["id-net/10.0.1.2/31"])
    }

    @Test("A block that could not be marked as given back is this node's until it can be")
    func blockNotSaved() throws {
        var host = try Host.synchronised()
        let block = try Host.lease("net", "10.0.1.64/29")
        try host.delta(11) { $0.leases = [block] }
        host.feed(.tick)
        #expect(host.machine.usableLeases.map(\.block.description) == ["10.0.1.0/29"])
        host.feed(.notSaved("the disk is full"))
        #expect(host.machine.usableLeases.map(\.block.description).sorted() == ["10.0.1.0/29", "10.0.1.64/29"])
        host.sent = []
        host.feed(.tick)
        #expect(host.sent.contains(.leasesReturned([block.id])))
    }

    @Test("Of a lease of which a part is on its way back, nothing more goes before the manager has changed it")
    func oneAtATime() throws {
        var host = try Host.synchronised()
        host.feed(.received(.addressesWanted(7, net, address: nil)))
        host.sent = []
        host.feed(.received(.addressesWanted(8, net, address: nil)))
        host.feed(.received(.addressesWanted(9, net, address: .v4(try address("10.0.1.5")))))
        host.feed(.tick)
        #expect(host.sent.isEmpty)
        try host.delta(11) {
            $0.removedLeases = [try Host.lease("net", "10.0.1.0/29").id]
            $0.leases = [try Host.lease("net", "10.0.1.4/30")]
        }
        #expect(host.machine.saved.own.returned.map(\.description).allSatisfy { !$0.contains("10.0.1.2/31") })
        #expect(try answer(host) == (8, "10.0.1.4/31"))
        #expect(reason(host, 9) == nil)
        try host.delta(12) {
            $0.removedLeases = [try Host.lease("net", "10.0.1.4/30").id]
            $0.leases = [try Host.lease("net", "10.0.1.6/31")]
        }
        #expect(reason(host, 9)?.contains("no longer") == true)
    }

    @Test("A return that the manager does not take is this node's again when the lease has a new version")
    func notTaken() throws {
        var host = try Host.synchronised()
        host.feed(.received(.addressesWanted(7, net, address: nil)))
        try host.delta(11) { $0.networks = [] }
        #expect(host.machine.usableLeases.count == 2)
        try host.delta(12) {
            var lease = try Host.lease("net", "10.0.1.0/29")
            lease.version = Version(12)
            $0.leases = [lease]
        }
        #expect(host.machine.usableLeases.map(\.block.description) == ["10.0.1.0/29"])
    }

    @Test("One address by name: given when free or resting; else who has it is named")
    func named() throws {
        var host = try Host.synchronised()
        let web = try host.attached("net", "web")
        host.feed(.reserve(RequestID(100), net, nil))
        let kept = try #require(try host.reservations[RequestID(100)]?.get())
        host.feed(.received(.addressesWanted(1, net, address: .v4(web.ipv4))))
        #expect(reason(host, 1) == "the address 10.0.1.2 is already in use by endpoint web on node h1")
        host.feed(.received(.addressesWanted(2, net, address: kept)))
        #expect(reason(host, 2)?.contains("keeps it for a container that is being started") == true)
        host.feed(.received(.addressesWanted(3, net, address: .v4(try address("10.0.1.77")))))
        #expect(reason(host, 3)?.contains("no longer") == true)
        host.feed(.received(.addressesWanted(4, SubnetID(NetworkID("none"), .v4), address: nil)))
        #expect(reason(host, 4) != nil)
        host.feed(.detach(RequestID(101), web.id))
        // Its interface is still there.
        host.feed(.addressesHeld([.v4(web.ipv4)]))
        host.sent = []
        host.feed(.received(.addressesWanted(5, net, address: .v4(web.ipv4))))
        #expect(host.sent.isEmpty)
        host.feed(.addressesHeld([]))
        #expect(try answer(host) == (5, "10.0.1.2/32"))
        #expect(host.machine.usableLeases.map(\.block.description) == ["10.0.1.0/31", "10.0.1.3/32", "10.0.1.4/30"])
    }

    @Test("Whoever waits on this node comes first, and of nothing, nothing is given")
    func exhausted() throws {
        var host = try Host.synchronised()
        for index in 1...6 { _ = try host.attached("net", "a\(index)") }
        host.feed(.received(.addressesWanted(1, net, address: nil)))
        #expect(reason(host, 1) == "node h1 uses all that it leases")
        let last = try #require(host.machine.ownEndpoints.first)
        host.feed(.addressesHeld([.v4(last.ipv4)]))
        host.feed(.detach(RequestID(900), last.id))
        host.feed(.received(.addressesWanted(2, net, address: nil)))
        #expect(reason(host, 2) == nil, "an interface is about to go")
        let waiting = try host.attach("net", "b")
        host.feed(.addressesHeld([]))
        host.feed(.received(.leaseRefused(try host.leaseRequest(), reason: "none")))
        host.applied()
        #expect(host.replies[waiting] != nil || reason(host, 2) == nil)
        host.feed(.sessionClosed)
        host.sent = []
        host.feed(.tick)
        #expect(host.sent.isEmpty, "a question ends with its session")
    }

    @Test("What uses an address is named where it is refused")
    func refusalNames() throws {
        var host = try Host.synchronised()
        let web = try host.attached("net", "web")
        let id = try host.attach("net", "b") { $0.endpoint.ipv4 = web.ipv4 }
        #expect(try host.error(id).description.contains("already in use by endpoint web on node h1"))
    }
}
