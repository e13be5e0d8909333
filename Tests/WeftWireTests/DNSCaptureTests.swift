import Testing
import WeftNet
import WeftWire

/// Messages captured on the wire.
enum DNSCaptures {
    /// glibc 2.36, `getent ahosts alpine1.my_net` with `options edns0`.
    static let glibcQuery = dnsBytes(
        """
        c0 ec 01 00 00 01 00 00 00 00 00 01                               # RD, one question, one additional
        07 61 6c 70 69 6e 65 31 06 6d 79 5f 6e 65 74 00 00 01 00 01       # alpine1.my_net A IN
        00 00 29 04 b0 00 00 00 00 00 00                                  # OPT, 1200 octets
        """)
    /// busybox 1.35, `nslookup alpine1`.
    static let busyboxQuery = dnsBytes(
        """
        76 af 01 00 00 01 00 00 00 00 00 00
        07 61 6c 70 69 6e 65 31 00 00 1c 00 01                            # alpine1 AAAA IN
        """)
    /// busybox 1.35, `nslookup 10.0.1.2`.
    static let busyboxReverseQuery = dnsBytes(
        """
        8e 73 01 00 00 01 00 00 00 00 00 00
        01 32 01 31 01 30 02 31 30 07 69 6e 2d 61 64 64 72 04 61 72 70 61 00 00 0c 00 01
        """)
    /// dnsmasq 2.90: a CNAME, whose target it does not compress, and its address by a pointer into that target.
    static let alias = dnsBytes(
        """
        51 00 85 80 00 01 00 02 00 00 00 01
        03 77 77 77 07 65 78 61 6d 70 6c 65 00 00 01 00 01                # www.example A IN
        c0 0c 00 05 00 01 00 00 00 00 00 0d 03 77 65 62 07 65 78 61 6d 70 6c 65 00
        c0 29 00 01 00 01 00 00 00 00 00 04 c0 00 02 0a                   # 192.0.2.10
        00 00 29 04 d0 00 00 00 00 00 00
        """)
    /// dnsmasq 2.90: the same for AAAA, to a client without EDNS.
    static let aliasIPv6 = dnsBytes(
        """
        51 01 85 80 00 01 00 02 00 00 00 00
        03 77 77 77 07 65 78 61 6d 70 6c 65 00 00 1c 00 01
        c0 0c 00 05 00 01 00 00 00 00 00 0d 03 77 65 62 07 65 78 61 6d 70 6c 65 00
        c0 29 00 1c 00 01 00 00 00 00 00 10 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 35
        """)
    /// dnsmasq 2.90: a mail exchanger, with its address beside it.
    static let mail = dnsBytes(
        """
        51 02 85 80 00 01 00 01 00 00 00 01
        04 6d 61 69 6c 07 65 78 61 6d 70 6c 65 00 00 0f 00 01
        c0 0c 00 0f 00 01 00 00 00 00 00 0e 00 0a 02 6d 78 07 65 78 61 6d 70 6c 65 00
        c0 2c 00 01 00 01 00 00 00 00 00 04 c0 00 02 19
        """)
    /// dnsmasq 2.90: two character strings.
    static let text = dnsBytes(
        """
        51 03 85 80 00 01 00 01 00 00 00 00
        04 74 65 78 74 07 65 78 61 6d 70 6c 65 00 00 10 00 01
        c0 0c 00 10 00 01 00 00 00 00 00 0c 06 76 3d 73 70 66 31 04 2d 61 6c 6c
        """)
    /// dnsmasq 2.90: a service, with its target's address beside it.
    static let service = dnsBytes(
        """
        51 04 85 80 00 01 00 01 00 00 00 02
        04 5f 73 69 70 04 5f 74 63 70 07 65 78 61 6d 70 6c 65 00 00 21 00 01
        c0 0c 00 21 00 01 00 00 00 00 00 12 00 05 00 01 13 c4 02 6d 78 07 65 78 61 6d 70 6c 65 00
        c0 35 00 01 00 01 00 00 00 00 00 04 c0 00 02 19
        00 00 29 04 d0 00 00 00 00 00 00
        """)
    static let all = [glibcQuery, busyboxQuery, busyboxReverseQuery, alias, aliasIPv6, mail, text, service]
}

@Suite struct DNSCaptureTests {
    @Test func `clients' queries read and write the same octets`() throws {
        for bytes in [DNSCaptures.glibcQuery, DNSCaptures.busyboxQuery, DNSCaptures.busyboxReverseQuery] {
            #expect(try DNSMessage(decoding: bytes).encoded() == bytes)
        }
        let query = try DNSMessage(decoding: DNSCaptures.glibcQuery)
        #expect(query.questions == [DNSQuestion(name: try name("alpine1.my_net"), type: .a)])
        #expect(query.edns == EDNS(payloadSize: 1200))
        let reverse = try DNSMessage(decoding: DNSCaptures.busyboxReverseQuery)
        #expect(reverse.questions == [DNSQuestion(name: try name("2.1.0.10.in-addr.arpa"), type: .ptr)])
    }

    @Test func `a server's answers read right`() throws {
        let web = try name("web.example")
        let exchange = DNSRecord(
            name: try name("mx.example"), timeToLive: 0, data: .a(IPv4Address(rawValue: 0xc000_0219)))
        let alias = try DNSMessage(decoding: DNSCaptures.alias)
        #expect(alias.header.isAuthoritative && alias.header.recursionAvailable)
        #expect(alias.answers.map(\.data) == [.cname(web), .a(IPv4Address(rawValue: 0xc000_020a))])
        #expect(alias.answers.last?.name == web)
        let ipv6 = try DNSMessage(decoding: DNSCaptures.aliasIPv6)
        #expect(ipv6.answers.last?.data == .aaaa(IPv6Address(rawValue: 0x2001_0db8 << 96 | 0x35)))
        let mail = try DNSMessage(decoding: DNSCaptures.mail)
        #expect(mail.answers.map(\.data) == [.mx(preference: 10, exchange: exchange.name)])
        #expect(mail.additionals == [exchange])
        let text = try DNSMessage(decoding: DNSCaptures.text)
        #expect(text.answers.map(\.data) == [.txt([Array("v=spf1".utf8), Array("-all".utf8)])])
        let service = try DNSMessage(decoding: DNSCaptures.service)
        #expect(
            service.answers.map(\.data) == [.srv(priority: 5, weight: 1, port: 5060, target: exchange.name)])
        #expect(service.additionals == [exchange] && service.edns?.payloadSize == 1232)
    }

    @Test func `a server's answers survive writing, and become no longer`() throws {
        for bytes in DNSCaptures.all {
            let message = try DNSMessage(decoding: bytes)
            let written = message.encoded()
            #expect(written.count <= bytes.count)
            #expect(try DNSMessage(decoding: written) == message)
        }
    }
}
