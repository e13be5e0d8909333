import CLinuxUAPI
import Testing
import WeftNet
import WeftWire

/// Real messages of a 6.18 kernel on a little-endian machine.
@Suite struct NetlinkCodecTests {
    /// Dump of one address: 10.9.0.1/24 on interface 3.
    static let address = """
        54 00 00 00 14 00 02 00 07 00 00 00 4f 6d 00 00  length 84, RTM_NEWADDR, MULTI, sequence 7, port
        02 18 80 00 03 00 00 00                          AF_INET, /24, permanent, universe, interface 3
        08 00 01 00 0a 09 00 01                          IFA_ADDRESS
        08 00 02 00 0a 09 00 01                          IFA_LOCAL
        0f 00 03 00 77 76 30 30 30 30 30 30 30 31 00 00  IFA_LABEL wv00000001
        08 00 08 00 80 00 00 00                          IFA_FLAGS
        14 00 06 00 ff ff ff ff ff ff ff ff fe 45 03 00 fe 45 03 00
        """
    /// A rule of priority 100 to table 7700.
    static let rule = """
        3c 00 00 00 20 00 02 00 07 00 00 00 4f 6d 00 00
        02 00 00 00 fc 00 00 01 00 00 00 00              AF_INET, RT_TABLE_COMPAT, FR_ACT_TO_TBL
        08 00 0f 00 14 1e 00 00                          FRA_TABLE 7700
        08 00 0e 00 ff ff ff ff 05 00 15 00 00 00 00 00
        08 00 06 00 64 00 00 00                          FRA_PRIORITY 100
        """
    /// 10.9.0.2 is at 02:42:0a:09:00:02, permanently, on interface 3.
    static let neighbour = """
        4c 00 00 00 1c 00 02 00 07 00 00 00 a1 1a 00 00
        02 00 00 00 03 00 00 00 80 00 00 01              AF_INET, interface 3, NUD_PERMANENT
        08 00 01 00 0a 09 00 02                          NDA_DST
        0a 00 02 00 02 42 0a 09 00 02 00 00              NDA_LLADDR
        08 00 04 00 00 00 00 00
        14 00 03 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        """
    /// 10.9.9.0/24 via 10.9.0.7 dev 3 src 10.9.0.1 table 7700.
    static let route = """
        44 00 00 00 18 00 22 00 07 00 00 00 a1 1a 00 00
        02 18 00 00 fc 03 00 01 00 00 00 00              AF_INET, /24, RT_TABLE_COMPAT, boot, universe, unicast
        08 00 0f 00 14 1e 00 00                          RTA_TABLE 7700
        08 00 01 00 0a 09 09 00                          RTA_DST
        08 00 07 00 0a 09 00 01                          RTA_PREFSRC
        08 00 05 00 0a 09 00 07                          RTA_GATEWAY
        08 00 04 00 03 00 00 00                          RTA_OIF
        """
    /// ENODEV, capped: the request's header only.
    static let noDevice = """
        24 00 00 00 02 00 00 01 07 00 00 00 a1 1a 00 00
        ed ff ff ff 20 00 00 00 10 00 05 00 07 00 00 00 00 00 00 00
        """
    /// EINVAL with the kernel's words.
    static let badPrefix = """
        44 00 00 00 02 00 00 03 07 00 00 00 a1 1a 00 00
        ea ff ff ff 20 00 00 00 14 00 05 00 07 00 00 00 00 00 00 00
        20 00 01 00 69 70 76 34 3a 20 49 6e 76 61 6c 69  NLMSGERR_ATTR_MSG
        64 20 70 72 65 66 69 78 20 6c 65 6e 67 74 68 00
        """
    /// A program at the ingress of interface 3; of a 6.1 kernel.
    static let filter = """
        70 00 00 00 2c 00 02 00 07 00 00 00 c3 02 00 00
        00 00 00 00 03 00 00 00 17 93 64 0e f2 ff ff ff  interface 3, handle 0x0e649317, ffff:fff2
        00 03 4d 00                                      ETH_P_ALL, priority 77
        08 00 01 00 62 70 66 00                          TCA_KIND bpf
        08 00 0b 00 00 00 00 00                          TCA_CHAIN
        3c 00 02 00                                      TCA_OPTIONS
        14 00 07 00 77 65 66 74 5f 66 72 6f 6d 5f 76 78 6c 61 6e 00  TCA_BPF_NAME weft_from_vxlan
        08 00 0b 00 12 00 00 00                          TCA_BPF_ID
        0c 00 0a 00 aa 1f d0 cc 03 d6 ef f0 08 00 08 00 01 00 00 00 08 00 09 00 08 00 00 00
        """
    /// What the kernel says in the same dump of all filters of that priority.
    static let filterPriority = """
        34 00 00 00 2c 00 02 00 07 00 00 00 c3 02 00 00
        00 00 00 00 03 00 00 00 00 00 00 00 f2 ff ff ff 00 03 4d 00
        08 00 01 00 62 70 66 00 08 00 0b 00 00 00 00 00
        """
    static let done = "14 00 00 00 03 00 02 00 07 00 00 00 a1 1a 00 00 00 00 00 00"
    static let all = [address, rule, neighbour, route, noDevice, badPrefix, filter, filterPriority, done]

