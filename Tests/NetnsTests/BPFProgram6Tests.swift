import Testing
import WeftBPF
import WeftDatapath
import WeftNet

/// IPv6, one program and one packet at a time, as in BPFProgramTests: interface 1 is the host end of fd77::11.
@Suite(.enabled(if: mayLoadPrograms, "needs root: loads BPF programs"))
final class BPFProgram6Tests {
    static let mine = BPFProgramTests.mine
    static let gateway = BPFProgramTests.gateway
    static let remote = BPFProgramTests.remote
    static let nobody = BPFProgramTests.nobody
    static let own = "fd77::11"
    let pinDirectory = "/sys/fs/bpf/weft-test/program6-\(UInt64.random(in: 0 ... .max))"
    let programs: DatapathPrograms

    init() throws {
        _ = try PinDirectory.mountFileSystemIfAbsent()
        programs = try DatapathPrograms.open(pinDirectory: pinDirectory, sizes: .small)
        let vni = try #require(VNI(4096))
        let vtep = try #require(IPv4Address("172.31.0.2"))
        try programs.setConfig(
            DatapathConfig(underlayInterface: 1, vtep: try #require(IPv4Address("172.31.0.1")), port: 4789))
        try setEndpoint()
        try programs.putForward([
            (OverlayAddress(vni: vni, address: try address(Self.own)), .local(interface: 1, mac: try mac(Self.mine))),
            (OverlayAddress(vni: vni, address: try address("fd77::21")), .remote(vtep: vtep, mac: try mac(Self.remote))),
        ])
        try programs.putVTEPs([(Membership(vni: vni, vtep: vtep), MemberTunnel(mtu: nil))])
        try programs.putSubnet(try #require(AnyIPPrefix("fd77::/64")), vni)
        try programs.putSubnet(try #require(AnyIPPrefix("fd88::/48")), try #require(VNI(4097)))
    }

    deinit { try? DatapathPrograms.removeAll(pinDirectory: pinDirectory) }

    private func address(_ text: String) throws -> IPv6Address { try #require(IPv6Address(text)) }
    private func mac(_ text: String) throws -> MACAddress { try #require(MACAddress(text)) }

    private func setEndpoint(isInternal: Bool = false, hasIPv6: Bool = true) throws {
        let ipv6 = EndpointIPv6(
            address: try address(Self.own), subnet: try #require(IPv6Prefix("fd77::/64")), gateway: try address("fd77::1"))
        let endpoint = EndpointEntry(
            vni: try #require(VNI(4096)), address: try #require(IPv4Address("10.77.0.11")), mac: try mac(Self.mine),
            subnet: try #require(IPv4Prefix("10.77.0.0/24")), gateway: try #require(IPv4Address("10.77.0.1")), isInternal: isInternal,
            ipv6: hasIPv6 ? ipv6 : nil)
        try programs.putEndpoint(endpoint, interface: 1)
        #expect(try programs.endpoints() == [1: endpoint])
    }

    private func frame(_ packet: [UInt8], from: String = mine, to: String = gateway) -> [UInt8] {
        BPFPacket.ethernet(from, to, type: 0x86dd, packet)
    }

    private func drops(_ interface: UInt32) throws -> [DropReason: UInt64] {
        try programs.counters()[interface]?.dropped ?? [:]
    }

    private func expectDrops(
        _ role: AttachmentRole, _ cases: [([UInt8], DropReason)], counted interface: UInt32
    ) throws {
        for (index, (packet, reason)) in cases.enumerated() {
            let before = try drops(interface)
            #expect(try programs.testRun(role, packet: packet).action == 2, "\(index): \(reason)")
            let after = try drops(interface)
            #expect(after[reason, default: 0] == before[reason, default: 0] + 1, "\(index): \(reason), not \(after)")
            #expect(after.values.reduce(0, +) == before.values.reduce(0, +) + 1, "\(index): \(reason) and nothing else")
        }
    }

    // MARK: Neighbour discovery

    @Test(
        "A solicitation is answered with the gateway's address, whoever of the sandbox asks and whatever options it has",
        arguments: ["fd77::21", "fd77::1", "fd77::99"],
        [[], [1, 1] + BPFPacket.mac(mine), Array(repeating: 0, count: 40)] as [[UInt8]])
    func solicitationAnswered(_ target: String, options: [UInt8]) throws {
        // The second is one to a single neighbour (RFC 4861, 7.3.1).
        let group = "ff02::1:ff00:21"
        for (sender, receiver) in [(Self.own, group), (Self.own, target), ("fe80::42:aff:fe4d:b", group)] {
            let run = try programs.testRun(
                .endpoint, packet: frame(BPFPacket.neighbour(sender, receiver, about: target, options: options)))
            #expect(run.action == 7)
            #expect(
                run.packet
                    == BPFPacket.ethernet(
                        Self.gateway, Self.mine, type: 0x86dd,
                        BPFPacket.neighbour(
                            target, sender, type: 136, flags: 0x60, about: target, options: [2, 1] + BPFPacket.mac(Self.gateway))))
        }
        #expect(try drops(1).isEmpty)
    }

    @Test("A probe for another's address is answered to all nodes")
    func probeAnswered() throws {
        let run = try programs.testRun(
            .endpoint, packet: frame(BPFPacket.neighbour("::", "ff02::1:ff00:21", about: "fd77::21")))
        #expect(run.action == 7)
        #expect(
            Array(run.packet.dropFirst(14))
                == BPFPacket.neighbour(
                    "fd77::21", "ff02::1", type: 136, flags: 0x20, about: "fd77::21",
                    options: [2, 1] + BPFPacket.mac(Self.gateway)))
    }

    @Test("What a kernel sends for itself alone is neither answered nor counted as a drop")
    func swallowed() throws {
        let linkLocal = "fe80::42:aff:fe4d:b"
        func listenerReport(_ source: String) -> [UInt8] {
            let report = BPFPacket.icmpv6(source, "ff02::16", type: 143, [0, 0, 0, 1, 4, 0, 0, 0] + BPFPacket.address("ff02::2"))
            return BPFPacket.ipv6(source, "ff02::16", next: 0, hopLimit: 1, [58, 0, 5, 2, 0, 0, 1, 0] + report.dropFirst(40))
        }
        let packets = [
            BPFPacket.neighbour("::", "ff02::1:ff00:11", about: Self.own),
            BPFPacket.neighbour("::", "ff02::1:ff4d:b", about: linkLocal),
            BPFPacket.neighbour(Self.own, "ff02::1", type: 136, flags: 0x20, about: Self.own),
            BPFPacket.icmpv6(linkLocal, "ff02::2", type: 133, [0, 0, 0, 0]),
            BPFPacket.icmpv6("::", "ff02::2", type: 133, [0, 0, 0, 0]),
            listenerReport(linkLocal), listenerReport("::"),
        ]
        for (index, packet) in packets.enumerated() {
            #expect(try programs.testRun(.endpoint, packet: frame(packet)) == .init(action: 2, packet: frame(packet)), "\(index)")
        }
        #expect(try drops(1).isEmpty)
        #expect(try programs.counters()[1]?.sentPackets == UInt64(packets.count))
    }

    // MARK: From a sandbox

    @Test("The gateway answers ping, with a right checksum")
    func gatewayPing() throws {
        let body: [UInt8] = [0, 7, 0, 1] + Array("abcdefgh".utf8)
        let run = try programs.testRun(
            .endpoint, packet: frame(BPFPacket.icmpv6(Self.own, "fd77::1", type: 128, hopLimit: 64, body)))
        #expect(run.action == 7)
        #expect(
            run.packet
                == BPFPacket.ethernet(
                    Self.gateway, Self.mine, type: 0x86dd,
                    BPFPacket.icmpv6("fd77::1", Self.own, type: 129, hopLimit: 64, body)))
    }

    @Test("A packet for another node is wrapped, its traffic class in the outer header")
    func encapsulated() throws {
        let inner = BPFPacket.ipv6(Self.own, "fd77::21", trafficClass: 0xb9, BPFPacket.udp(to: 7, Array(repeating: 1, count: 50)))
        // Whatever MAC address the sandbox believes in, a group's too.
        for target in [Self.remote, Self.gateway, "33:33:00:00:00:01"] {
            let run = try programs.testRun(.endpoint, packet: frame(inner, to: target))
            try #require(run.packet.count == 14 + 50 + inner.count)
            #expect(run.action == 7)
            #expect(Array(run.packet[12..<14]) == [8, 0])
            let outer = Array(run.packet[14..<34])
            #expect(Array(outer.prefix(10)) == [0x45, 0xb9] + BPFPacket.bytes(50 + inner.count) + [0, 0, 0x40, 0, 64, 17])
            #expect(BPFPacket.sum(outer) == 0xffff)
            #expect(Array(outer[12...]) == BPFPacket.address("172.31.0.1") + BPFPacket.address("172.31.0.2"))
            #expect(
                Array(run.packet[42...])
                    == BPFPacket.vxlan(4096, BPFPacket.ethernet(Self.mine, Self.remote, type: 0x86dd, inner)))
        }
        #expect(try programs.counters()[1]?.sentBytes == UInt64(3 * (14 + inner.count)))
    }

    @Test("What a sandbox may not send is dropped and counted by reason")
    func refused() throws {
        let udp = BPFPacket.udp(to: 9, [1])
        let linkLocal = "fe80::42:aff:fe4d:b"
        // A hop-by-hop header of 8 bytes before the datagram.
        let extended: [UInt8] = [17, 0, 1, 4, 0, 0, 0, 0] + udp
        var short = frame(BPFPacket.ipv6(Self.own, "fd77::21", udp))
        short.removeLast(4)
        var old = BPFPacket.ipv6(Self.own, "fd77::21", udp)
        old[0] = 0x40
        let cases: [([UInt8], DropReason)] = [
            (frame(BPFPacket.ipv6(Self.own, "fd77::21", udp), from: Self.remote), .spoofedMAC),
            (frame(BPFPacket.ipv6("fd77::21", "fd77::1", udp)), .spoofedAddress),
            (frame(BPFPacket.ipv6("fd77::21", "fd77::1", next: 0, extended)), .spoofedAddress),
            (frame(BPFPacket.ipv6("::", "fd77::21", udp)), .spoofedAddress),
            (frame(BPFPacket.ipv6("2001:db8::1", "fd77::21", udp)), .spoofedAddress),
            (frame(BPFPacket.neighbour("fd77::21", "ff02::1:ff00:1", about: "fd77::1")), .spoofedAddress),
            (frame(BPFPacket.ipv6(linkLocal, "fd77::21", udp)), .linkLocal),
            (frame(BPFPacket.ipv6(linkLocal, "ff02::fb", udp)), .linkLocal),
            (frame(BPFPacket.ipv6(Self.own, "fe80::1", udp)), .linkLocal),
            (frame(BPFPacket.neighbour(Self.own, "ff02::1:ff00:1", about: "fe80::1")), .linkLocal),
            (frame(BPFPacket.neighbour("::", "ff02::1:ff00:99", about: "fd77::99")), .neighbourUnanswered),
            (frame(BPFPacket.neighbour(Self.own, "ff02::1:ff00:1", about: "2001:db8::1")), .neighbourUnanswered),
            (frame(BPFPacket.neighbour(Self.own, "ff02::1:ff00:1", code: 1, about: "fd77::21")), .neighbourUnanswered),
            (frame(BPFPacket.neighbour(Self.own, "fd77::21", type: 136, about: "fd77::1")), .neighbourUnanswered),
            // A router's advertisement and a redirect.
            (frame(BPFPacket.icmpv6(linkLocal, "ff02::1", type: 134, Array(repeating: 0, count: 12))), .neighbourUnanswered),
            (frame(BPFPacket.icmpv6(Self.own, "fd77::21", type: 137, Array(repeating: 0, count: 36))), .neighbourUnanswered),
            (frame(BPFPacket.icmpv6(Self.own, "ff02::1", type: 135, [0, 0, 0, 0])), .truncated),
            (frame(BPFPacket.ipv6(Self.own, "ff02::fb", udp), to: "33:33:00:00:00:fb"), .multicast),
            (frame(BPFPacket.ipv6(Self.own, "fd77::99", udp)), .noEndpoint),
            (frame(BPFPacket.ipv6(Self.own, "fd77::1", udp)), .noEndpoint),
            (frame(BPFPacket.ipv6(Self.own, "fd88:0:0:5::1", udp)), .otherNetwork),
            (frame(BPFPacket.ipv6(Self.own, "2001:db8::1", udp)), .noIPv6Exit),
            (short, .truncated), (frame(old), .truncated),
        ]
        try expectDrops(.endpoint, cases, counted: 1)
        try setEndpoint(isInternal: true)
        try expectDrops(.endpoint, [(frame(BPFPacket.ipv6(Self.own, "2001:db8::1", udp)), .isInternal)], counted: 1)
        try setEndpoint(hasIPv6: false)
        try expectDrops(
            .endpoint,
            [
                (frame(BPFPacket.ipv6(Self.own, "fd77::21", udp)), .unsupportedProtocol),
                (frame(BPFPacket.ipv6("::", "fd77::21", udp)), .unsupportedProtocol),
            ], counted: 1)
    }

    // MARK: From the wire

    /// What the peer 172.31.0.2 sends: by default a datagram from fd77::21 to fd77::11.
    private func wire(from: String = "172.31.0.2", tos: UInt8 = 0, vni: Int = 4096, inner: [UInt8]? = nil) -> [UInt8] {
        let packet = inner ?? BPFPacket.ipv6("fd77::21", Self.own, BPFPacket.udp(to: 7, Array(repeating: 2, count: 30)))
        return BPFPacket.ethernet(
            Self.remote, Self.nobody, type: 0x0800,
            BPFPacket.ipv4(
                from, "172.31.0.1", tos: tos,
                BPFPacket.udp(
                    from: 50000, to: 4789,
                    BPFPacket.vxlan(vni, BPFPacket.ethernet(Self.nobody, Self.nobody, type: 0x86dd, packet)))))
    }

    @Test("A member's packet is unwrapped and gets the endpoint's MAC addresses")
    func decapsulated() throws {
        let run = try programs.testRun(.underlay, packet: wire())
        #expect(run.action == 7)
        #expect(
            run.packet
                == BPFPacket.ethernet(
                    Self.remote, Self.mine, type: 0x86dd,
                    BPFPacket.ipv6("fd77::21", Self.own, BPFPacket.udp(to: 7, Array(repeating: 2, count: 30)))))
        let counters = try #require(try programs.counters()[1])
        #expect(counters.receivedPackets == 1)
        #expect(counters.receivedBytes == UInt64(run.packet.count))
    }

    @Test("A congestion mark on the way reaches the inner header (RFC 6040)")
    func congestion() throws {
        func inner(_ trafficClass: UInt8) -> [UInt8] {
            BPFPacket.ipv6("fd77::21", Self.own, trafficClass: trafficClass, BPFPacket.udp(to: 7, [1, 2, 3, 4]))
        }
        let run = try programs.testRun(.underlay, packet: wire(tos: 0xbb, inner: inner(0xba)))
        #expect(run.action == 7)
        #expect(Array(run.packet.dropFirst(14)) == inner(0xbb))
        try expectDrops(.underlay, [(wire(tos: 3), .decapFailed)], counted: 0)
    }

    @Test("What a peer may not send is dropped and counted by reason")
    func forged() throws {
        let udp = BPFPacket.udp(to: 9, [1, 2, 3, 4])
        try expectDrops(
            .underlay,
            [
                (wire(from: "172.31.0.66"), .unknownVTEP),
                (wire(vni: 4097), .unknownVTEP),
                (wire(inner: BPFPacket.ipv6("fd77::22", Self.own, udp)), .forgedSource),
                (wire(inner: BPFPacket.ipv6(Self.own, Self.own, udp)), .forgedSource),
                (wire(inner: BPFPacket.ipv6("fd77::21", "fd77::12", udp)), .noEndpoint),
                (wire(inner: BPFPacket.ipv6("fd77::21", "fd77::21", udp)), .noEndpoint),
                (wire(inner: BPFPacket.ipv6("fd77::21", "ff02::1", udp)), .multicast),
                (wire(inner: Array(BPFPacket.ipv6("fd77::21", Self.own, udp).prefix(30))), .truncated),
                (wire(inner: BPFPacket.ipv4("10.77.0.21", "10.77.0.11", Array(repeating: 0, count: 40))), .truncated),
            ], counted: 0)
    }

    @Test("What the tunnel to the peer does not carry comes back with its MTU, in a right message")
    func tooBig() throws {
        let vni = try #require(VNI(4096))
        func setMTU(_ bytes: Int) throws {
            try programs.putForward(
                OverlayAddress(vni: vni, address: try address("fd77::21")),
                .remote(vtep: try #require(IPv4Address("172.31.0.2")), mac: try mac(Self.remote), mtu: MTU(bytes)))
        }
        func packet(_ size: Int) -> [UInt8] {
            let data = (0..<size - 48).map { UInt8(truncatingIfNeeded: $0) }
            return frame(BPFPacket.ipv6(Self.own, "fd77::21", BPFPacket.udp(to: 7, data)), to: Self.remote)
        }
        try setMTU(1280)
        #expect(try programs.testRun(.endpoint, packet: packet(1280)).packet.count == 14 + 50 + 1280)
        let sent = packet(1281)
        let run = try programs.testRun(.endpoint, packet: sent)
        #expect(run.action == 7)
        try #require(run.packet.count == 14 + 48 + 480)
        #expect(Array(run.packet.prefix(14)) == BPFPacket.mac(Self.mine) + BPFPacket.mac(Self.gateway) + [0x86, 0xdd])
        #expect(Array(run.packet[14..<22]) == [0x60, 0, 0, 0] + BPFPacket.bytes(488) + [58, 64])
        #expect(Array(run.packet[22..<54]) == BPFPacket.address("fd77::1") + BPFPacket.address(Self.own))
        #expect(Array(run.packet[54..<56]) == [2, 0])
        #expect(Array(run.packet[58..<62]) == [0, 0] + BPFPacket.bytes(1280))
        #expect(BPFPacket.icmpv6Sum("fd77::1", Self.own, Array(run.packet[54...])) == 0xffff)
        #expect(Array(run.packet[62...]) == Array(sent[14..<494]))
        #expect(try drops(1) == [.tooBig: 1])
        // No sender would go that low.
        try setMTU(1250)
        try expectDrops(.endpoint, [(packet(1281), .tooBig)], counted: 1)
    }
}
