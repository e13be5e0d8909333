import Testing
import WeftModel
import WeftNet
import WeftNode

@Suite("Attaching and detaching")
struct AttachTests {
    @Test("An attach needs no manager's answer: it is saved, told, put into the data path, and answered then")
    func attach() throws {
        var host = try Host.synchronised()
        let id = try host.attach("net", "a1") { $0.endpoint.aliases = ["web"] }
        #expect(host.replies[id] == nil)
        let endpoint = try #require(host.machine.ownEndpoints.first)
        #expect(host.disk.own.endpoints == [endpoint])
        #expect(host.sent == [.endpointsChanged(added: [endpoint], removed: [])])
        #expect(endpoint.ipv4 == (try address("10.0.1.2")))
        #expect(
            endpoint.mac.description == "02:42:0a:00:01:02" && endpoint.aliases == ["web"] && endpoint.node == Host.id)
        host.applied()
        #expect(try host.replies[id]?.get() == endpoint)
    }

    @Test("What cannot be attached is refused in Docker's words")
    func refusals() throws {
        var host = try Host.synchronised()
        #expect(try host.refusal("nosuch", "a").description == "network id-nosuch not found")
        #expect(
            try host.refusal("ingress", "a").description
                == "Could not attach to network ingress: rpc error: code = PermissionDenied desc = network ingress not manually attachable"
        )
        try host.attach("net", "a")
        #expect(try host.refusal("net", "a") == .alreadyAttached(name: "a", network: "net"))
        #expect(try host.refusal("net", "") == .badName(""))
        let group = MACAddress(rawValue: 1 << 40)
        #expect(try host.refusal("net", "b") { $0.endpoint.mac = group } == .badMAC(group))
        let taken = try #require(host.machine.ownEndpoints.first).mac
        #expect(try host.refusal("net", "b") { $0.endpoint.mac = taken } == .macInUse(taken, network: "net"))
        for text in ["10.0.1.1", "10.0.1.2", "10.0.1.255", "10.0.2.2"] {
            let id = try host.attach("net", "b") { $0.endpoint.ipv4 = try address(text) }
            if text != "10.0.2.2" { #expect(try host.error(id).description.contains(text), "\(text)") }
            if text == "10.0.2.2" { #expect(try host.error(id).description.contains("10.0.1.0/24")) }
        }
        // A service's task may go where people may not.
        let task = try host.attach("ingress", "t") { $0.manual = false }
        #expect(host.replies[task] == nil)
    }

    @Test("Without an address, an attach asks for a block and waits for it")
    func waitsForBlock() throws {
        var host = try Host.synchronised()
        for index in 1...6 { _ = try host.attached("net", "a\(index)") }
        let id = try host.attach("net", "a7")
        let number = try host.leaseRequest()
        #expect(host.replies[id] == nil)
        try host.delta(11) { $0.leases = [try Host.lease("net", "10.0.1.16/29")] }
        host.feed(.received(.leaseGranted(number)))
        host.applied()
        #expect(try host.replies[id]?.get().ipv4 == address("10.0.1.16"))
    }

    @Test("Many attaches at once share the blocks that come, and ask again when those are full")
    func burst() throws {
        var host = try Host.synchronised()
        let ids = try (1...20).map { try host.attach("net", "a\($0)") }
        for index in 0..<3 {
            let number = try host.leaseRequest()
            try host.delta(Int64(11 + index)) { $0.leases = [try Host.lease("net", "10.0.1.\(16 + 8 * index)/29")] }
            host.feed(.received(.leaseGranted(number)))
        }
        host.applied()
        let addresses = try ids.map { try #require(host.replies[$0]).get().ipv4 }
        #expect(Set(addresses).count == 20)
    }

    @Test("The next block is asked for before the last address is gone")
    func spare() throws {
        var host = try Host.synchronised()
        for index in 1...4 { _ = try host.attached("net", "a\(index)") }
        let number = try host.leaseRequest()
        #expect(host.sent.count { if case .leaseRequest = $0 { true } else { false } } == 1)
        // Refused: those addresses that are left still work, and nobody is troubled.
        host.feed(.received(.leaseRefused(number, reason: "none left")))
        _ = try host.attached("net", "a5")
        _ = try host.attached("net", "a6")
        #expect(host.sent.count { if case .leaseRequest = $0 { true } else { false } } == 1)
        let id = try host.attach("net", "a7")
        host.feed(.received(.leaseRefused(try host.leaseRequest(), reason: "none left")))
        #expect(try host.error(id).description == "no free address in network net: none left")
    }

    @Test("With only resting addresses left, a free block is asked for; refused, or unanswered, the longest resting is given")
    func restingIsLast() throws {
        var host = try Host.synchronised()
        let endpoints = try (1...6).map { try host.attached("net", "a\($0)") }
        for request in host.sent {
            if case .leaseRequest(let number, _, _, true) = request { host.feed(.received(.leaseRefused(number, reason: "none"))) }
        }
        host.now = host.now + .seconds(61)
        for (index, endpoint) in endpoints.prefix(3).enumerated() {
            host.now = host.now + .seconds(1)
            host.feed(.detach(RequestID(UInt64(900 + index)), endpoint.id))
        }
        host.sent = []
        let first = try host.attach("net", "b1")
        let number = try host.leaseRequest()
        #expect(host.sent.last == .leaseRequest(number, SubnetID(NetworkID("id-net"), .v4), address: nil, isSpare: true))
        host.feed(.received(.leaseRefused(number, reason: "no block of the subnet is free")))
        host.applied()
        #expect(try host.replies[first]?.get().ipv4 == endpoints[0].ipv4)
        // Nobody is asked again soon, nor while no manager answers.
        #expect(try host.attached("net", "b2").ipv4 == endpoints[1].ipv4)
        host.now = host.now + .seconds(61)
        host.feed(.sessionClosed)
        #expect(try host.attached("net", "b3").ipv4 == endpoints[2].ipv4)
        host.feed(.detach(RequestID(910), try #require(host.machine.ownEndpoints.first { $0.name == "b3" }).id))
        host.feed(.sessionOpened)
        host.feed(.received(.assignments(try Host.everything(revision: 20))))
        let late = try host.attach("net", "b4")
        #expect(host.replies[late] == nil)
        host.now = host.now + .seconds(1)
        host.feed(.tick)
        host.applied()
        #expect(try host.replies[late]?.get().ipv4 == endpoints[2].ipv4)
    }

    @Test("Who rides on a request for a spare block asks in earnest when it is refused and nothing rests any more")
    func spareRefusedToMany() throws {
        var host = try Host.synchronised()
        let endpoints = try (1...6).map { try host.attached("net", "a\($0)") }
        for request in host.sent {
            if case .leaseRequest(let number, _, _, true) = request { host.feed(.received(.leaseRefused(number, reason: "none"))) }
        }
        host.now = host.now + .seconds(61)
        host.feed(.detach(RequestID(900), endpoints[0].id))
        let ids = [try host.attach("net", "b1"), try host.attach("net", "b2")]
        host.sent = []
        host.feed(.received(.leaseRefused(4, reason: "none")))
        host.feed(.received(.leaseRefused(3, reason: "none")))
        host.feed(.received(.leaseRefused(2, reason: "none")))
        host.applied()
        #expect(try host.replies[ids[0]]?.get().ipv4 == endpoints[0].ipv4 && host.replies[ids[1]] == nil)
        let number = try host.leaseRequest()
        #expect(host.sent.contains(.leaseRequest(number, SubnetID(NetworkID("id-net"), .v4), address: nil, isSpare: false)))
        host.feed(.received(.leaseRefused(number, reason: "all in use")))
        #expect(try host.error(ids[1]).description == "no free address in network net: all in use")
    }

    @Test("An automatic MAC address that somebody chose is not taken: another is")
    func chosenMAC() throws {
        var host = try Host.synchronised()
        let chosen = MACAddress(forIPv4: try address("10.0.1.3"))
        let first = try host.attach("net", "a") { $0.endpoint.mac = chosen }
        host.applied()
        #expect(try host.replies[first]?.get().mac == chosen)
        let second = try host.attached("net", "b")
        #expect(try second.ipv4 == address("10.0.1.3") && second.mac != chosen && !second.mac.isMulticast)
        #expect(host.machine.freeMAC(for: second.ipv4, on: second.network).description == "0a:42:0a:00:01:03")
        #expect(try host.attached("net", "c").mac.description == "02:42:0a:00:01:04")
    }

    @Test("Who waits for an address waits 5 s")
    func patience() throws {
        var host = try Host.synchronised()
        host.feed(.sessionClosed)
        for index in 1...6 { _ = try host.attached("net", "a\(index)") }
        let id = try host.attach("net", "a7")
        host.now = host.now + .milliseconds(4999)
        host.feed(.tick)
        #expect(host.replies[id] == nil)
        host.now = host.now + .milliseconds(1)
        host.feed(.tick)
        #expect(try host.error(id).description.hasPrefix("no free address in network net: "))
    }

    @Test("One particular address is asked for when it lies in no block of this node")
    func particular() throws {
        var host = try Host.synchronised()
        let wanted = try address("10.0.1.77")
        let id = try host.attach("net", "a") { $0.endpoint.ipv4 = wanted }
        let number = try host.leaseRequest()
        #expect(host.sent.last == .leaseRequest(number, SubnetID(NetworkID("id-net"), .v4), address: .v4(wanted)))
        try host.delta(11) { $0.leases = [try Host.lease("net", "10.0.1.77/32")] }
        host.feed(.received(.leaseGranted(number)))
        host.applied()
        #expect(try host.replies[id]?.get().ipv4 == wanted)
        let refused = try host.attach("net", "b") { $0.endpoint.ipv4 = try address("10.0.1.78") }
        host.feed(.received(.leaseRefused(try host.leaseRequest(), reason: "it is h2's")))
        #expect(try host.error(refused).description.contains("it is h2's"))
    }

    @Test("An endpoint that the data path could not make is taken back everywhere")
    func datapathFailure() throws {
        var host = try Host.synchronised()
        let id = try host.attach("net", "a")
        let endpoint = try #require(host.machine.ownEndpoints.first)
        host.feed(.datapathApplied(try #require(host.generation), failures: [endpoint.id: "no veth"]))
        #expect(try host.error(id) == .datapath("no veth"))
        #expect(host.machine.ownEndpoints.isEmpty && host.disk.own.endpoints.isEmpty)
        #expect(host.sent.last == .endpointsChanged(added: [], removed: [endpoint.id]))
        // A result of an older generation says nothing about a newer endpoint.
        let old = try #require(host.generation)
        let later = try host.attach("net", "b")
        host.feed(.datapathApplied(old))
        #expect(host.replies[later] == nil)
    }

    @Test("Detaching is told, saved, and answered when the data path is rid of it; the address rests")
    func detach() throws {
        var host = try Host.synchronised()
        let endpoint = try host.attached("net", "a")
        host.feed(.detach(RequestID(900), endpoint.id))
        #expect(host.replies[RequestID(900)] == nil && host.disk.own.endpoints.isEmpty)
        #expect(host.sent.last == .endpointsChanged(added: [], removed: [endpoint.id]))
        host.applied()
        #expect(try host.replies[RequestID(900)]?.get() == endpoint)
        host.feed(.detach(RequestID(901), endpoint.id))
        #expect(try host.error(RequestID(901)) == .endpointNotFound(endpoint.id))
        #expect(host.disk.own.resting.map(\.address) == [.v4(endpoint.ipv4)])
        // The five others come before this one.
        let addresses = try (1...5).map { try host.attached("net", "b\($0)").ipv4 }
        #expect(!addresses.contains(endpoint.ipv4))
    }

    @Test("A sandbox's end takes its endpoints, and attaches that wait for it")
    func sandboxes() throws {
        var host = try Host.synchronised()
        let endpoint = try host.attached("net", "a")
        let waiting = try host.attach("ingress", "a") {
            $0.manual = false
            $0.sandbox = endpoint.sandbox
        }
        host.feed(.sandboxGone(endpoint.sandbox))
        #expect(host.machine.ownEndpoints.isEmpty)
        #expect(try host.error(waiting) == .sandboxGone(endpoint.sandbox))
        _ = try host.attached("net", "b")
        host.feed(.sandboxesFound([]))
        #expect(host.machine.ownEndpoints.isEmpty)
    }

    @Test("An address that an interface still has is not given out, nor its block given back")
    func heldAddresses() throws {
        var host = try Host.synchronised()
        host.feed(.addressesHeld([.v4(try address("10.0.1.2"))]))
        #expect(try host.attached("net", "a").ipv4 == address("10.0.1.3"))
        // Who asks for just that one waits until the interface is gone.
        let waiting = try host.attach("net", "b") { $0.endpoint.ipv4 = try address("10.0.1.2") }
        host.feed(.addressesHeld([]))
        host.applied()
        #expect(try host.replies[waiting]?.get().ipv4 == address("10.0.1.2"))
        host.feed(.addressesHeld([.v4(try address("10.0.1.4"))]))
        let late = try host.attach("net", "c") { $0.endpoint.ipv4 = try address("10.0.1.4") }
        host.now = host.now + NodeMachine.patience
        host.feed(.tick)
        #expect(try host.error(late).description.contains("still held by an interface"))
    }
}

@Suite("The session with a manager")
struct SessionTests {
    @Test("Hello carries what the node knows and all its endpoints")
    func hello() throws {
        var host = try Host.synchronised()
        host.feed(.sessionClosed)
        // Without a manager all goes on.
        let endpoint = try host.attached("net", "a")
        #expect(host.sent.isEmpty)
        host.feed(.sessionOpened)
        #expect(
            host.sent == [
                .hello(
                    host.machine.nodeDescription, dataPathAddress: try address("172.30.0.1"),
                    appliedRevision: Version(10),
                    endpoints: [endpoint])
            ])
    }

    @Test("Deltas are laid over what is known; one that does not fit asks for everything")
    func deltas() throws {
        var host = try Host.synchronised()
        let more = try Host.network("more", "10.0.2.0/24", vni: 4098)
        try host.delta(12) {
            $0.networks = [more]
            $0.removedNetworks = [NetworkID("id-ingress")]
        }
        #expect(
            host.machine.networks.map(\.spec.name) == ["more", "net"] && host.machine.appliedRevision == Version(12))
        var gap = Assignments(isFull: false, baseRevision: Version(13), revision: Version(14))
        gap.removedNetworks = [more.id]
        host.feed(.received(.assignments(gap)))
        #expect(host.sent == [.resyncRequest] && host.machine.networks.count == 2)
        try host.delta(15) { $0.removedNetworks = [more.id] }
        #expect(host.machine.networks.count == 2 && host.sent.count == 1)
        host.feed(.received(.assignments(try Host.everything(revision: 16))))
        #expect(host.machine.isSynchronised && host.machine.networks.map(\.spec.name) == ["ingress", "net"])
    }

    @Test("About its own endpoints the node is right; others' are the manager's")
    func merging() throws {
        var host = try Host.synchronised()
        let own = try host.attached("net", "a")
        let ghost = Endpoint(
            id: EndpointID("ghost"), network: own.network, node: Host.id, sandbox: SandboxID("x"),
            ipv4: try address("10.0.1.5"),
            mac: own.mac, name: "ghost")
        let other = Endpoint(
            id: EndpointID("other"), network: own.network, node: Host.peer, sandbox: SandboxID("y"),
            ipv4: try address("10.0.1.9"),
            mac: own.mac, name: "other")
        try host.delta(11) { $0.endpoints = [ghost, other] }
        #expect(Set(host.machine.endpoints.map(\.name)) == ["a", "other"])
        let before = host.generation
        try host.delta(12) { $0.leases = [try Host.lease("net", "10.0.1.64/29")] }
        #expect(host.generation == before)
        try host.delta(13) {
            $0.peers = [Peer(id: Host.peer, hostname: "h2", state: .down, dataPathAddress: nil, managerAddress: nil)]
        }
        // A node that is down may still be reached; its names are not given out.
        #expect(host.machine.endpoints.count == 2 && host.machine.namedEndpoints.map(\.name) == ["a"])
        #expect(host.generation != before)
    }

    @Test("A description is told once, and again when the swarm's roots may have changed since")
    func descriptions() throws {
        var host = try Host.synchronised()
        func told() -> Int { host.sent.count { if case .descriptionChanged = $0 { true } else { false } } }
        let description = host.machine.nodeDescription
        // Whoever began a session with all that there is may have missed what the manager forgot meanwhile.
        host.feed(.descriptionChanged(description))
        #expect(told() == 1)
        host.feed(.descriptionChanged(description))
        #expect(told() == 1)
        // Roots that went and came again between two looks of this node's look as they did.
        try host.delta(11) { $0.cluster = try Host.everything().cluster }
        host.feed(.descriptionChanged(description))
        host.feed(.descriptionChanged(description))
        #expect(told() == 2)
    }

    @Test("Endpoints go with their network, and when the manager gave their address away")
    func lost() throws {
        var host = try Host.synchronised()
        let one = try host.attached("net", "a")
        var all = try Host.everything(revision: 11)
        all.networks.removeAll { $0.spec.name == "net" }
        all.leases = []
        host.feed(.received(.assignments(all)))
        #expect(host.lost == [one] && host.machine.ownEndpoints.isEmpty)

        host = try Host.synchronised()
        let two = try host.attached("net", "a")
        try host.delta(11) { $0.removedLeases = [try Host.lease("net", "10.0.1.0/29").id] }
        #expect(host.lost == [two])
    }

    @Test("A restart brings back endpoints, leases, rests and what the manager said")
    func restart() throws {
        var host = try Host.synchronised()
        let kept = try host.attached("net", "a")
        let gone = try host.attached("net", "b")
        host.feed(.detach(RequestID(900), gone.id))
        var again = try Host(saved: host.disk)
        #expect(again.machine.ownEndpoints == [kept] && again.machine.networks == host.machine.networks)
        #expect(again.machine.appliedRevision == Version(10))
        #expect(again.machine.saved == host.machine.saved)
        again.now = host.now
        let addresses = try (1...4).map { try again.attached("net", "c\($0)").ipv4 }
        #expect(!addresses.contains(kept.ipv4) && !addresses.contains(gone.ipv4))
    }

    @Test("A block given back is not used any more, not even after a restart, until a manager says where it is")
    func returnedBlocks() throws {
        var host = try Host.synchronised()
        let block = try Host.lease("net", "10.0.1.64/29")
        try host.delta(11) { $0.leases = [block] }
        host.feed(.tick)
        #expect(host.sent == [.leasesReturned([block.id])])
        #expect(host.disk.own.returned == [block.id])
        // It was on its way before the manager heard of the return.
        try host.delta(12) { $0.networks = [] }
        #expect(host.machine.usableLeases.count == 1)
        host.feed(.tick)
        #expect(host.sent.count == 1)

        var again = try Host(saved: host.disk)
        #expect(again.machine.usableLeases.count == 1)
        again.feed(.sessionOpened)
        #expect(again.machine.usableLeases.count == 1)
        // The manager never heard of it: the block is this node's.
        again.feed(
            .received(
                .assignments(
                    Assignments(isFull: false, baseRevision: again.machine.appliedRevision, revision: Version(12)))))
        #expect(again.machine.usableLeases.count == 2)

        try host.delta(13) { $0.removedLeases = [block.id] }
        #expect(host.machine.usableLeases.count == 1 && host.machine.saved.own.returned.isEmpty)
    }

    @Test("Heartbeats keep their period")
    func heartbeats() throws {
        var host = try Host.synchronised()
        for _ in 0..<14 {
            host.now = host.now + .seconds(1)
            host.feed(.tick)
        }
        #expect(host.sent.filter { if case .heartbeat = $0 { true } else { false } }.count == 2)
        host.feed(.sessionClosed)
        host.now = host.now + .seconds(60)
        host.feed(.tick)
        #expect(host.sent.count == 2)
    }

    @Test("Leaving takes all endpoints, is told until it is heard, and ends with goodbye")
    func leaving() throws {
        var host = try Host.synchronised()
        _ = try host.attached("net", "a")
        host.feed(.leave)
        #expect(host.machine.ownEndpoints.isEmpty && host.sent.last == .leaving && host.disk.own.isLeaving)
        #expect(try host.refusal("net", "b") == .leaving)
        host.feed(.sessionClosed)
        host.feed(.sessionOpened)
        #expect(host.sent.last == .leaving)
        host.feed(.received(.goodbye(reason: "left")))
        #expect(host.dismissal == "left" && !host.machine.hasSession)
    }
}
