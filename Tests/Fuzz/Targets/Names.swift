import TestSupport
import WeftDNS
import WeftModel
import WeftNet
import WeftWire

/// A query for a name, as bytes.
private func query(_ name: String, _ type: DNSRecordType) -> [UInt8] {
    var header = DNSHeader(id: 0x4242)
    header.recursionDesired = true
    var message = DNSMessage(header: header)
    message.questions = DNSName(name).map { [DNSQuestion(name: $0, type: type)] } ?? []
    message.edns = EDNS(payloadSize: 1232)
    return message.encoded()
}

private let queries = [
    query("a1", .a), query("web.my_net", .aaaa), query("2.1.0.10.in-addr.arpa", .ptr), query("example.com", .srv),
    // An answer with a pointer, a CNAME and an address.
    [
        0x42, 0x42, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0, 3, 0x77, 0x77, 0x77, 1, 0x61, 0, 0, 1, 0, 1, 0xc0, 12, 0, 5, 0, 1, 0, 0, 0,
        60, 0, 4, 1, 0x62, 0xc0, 16, 0xc0, 35, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 1, 2,
    ],
]

extension FuzzTarget {
    /// A message that reads is written so that it reads the same.
    static let dnsMessage = FuzzTarget(name: "dns-message", samples: queries) { bytes throws(FuzzFinding) in
        _ = DNSHeader(message: bytes)
        _ = try? DNSQuestion(onlyQuestionOf: bytes)
        guard let message = try? DNSMessage(decoding: bytes) else { return }
        let written = message.encoded()
        guard let again = try? DNSMessage(decoding: written) else { throw FuzzFinding("what was written does not read: \(written)") }
        // Names without compression may no longer fit; then the message says so.
        if !again.header.isTruncated { try same(again, message, "written and read") }
        let short = message.encoded(limit: DNSMessage.plainUDPSizeMax)
        if message.edns == nil && short.count > DNSMessage.plainUDPSizeMax { throw FuzzFinding("\(short.count) octets in 512") }
    }

    /// Whatever is asked, the answer is for the question, fits and reads.
    static let dnsAnswer = FuzzTarget(name: "dns-answer", samples: queries) { bytes throws(FuzzFinding) in
        guard let message = try? DNSMessage(decoding: bytes) else {
            _ = Resolver().answer(undecodable: bytes)?.encoded()
            return
        }
        var generator = SplitMix(state: 7)
        let asker = IPv4Address(rawValue: 0x0a00_0102)
        guard case .reply(let reply) = Resolver().answer(message, from: asker, in: world, using: &generator) else { return }
        try same(reply.header.id, message.header.id, "the answer's id")
        let limit = Resolver.replySizeMax(to: message)
        let written = reply.encoded(limit: limit)
        if written.count > limit { throw FuzzFinding("\(written.count) octets where \(limit) were asked for") }
        if (try? DNSMessage(decoding: written)) == nil { throw FuzzFinding("the answer does not read: \(written)") }
    }

    static let resolverConfiguration = FuzzTarget(
        name: "resolv-conf",
        samples: [Array("# a\nsearch b\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\noptions ndots:0\n".utf8)]
    ) { bytes throws(FuzzFinding) in
        let own = IPv4Address(rawValue: 0xa9fe_4d35)
        let servers = ResolverConfiguration(text: String(decoding: bytes, as: UTF8.self), excluding: own).nameServers
        if servers.count > ResolverConfiguration.nameServersMax { throw FuzzFinding("\(servers.count) servers") }
        if servers.contains(own.description) { throw FuzzFinding("asks itself") }
    }

    /// my_net with a1 here and web there.
    private static let world: NameTable = {
        var spec = NetworkSpec(name: "my_net")
        spec.attachable = true
        guard let subnet = IPv4Prefix("10.0.1.0/24"), let vni = VNI(4096) else { return NameTable(node: NodeID("here")) }
        func endpoint(_ name: String, _ last: UInt32, on node: String) -> Endpoint {
            let address = IPv4Address(rawValue: 0x0a00_0100 + last)
            return Endpoint(
                id: EndpointID("ep\(last)"), network: NetworkID("n"), node: NodeID(node), sandbox: SandboxID("s\(last)"),
                ipv4: address, mac: MACAddress(forIPv4: address), name: name, aliases: ["web"])
        }
        let network = Network(
            id: NetworkID("n"), createdAt: Instant(nanoseconds: 0), spec: spec, vni: vni, subnet: subnet,
            gateway: IPv4Address(rawValue: 0x0a00_0101))
        let peers = ["here", "there"].map {
            Peer(id: NodeID($0), hostname: $0, state: .ready, dataPathAddress: nil, managerAddress: nil)
        }
        return NameTable(
            node: NodeID("here"), networks: [network],
            endpoints: [endpoint("a1", 2, on: "here"), endpoint("a2", 3, on: "there")], peers: peers)
    }()
}
