import Glibc
import Testing
import WeftBPF
import WeftDatapath
import WeftLinux
import WeftNet

/// What survives a restart, what is replaced, and what is cleared away.
@Suite(.enabled(if: mayLoadPrograms, "needs root: makes namespaces and loads BPF programs"), .timeLimit(.minutes(5)))
struct BPFLifecycleTests {
    @Test("A restart adopts maps and replaces running programs without losing a packet")
    func restart() throws {
        try BPFTopology.with { net in
            let a1 = try net.addSandbox(on: net.a, "10.77.0.11")
            let b1 = try net.addSandbox(on: net.b, "10.77.0.21")
            let forward = try net.b.programs.forward()
            #expect(forward.count == 2)
            let pings = try PingStream("10.77.0.21", in: a1.namespace)
            for _ in 0..<10 {
                let again = try net.b.open()
                #expect(again.adoption.created.isEmpty)
                #expect(again.adoption.updatedInterfaces.contains(b1.interface))
                #expect(again.adoption.updatedInterfaces.count == 3)
                #expect(try again.forward() == forward)
            }
            let (answered, lost) = try pings.end()
            #expect(answered > 10 && lost == 0)
            #expect(try net.b.counters().dropped.isEmpty)
        }
    }

    @Test("Maps of another shape are made anew, and traffic goes on with the former ones until the caller says so")
    func otherShape() throws {
        try BPFTopology.with { net in
            let a1 = try net.addSandbox(on: net.a, "10.77.0.11")
            let b1 = try net.addSandbox(on: net.b, "10.77.0.21")
            var sizes = MapSizes.small
            sizes.forwardEntries *= 2
            let again = try net.b.open(sizes: sizes)
            #expect(again.adoption.created == ["weft_forward"])
            #expect(again.adoption.pendingInterfaces.contains(b1.interface))
            #expect(try again.forward().isEmpty)
            #expect(try a1.pings("10.77.0.21"))
            try again.putForward(try net.b.programs.forward().map { ($0.key, $0.value) })
            try again.updateLinks()
            #expect(try a1.pings("10.77.0.21"))
            try again.removeForward(b1.forwardKey)
            #expect(try a1.hearsNothing(from: "10.77.0.21"))
        }
    }

    @Test("A link is adopted while its interface lives, and its pin goes with the interface")
    func links() throws {
        try BPFTopology.with { net in
            let a1 = try net.addSandbox(on: net.a, "10.77.0.11")
            let b1 = try net.addSandbox(on: net.b, "10.77.0.21")
            #expect(try net.a.programs.attachedInterfaces()[a1.interface] == .endpoint)
            #expect(try net.a.programs.attachedInterfaces().count == 3)
            // Attaching again must not run the program twice.
            try net.a.programs.attachEndpoint(interface: a1.interface)
            let before = try net.a.counters(a1.interface).sentPackets
            #expect(try a1.pings("10.77.0.1"))
            #expect(try net.a.counters(a1.interface).sentPackets - before <= 3)

            try shell(net.a.namespace, "ip link delete wv1")
            #expect(try net.a.programs.attachedInterfaces().count == 2)

            try net.b.programs.detach(interface: b1.interface)
            #expect(try net.b.programs.attachedInterfaces().count == 2)
            try net.b.programs.detach(interface: b1.interface)
            try net.b.programs.removeEndpoint(interface: b1.interface)
            #expect(try net.b.programs.endpoints().isEmpty)
            #expect(try net.b.programs.counters().keys.sorted() == [0])
        }
    }

    @Test("A table of a hundred thousand addresses is written, read and cut down")
    func bigTable() throws {
        _ = try PinDirectory.mountFileSystemIfAbsent()
        let directory = "/sys/fs/bpf/weft-test/big\(getpid())"
        defer { try? DatapathPrograms.removeAll(pinDirectory: directory) }
        let programs = try DatapathPrograms.open(pinDirectory: directory)
        let vni = try #require(VNI(5000))
        let vtep = try #require(IPv4Address("172.31.0.2"))
        let entries: [(OverlayAddress, ForwardTarget)] = (0..<100_000).map {
            let address = IPv4Address(rawValue: 0x0a00_0000 + UInt32($0))
            return (OverlayAddress(vni: vni, address: address), .remote(vtep: vtep, mac: MACAddress(forIPv4: address)))
        }
        try programs.putForward(entries)
        #expect(try programs.forward() == Dictionary(uniqueKeysWithValues: entries))
        try programs.removeForward(entries[7].0)
        try programs.removeForward(entries[7].0)
        #expect(try programs.forward().count == 99_999)
        let members = (0..<3000).map {
            (Membership(vni: vni, vtep: IPv4Address(rawValue: 0xac1f_0000 + UInt32($0))), MemberTunnel(mtu: $0 == 0 ? nil : MTU(1450)))
        }
        try programs.putVTEPs(members)
        #expect(try programs.vteps() == Dictionary(uniqueKeysWithValues: members))
        let subnets = [try #require(AnyIPPrefix("10.0.0.0/8")), try #require(AnyIPPrefix("fd00::/8"))]
        for subnet in subnets { try programs.putSubnet(subnet, vni) }
        #expect(try programs.subnets() == [subnets[0]: vni, subnets[1]: vni])
        for subnet in subnets { try programs.removeSubnet(subnet) }
        #expect(try programs.subnets().isEmpty)
    }

    @Test("A directory that is not on a BPF file system is refused with what to do")
    func notBPFFS() {
        let error = #expect(throws: BPFError.self) { try DatapathPrograms.open(pinDirectory: "/tmp/weft-no-bpffs") }
        #expect(error?.description.contains("mount -t bpf") == true)
        #expect(access("/tmp/weft-no-bpffs", F_OK) != 0)
    }
}