    @Test("an address")
    func readsAddress() throws {
        let message = try #require(try parse(Self.address).first)
        #expect(message.sequence == 7)
        let expected = AddressMessage(interface: 3, address: IPv4Address(rawValue: 0x0a09_0001), prefixLength: 24)
        #expect(AddressMessage(message) == expected)
        #expect(RouteMessage(message) == nil)
    }

    @Test("a rule, a neighbour and a route")
    func readsTheRest() throws {
        #expect(RuleMessage(try #require(try parse(Self.rule).first)) == RuleMessage(table: 7700, priority: 100))
        let neighbour = NeighbourMessage(
            interface: 3, address: IPv4Address(rawValue: 0x0a09_0002), mac: MACAddress("02:42:0a:09:00:02"))
        #expect(NeighbourMessage(try #require(try parse(Self.neighbour).first)) == neighbour)
        let route = RouteMessage(
            destination: try #require(IPv4Prefix("10.9.9.0/24")), table: 7700, interface: 3,
            gateway: IPv4Address("10.9.0.7"), preferredSource: IPv4Address("10.9.0.1"))
        #expect(RouteMessage(try #require(try parse(Self.route).first)) == route)
    }

    @Test("a filter, which the description of its priority is not")
    func readsFilter() throws {
        let filter = FilterMessage(interface: 3, priority: 77, handle: 0x0e64_9317, name: "weft_from_vxlan")
        #expect(FilterMessage(try #require(try parse(Self.filter).first)) == filter)
        #expect(FilterMessage(try #require(try parse(Self.filterPriority).first)) == nil)
        #expect(FilterMessage(try only(.putFilter(filter, program: 5, mayCreate: true))) == filter)
    }

    @Test("several messages in one datagram, and the end of the dump")
    func severalMessages() throws {
        let messages = try parse([Self.address, Self.rule, Self.done].joined(separator: "\n"))
        #expect(messages.count == 3)
        guard case .object = messages[1].meaning, case .success = messages[2].meaning else {
            Issue.record("meanings are \(messages.map(\.meaning))")
            return
        }
    }

    @Test("a failure has the kernel's words if there are any")
    func failures() throws {
        guard case .failure(19, nil) = try parse(Self.noDevice).first?.meaning else {
            Issue.record("ENODEV is not recognized")
            return
        }
        guard case .failure(22, "ipv4: Invalid prefix length") = try parse(Self.badPrefix).first?.meaning else {
            Issue.record("the extended acknowledgement is not read")
            return
        }
    }

    @Test("a veth request names both ends, and the peer's namespace in the same message")
    func vethRequest() throws {
        let mac = MACAddress(rawValue: 0x0a77_6566_7401)
        let request = NetlinkWriter.createVeth(
            host: VethEnd(name: "wv00000001", mac: mac, mtu: 1450), peer: VethEnd(name: "eth0", mac: mac, mtu: 1450),
            peerNamespace: 9)
        let expected = try bytes(
            """
            94 00 00 00 10 00 05 06 2a 00 00 00 00 00 00 00  length 148, RTM_NEWLINK, REQUEST ACK EXCL CREATE, sequence 42
            00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ifinfomsg
            0f 00 03 00 77 76 30 30 30 30 30 30 30 31 00 00  IFLA_IFNAME
            0a 00 01 00 0a 77 65 66 74 01 00 00              IFLA_ADDRESS
            08 00 04 00 aa 05 00 00                          IFLA_MTU 1450
            50 00 12 00                                      IFLA_LINKINFO
              09 00 01 00 76 65 74 68 00 00 00 00            IFLA_INFO_KIND veth
              40 00 02 00                                    IFLA_INFO_DATA
                3c 00 01 00                                  VETH_INFO_PEER
                  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
                  09 00 03 00 65 74 68 30 00 00 00 00        IFLA_IFNAME eth0
                  0a 00 01 00 0a 77 65 66 74 01 00 00
                  08 00 04 00 aa 05 00 00
                  08 00 1c 00 09 00 00 00                    IFLA_NET_NS_FD 9
            """)
        #expect(request.message(sequence: 42) == expected)
    }

