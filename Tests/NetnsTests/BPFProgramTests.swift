import Testing
import WeftBPF
import WeftDatapath
import WeftNet

/// One program and one packet at a time (BPF_PROG_TEST_RUN): what leaves, byte by byte, and what is counted.
/// The packet comes in at the loopback interface, index 1, which stands for the host end of 10.77.0.11.
@Suite(.enabled(if: mayLoadPrograms, "needs root: loads BPF programs"))
final class BPFProgramTests {
    static let mine = "02:42:0a:4d:00:0b"
    static let gateway = "0a:77:65:66:74:01"
    static let remote = "02:42:0a:4d:00:15"
    static let nobody = "00:00:00:00:00:00"
    let pinDirectory = "/sys/fs/bpf/weft-test/program-\(UInt64.random(in: 0 ... .max))"
    let programs: DatapathPrograms

    init() throws {
        _ = try PinDirectory.mountFileSystemIfAbsent()
        programs = try DatapathPrograms.open(pinDirectory: pinDirectory, sizes: .small)
        let vni = try #require(VNI(4096))
        let vtep = try #require(IPv4Address("172.31.0.2"))
        try programs.setConfig(
            DatapathConfig(underlayInterface: 1, vtep: try #require(IPv4Address("172.31.0.1")), port: 4789))
        try setEndpoint(isInternal: false)
        try programs.putForward([
            (OverlayAddress(vni: vni, address: try address("10.77.0.11")), .local(interface: 1, mac: try mac(Self.mine))),
            (OverlayAddress(vni: vni, address: try address("10.77.0.21")), .remote(vtep: vtep, mac: try mac(Self.remote))),
        ])
        try programs.putVTEPs([(Membership(vni: vni, vtep: vtep), MemberTunnel(mtu: nil))])
        try programs.putSubnet(try #require(AnyIPPrefix("10.77.0.0/24")), vni)
        try programs.putSubnet(try #require(AnyIPPrefix("10.88.0.0/16")), try #require(VNI(4097)))
    }

    deinit { try? DatapathPrograms.removeAll(pinDirectory: pinDirectory) }

    private func address(_ text: String) throws -> IPv4Address { try #require(IPv4Address(text)) }
    private func mac(_ text: String) throws -> MACAddress { try #require(MACAddress(text)) }

    private func setEndpoint(isInternal: Bool, isNoExit: Bool = false) throws {
        try programs.putEndpoint(
            EndpointEntry(
                vni: try #require(VNI(4096)), address: address("10.77.0.11"), mac: mac(Self.mine),
                subnet: try #require(IPv4Prefix("10.77.0.0/24")), gateway: address("10.77.0.1"), isInternal: isInternal,
                isNoExit: isNoExit),
            interface: 1)
    }

    private func drops(_ interface: UInt32) throws -> [DropReason: UInt64] {
        try programs.counters()[interface]?.dropped ?? [:]
    }

    /// A packet from the sandbox.
    private func frame(_ packet: [UInt8], from: String = mine, to: String = gateway) -> [UInt8] {
        BPFPacket.ethernet(from, to, type: 0x0800, packet)
    }

    // MARK: ARP

    @Test(
        "An ARP request is answered with the gateway's address, so that what follows is for the host end and no other host's",
        arguments: ["10.77.0.21", "10.77.0.1", "169.254.77.53"])
    func arpAnswered(target: String) throws {
        for sender in ["10.77.0.11", "0.0.0.0"] {
            let run = try programs.testRun(
                .endpoint, packet: BPFPacket.arp(sender: (Self.mine, sender), target: target))
            #expect(run.action == 7)
            #expect(
                run.packet
                    == BPFPacket.ethernet(
                        Self.gateway, Self.mine, type: 0x0806,
                        [0, 1, 8, 0, 6, 4, 0, 2] + BPFPacket.mac(Self.gateway) + BPFPacket.address(target)
                            + BPFPacket.mac(Self.mine) + BPFPacket.address(sender)))
        }
        #expect(try drops(1).isEmpty)
    }

    @Test("An address that nobody has yet is answered for, so that its endpoint is reached as soon as it comes")
    func arpForFreeAddress() throws {
        let run = try programs.testRun(
            .endpoint, packet: BPFPacket.arp(sender: (Self.mine, "10.77.0.11"), target: "10.77.0.99"))
        #expect(run.action == 7)
        #expect(Array(run.packet.dropFirst(6).prefix(6)) == BPFPacket.mac(Self.gateway))
        #expect(try drops(1).isEmpty)
    }

    @Test("Neither a probe for nor an announcement of one's own address is answered or counted as a drop")
    func arpOwnAddress() throws {
        for sender in ["0.0.0.0", "10.77.0.11"] {
            let packet = BPFPacket.arp(sender: (Self.mine, sender), target: "10.77.0.11")
            #expect(try programs.testRun(.endpoint, packet: packet) == .init(action: 2, packet: packet))
        }
        #expect(try drops(1).isEmpty)
        #expect(try programs.counters()[1]?.sentPackets == 2)
    }

    @Test("ARP that cannot be answered, or lies, is dropped and counted")
    func arpRefused() throws {
        let cases: [([UInt8], DropReason)] = [
            (BPFPacket.arp(sender: (Self.mine, "0.0.0.0"), target: "10.77.0.99"), .arpUnanswered),
            (BPFPacket.arp(sender: (Self.mine, "10.77.0.11"), target: "192.0.2.1"), .arpUnanswered),
            (BPFPacket.arp(operation: 2, sender: (Self.mine, "10.77.0.11"), target: "10.77.0.21"), .arpUnanswered),
            (BPFPacket.arp(sender: (Self.mine, "10.77.0.21"), target: "10.77.0.1"), .spoofedAddress),
            (BPFPacket.arp(operation: 2, sender: (Self.mine, "0.0.0.0"), target: "10.77.0.1"), .spoofedAddress),
            (BPFPacket.arp(sender: (Self.remote, "10.77.0.11"), target: "10.77.0.1"), .spoofedMAC),
        ]
        try expectDrops(.endpoint, cases, counted: 1)
    }

    private func expectDrops(
        _ role: AttachmentRole, _ cases: [([UInt8], DropReason)], counted interface: UInt32
    ) throws {
        for (packet, reason) in cases {
            let before = try drops(interface)
            #expect(try programs.testRun(role, packet: packet).action == 2, "\(reason)")
            let after = try drops(interface)
            #expect(after[reason, default: 0] == before[reason, default: 0] + 1, "\(reason)")
            #expect(after.values.reduce(0, +) == before.values.reduce(0, +) + 1, "\(reason) and nothing else")
        }
    }

    // MARK: From a sandbox

    @Test("The gateway answers ping, with a right checksum")
    func gatewayPing() throws {
        let payload = Array("abcdefgh01234567".utf8)
        let run = try programs.testRun(
            .endpoint, packet: frame(BPFPacket.ipv4("10.77.0.11", "10.77.0.1", protocol: 1, BPFPacket.echoRequest(payload))))
        #expect(run.action == 7)
        #expect(Array(run.packet.prefix(14)) == BPFPacket.mac(Self.mine) + BPFPacket.mac(Self.gateway) + [8, 0])
        #expect(Array(run.packet[26..<34]) == BPFPacket.address("10.77.0.1") + BPFPacket.address("10.77.0.11"))
        #expect(run.packet[34] == 0)
        #expect(BPFPacket.sum(run.packet[14..<34]) == 0xffff)
        #expect(BPFPacket.sum(run.packet[34...]) == 0xffff)
        #expect(Array(run.packet[42...]) == payload)
    }

    @Test("A packet for another node is wrapped: DF, same TOS, entropy in the source port, right header checksum")
    func encapsulated() throws {
        let inner = BPFPacket.ipv4("10.77.0.11", "10.77.0.21", tos: 0xb9, BPFPacket.udp(to: 7, Array(repeating: 1, count: 50)))
        let run = try programs.testRun(.endpoint, packet: frame(inner, to: Self.remote))
        try #require(run.packet.count == 14 + 50 + inner.count)
        #expect(run.action == 7)
        let outer = Array(run.packet[14..<34])
        #expect(Array(outer.prefix(10)) == [0x45, 0xb9] + BPFPacket.bytes(50 - 14 + 14 + inner.count) + [0, 0, 0x40, 0, 64, 17])
        #expect(BPFPacket.sum(outer) == 0xffff)
        #expect(Array(outer[12...]) == BPFPacket.address("172.31.0.1") + BPFPacket.address("172.31.0.2"))
        #expect(Int(run.packet[34]) << 8 | Int(run.packet[35]) >= 49152)
        #expect(Array(run.packet[36..<42]) == BPFPacket.bytes(4789) + BPFPacket.bytes(30 + inner.count) + [0, 0])
        #expect(
            Array(run.packet[42...])
                == BPFPacket.vxlan(4096, BPFPacket.ethernet(Self.mine, Self.remote, type: 0x0800, inner)))
        #expect(try programs.counters()[1]?.sentBytes == UInt64(14 + inner.count))
    }

    @Test("DNS, ping of the resolver, and the outside go up the host's stack")
    func passed() throws {
        for packet in [
            BPFPacket.ipv4("10.77.0.11", "169.254.77.53", BPFPacket.udp(to: 53, [1, 2])),
            BPFPacket.ipv4("10.77.0.11", "169.254.77.53", protocol: 1, BPFPacket.echoRequest([1, 2])),
            BPFPacket.ipv4("10.77.0.11", "192.0.2.1", BPFPacket.udp(to: 53, [1, 2])),
        ] {
            #expect(try programs.testRun(.endpoint, packet: frame(packet)) == .init(action: 0, packet: frame(packet)))
        }
    }

    @Test("An endpoint has its share of what may wait for the resolver, and has it again when that was taken")
    func resolverShare() throws {
        func query(_ payload: [UInt8] = [1, 2]) -> [UInt8] {
            frame(BPFPacket.ipv4("10.77.0.11", "169.254.77.53", BPFPacket.udp(to: 53, payload)))
        }
        func segment(flags: UInt8) -> [UInt8] {
            frame(
                BPFPacket.ipv4(
                    "10.77.0.11", "169.254.77.53", protocol: 6,
                    BPFPacket.bytes(4000) + BPFPacket.bytes(53) + [0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 2, 0, 0, 0, 0, 0]))
        }
        // Every try at more is made at once: a round ends by itself after a second.
        func passed(_ packet: [UInt8], of count: Int) throws -> Int {
            try (0..<count).reduce(0) { sum, _ in try sum + (programs.testRun(.endpoint, packet: packet).action == 0 ? 1 : 0) }
        }
        let (udp, tcp) = (1024, 64)
        #expect(try passed(query(), of: udp + 10) == udp)
        #expect(try drops(1) == [.resolverShare: 10])
        // Connections are another share; what belongs to those that were let in is not counted.
        #expect(try passed(segment(flags: 2), of: tcp + 1) == tcp)
        #expect(try passed(segment(flags: 0x10), of: 100) == 100)
        #expect(try passed(segment(flags: 0x12), of: 100) == 100)
        try programs.beginResolverRound(.udp)
        #expect(try passed(query(), of: udp) == udp)
        #expect(try passed(segment(flags: 2), of: 1) == 0)
        try programs.beginResolverRound(.tcp)
        #expect(try passed(segment(flags: 2), of: 1) == 1)
        // An endpoint that comes has nothing of one that had its interface.
        #expect(try passed(query(), of: 1) == 0)
        try programs.removeEndpoint(interface: 1)
        try setEndpoint(isInternal: false)
        #expect(try passed(query(), of: 1) == 1)
    }

    @Test("Fragments do not wait for the resolver")
    func resolverFragments() throws {
        let udp = BPFPacket.udp(to: 53, [1, 2])
        try expectDrops(
            .endpoint,
            [0x2000, 0x2001, 1].map { (frame(BPFPacket.ipv4("10.77.0.11", "169.254.77.53", fragment: $0, udp)), .noEndpoint) }, counted: 1)
    }

    @Test("What a sandbox may not send is dropped and counted by reason")
    func refused() throws {
        let udp = BPFPacket.udp(to: 9, [1])
        let own = "10.77.0.11"
        var short = frame(BPFPacket.ipv4(own, "10.77.0.21", udp))
        short.removeLast(4)
        let cases: [([UInt8], DropReason)] = [
            (frame(BPFPacket.ipv4(own, "10.77.0.21", udp), from: Self.remote), .spoofedMAC),
            (frame(BPFPacket.ipv4("10.77.0.21", "10.77.0.1", udp)), .spoofedAddress),
            (frame(BPFPacket.ipv4("192.0.2.7", "10.77.0.21", udp)), .spoofedAddress),
            (frame(BPFPacket.ipv4(own, "10.77.0.99", udp)), .noEndpoint),
            (frame(BPFPacket.ipv4(own, "10.77.0.1", udp)), .noEndpoint),
            (frame(BPFPacket.ipv4(own, "10.88.3.4", udp)), .otherNetwork),
            (frame(BPFPacket.ipv4(own, "169.254.77.53", udp)), .noEndpoint),
            // Masqueraded by the host, this would be VXLAN from a member.
            (frame(BPFPacket.ipv4(own, "172.31.0.2", BPFPacket.udp(to: 4789, [8, 0, 0, 0, 0, 16, 0, 0]))), .otherNetwork),
            (frame(BPFPacket.ipv4(own, "239.1.1.1", udp), to: "01:00:5e:01:01:01"), .multicast),
            (frame(BPFPacket.ipv4(own, "10.77.0.255", udp)), .multicast),
            (frame(BPFPacket.ipv4(own, "255.255.255.255", udp), to: "ff:ff:ff:ff:ff:ff"), .multicast),
            (BPFPacket.ethernet(Self.mine, Self.gateway, type: 0x86dd, Array(repeating: 0, count: 40)), .unsupportedProtocol),
            (short, .truncated),
        ]
        try expectDrops(.endpoint, cases, counted: 1)
        try setEndpoint(isInternal: true)
        try expectDrops(.endpoint, [(frame(BPFPacket.ipv4(own, "192.0.2.1", udp)), .isInternal)], counted: 1)
        try programs.removeEndpoint(interface: 1)
        try expectDrops(.endpoint, [(frame(BPFPacket.ipv4(own, "10.77.0.21", udp)), .unknownEndpoint)], counted: 0)
    }

    @Test("An ICMP error is for nobody on the host or outside, whatever it quotes: only echoes go up the host's stack")
    func controlMessages() throws {
        func icmp(_ target: String, _ type: UInt8, fragment: Int = 0) -> [UInt8] {
            let quoted = BPFPacket.ipv4("172.31.0.1", "172.31.0.2", BPFPacket.udp(to: 2377, [0, 0, 0, 0]))
            return frame(
                BPFPacket.ipv4("10.77.0.11", target, protocol: 1, fragment: fragment, [type, 4, 0, 0, 0, 0, 2, 40] + quoted))
        }
        for target in ["169.254.77.53", "172.31.0.1", "192.0.2.1"] {
            try expectDrops(
                .endpoint, [3, 4, 5, 9, 11, 12, 13].map { (icmp(target, $0, fragment: 0x2000), .controlMessage) }, counted: 1)
            #expect(try programs.testRun(.endpoint, packet: icmp(target, 8)).action == 0)
            #expect(try programs.testRun(.endpoint, packet: icmp(target, 3, fragment: 2)).action == 0, "nothing without its first")
        }
        #expect(try programs.testRun(.endpoint, packet: icmp("192.0.2.1", 0)).action == 0)
        try expectDrops(.endpoint, [(icmp("169.254.77.53", 0), .controlMessage)], counted: 1)
    }

    @Test("Nothing leads to the host's loopback addresses, nor out of an interface that is not the way out")
    func noExit() throws {
        func udp(_ target: String, _ port: Int = 9) -> [UInt8] { frame(BPFPacket.ipv4("10.77.0.11", target, BPFPacket.udp(to: port, [1]))) }
        try expectDrops(.endpoint, [(udp("127.0.0.1"), .noEndpoint), (udp("127.9.9.9", 53), .noEndpoint)], counted: 1)
        try setEndpoint(isInternal: false, isNoExit: true)
        #expect(try programs.endpoints()[1]?.isNoExit == true)
        try expectDrops(
            .endpoint, ["192.0.2.1", "172.31.0.1", "172.17.0.2"].map { (udp($0), DropReason.noExit) }, counted: 1)
        #expect(try programs.testRun(.endpoint, packet: udp("169.254.77.53", 53)).action == 0)
        #expect(try programs.testRun(.endpoint, packet: udp("10.77.0.21")).action == 7)
    }

    @Test("What the tunnel to the peer does not carry comes back with its MTU, in a right message", arguments: [0, 0x4000, 0x2000])
    func tooBig(fragment: Int) throws {
        let vni = try #require(VNI(4096))
        try programs.putForward(
            OverlayAddress(vni: vni, address: try address("10.77.0.21")),
            .remote(vtep: try address("172.31.0.2"), mac: try mac(Self.remote), mtu: MTU(1250)))
        func packet(_ size: Int, _ fragment: Int) -> [UInt8] {
            let data = (0..<size - 28).map { UInt8(truncatingIfNeeded: $0) }
            return frame(BPFPacket.ipv4("10.77.0.11", "10.77.0.21", fragment: fragment, BPFPacket.udp(to: 7, data)), to: Self.remote)
        }
        #expect(try programs.testRun(.endpoint, packet: packet(1250, fragment)).packet.count == 14 + 50 + 1250)
        #expect(try drops(1).isEmpty)
        let sent = packet(1251, fragment)
        let run = try programs.testRun(.endpoint, packet: sent)
        #expect(run.action == 7)
        try #require(run.packet.count == 14 + 28 + 480)
        #expect(Array(run.packet.prefix(14)) == BPFPacket.mac(Self.mine) + BPFPacket.mac(Self.gateway) + [8, 0])
        #expect(Array(run.packet[14..<24]) == [0x45, 0] + BPFPacket.bytes(508) + [0, 0, 0x40, 0, 64, 1])
        #expect(Array(run.packet[26..<34]) == BPFPacket.address("10.77.0.1") + BPFPacket.address("10.77.0.11"))
        #expect(Array(run.packet[34..<36]) == [3, 4])
        #expect(Array(run.packet[38..<42]) == [0, 0] + BPFPacket.bytes(1250))
        #expect(BPFPacket.sum(run.packet[14..<34]) == 0xffff)
        #expect(BPFPacket.sum(run.packet[34...]) == 0xffff)
        #expect(Array(run.packet[42...]) == Array(sent[14..<494]))
        #expect(try drops(1) == [.tooBig: 1])
        // It would not say whose it is.
        try expectDrops(.endpoint, [(packet(1251, 0x2005), .tooBig)], counted: 1)
    }

    // MARK: From the wire

    /// What the peer 172.31.0.2 sends by default: a datagram from 10.77.0.21 to 10.77.0.11.
    private func wire(
        from: String = "172.31.0.2", to: String = "172.31.0.1", port: Int = 4789, checksum: Int = 0, tos: UInt8 = 0,
        fragment: Int = 0, flags: UInt8 = 8, vni: Int = 4096, type: Int = 0x0800, inner: [UInt8]? = nil
    ) -> [UInt8] {
        let packet = inner ?? BPFPacket.ipv4("10.77.0.21", "10.77.0.11", BPFPacket.udp(to: 7, Array(repeating: 2, count: 30)))
        return BPFPacket.ethernet(
            Self.remote, Self.nobody, type: 0x0800,
            BPFPacket.ipv4(
                from, to, tos: tos, fragment: fragment,
                BPFPacket.udp(
                    from: 50000, to: port, checksum: checksum,
                    BPFPacket.vxlan(vni, flags: flags, BPFPacket.ethernet(Self.nobody, Self.nobody, type: type, packet)))))
    }

    @Test("A member's packet is unwrapped and gets the endpoint's MAC addresses")
    func decapsulated() throws {
        let run = try programs.testRun(.underlay, packet: wire())
        #expect(run.action == 7)
        #expect(
            run.packet
                == BPFPacket.ethernet(
                    Self.remote, Self.mine, type: 0x0800,
                    BPFPacket.ipv4("10.77.0.21", "10.77.0.11", BPFPacket.udp(to: 7, Array(repeating: 2, count: 30)))))
        let counters = try #require(try programs.counters()[1])
        #expect(counters.receivedPackets == 1)
        #expect(counters.receivedBytes == UInt64(run.packet.count))
    }

    @Test("A congestion mark on the way reaches the inner header (RFC 6040)")
    func congestion() throws {
        let inner = BPFPacket.ipv4("10.77.0.21", "10.77.0.11", tos: 0xba, BPFPacket.udp(to: 7, [1, 2, 3, 4]))
        let run = try programs.testRun(.underlay, packet: wire(tos: 0xbb, inner: inner))
        #expect(run.action == 7)
        #expect(run.packet[15] == 0xbb)
        #expect(BPFPacket.sum(run.packet[14..<34]) == 0xffff)
        try expectDrops(.underlay, [(wire(tos: 3), .decapFailed)], counted: 0)
    }

    @Test("Packets that are not plain VXLAN for this node are left to the stack, untouched")
    func notOurs() throws {
        var broken = wire()
        broken[14 + 10] ^= 1
        for packet in [
            wire(to: "172.31.0.9"), wire(port: 4790), wire(checksum: 0x1234), wire(fragment: 0x2000), wire(fragment: 5), broken,
            BPFPacket.ethernet(Self.remote, Self.nobody, type: 0x86dd, Array(repeating: 0, count: 60)),
        ] {
            #expect(try programs.testRun(.underlay, packet: packet) == .init(action: -1, packet: packet))
        }
        #expect(try drops(0).isEmpty)
    }

    @Test("What a peer may not send is dropped and counted by reason")
    func forged() throws {
        let udp = BPFPacket.udp(to: 9, [1, 2, 3, 4])
        try expectDrops(
            .underlay,
            [
                (wire(from: "172.31.0.66"), .unknownVTEP),
                (wire(vni: 4097), .unknownVTEP),
                (wire(flags: 0), .badVXLAN),
                (wire(type: 0x0806), .unsupportedProtocol),
                (wire(inner: BPFPacket.ipv4("10.77.0.22", "10.77.0.11", udp)), .forgedSource),
                (wire(inner: BPFPacket.ipv4("10.77.0.11", "10.77.0.11", udp)), .forgedSource),
                (wire(inner: BPFPacket.ipv4("10.77.0.21", "10.77.0.12", udp)), .noEndpoint),
                (wire(inner: BPFPacket.ipv4("10.77.0.21", "10.77.0.21", udp)), .noEndpoint),
                (wire(inner: BPFPacket.ipv4("10.77.0.21", "224.0.0.5", udp)), .multicast),
                (wire(inner: [0x45, 0, 0, 20]), .truncated),
            ], counted: 0)
    }
}