    @Test("an IPv6 address is asked for without a search for duplicates")
    func ipv6AddressRequest() throws {
        let address = try #require(IPv6Address("fd77:a::2"))
        let expected = try bytes(
            """
            40 00 00 00 14 00 05 06 2a 00 00 00 00 00 00 00  length 64, RTM_NEWADDR, REQUEST ACK EXCL CREATE, sequence 42
            0a 40 02 00 08 00 00 00                          AF_INET6, /64, IFA_F_NODAD, universe, interface 8
            14 00 02 00 fd 77 00 0a 00 00 00 00 00 00 00 00 00 00 00 02
            14 00 01 00 fd 77 00 0a 00 00 00 00 00 00 00 00 00 00 00 02
            """)
        let message = IPv6AddressMessage(interface: 8, address: address, prefixLength: 64)
        #expect(NetlinkWriter.addAddress(message).message(sequence: 42) == expected)
        let read = try only(.addAddress(message))
        #expect(IPv6AddressMessage(read) == message)
        #expect(AddressMessage(read) == nil)
    }

    /// A request to set an object looks like the kernel's description of it: what is written is read back.
    @Test("round trip", arguments: [0, 1, 24, 32])
    func roundTrip(length: Int) throws {
        let destination = try #require(IPv4Prefix(IPv4Address(rawValue: 0xc0a8_ff07), length: length))
        let route = RouteMessage(
            destination: destination, table: 70000, interface: 0x7fff_ffff, gateway: IPv4Address(rawValue: 1),
            preferredSource: IPv4Address(rawValue: 2), isLinkScope: length == 32, metric: 5)
        #expect(RouteMessage(try only(.replaceRoute(route))) == route)
        let address = AddressMessage(interface: 8, address: destination.last, prefixLength: length)
        #expect(AddressMessage(try only(.addAddress(address))) == address)
        let rule = RuleMessage(table: 70000 + UInt32(length), priority: 100)
        #expect(RuleMessage(try only(.addRule(rule))) == rule)
        let neighbour = NeighbourMessage(interface: 4, address: destination.network, mac: MACAddress(rawValue: 77))
        #expect(NeighbourMessage(try only(.replaceNeighbour(neighbour))) == neighbour)
        let link = try #require(LinkMessage(try only(.createVXLAN(name: "x", port: 4790, mac: MACAddress(rawValue: 5)))))
        #expect(link.name == "x")
        #expect(link.kind == "vxlan")
        #expect(link.vxlan?.port == 4790)
        #expect(link.vxlan?.collectsMetadata == true)
    }

    @Test("no input traps: truncated, mutated and random bytes")
    func fuzz() throws {
        var generator = Xorshift(state: 0x5eed_0001)
        let seeds =
            try Self.all.map { try bytes($0) } + [
                NetlinkWriter.createVXLAN(name: "weft_vxlan", port: 4789, mac: MACAddress(rawValue: 1)).message(sequence: 1),
                NetlinkWriter.setLink(index: 3, LinkChange(alias: "weft:x", reversePathFilter: 1)).message(sequence: 2),
            ]
        var accepted = 0
        for round in 0..<60_000 {
            var sample = seeds[round % seeds.count]
            for _ in 0..<Int.random(in: 1...6, using: &generator) where !sample.isEmpty {
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: sample.removeLast(Int.random(in: 0...min(8, sample.count), using: &generator))
                case 1:
                    let extremes: [UInt8] = [0, 1, 3, 4, 0x7f, 0x80, 0xff]
                    sample[Int.random(in: 0..<sample.count, using: &generator)] =
                        extremes[Int.random(in: 0..<extremes.count, using: &generator)]
                case 2:
                    sample[Int.random(in: 0..<sample.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
                default: sample += seeds[Int.random(in: 0..<seeds.count, using: &generator)]
                }
            }
            guard let messages = NetlinkMessage.parse(sample) else { continue }
            for message in messages {
                accepted += 1
                _ = message.meaning
                _ = LinkMessage(message)
                _ = AddressMessage(message)
                _ = IPv6AddressMessage(message)
                _ = RouteMessage(message)
                _ = RuleMessage(message)
                _ = NeighbourMessage(message)
                _ = FilterMessage(message)
            }
        }
        #expect(accepted > 10_000, "the mutations must leave enough for the inner decoders")
    }

    private func only(_ request: NetlinkWriter) throws -> NetlinkMessage {
        let messages = try #require(NetlinkMessage.parse(request.message(sequence: 1)))
        return try #require(messages.count == 1 ? messages.first : nil)
    }

    private func parse(_ text: String) throws -> [NetlinkMessage] { try #require(NetlinkMessage.parse(try bytes(text))) }

    /// The pairs of hex digits before the first word that is none, line by line.
    private func bytes(_ text: String) throws -> [UInt8] {
        try text.split(separator: "\n").flatMap { line in
            try line.split(separator: " ").prefix { $0.count == 2 && $0.allSatisfy(\.isHexDigit) }
                .map { try #require(UInt8($0, radix: 16)) }
        }
    }
}

/// A small generator whose sequence depends on the seed alone.
private struct Xorshift: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}
