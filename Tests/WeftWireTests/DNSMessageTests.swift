import Testing
import WeftNet
import WeftWire

/// Reads hex with spaces, line breaks and `#` comments.
func dnsBytes(_ text: String) -> [UInt8] {
    let digits = text.split(whereSeparator: \.isNewline)
        .map { $0.prefix { $0 != "#" } }.joined().filter(\.isHexDigit)
    var bytes: [UInt8] = []
    var rest = digits[...]
    while rest.count >= 2 {
        bytes.append(UInt8(rest.prefix(2), radix: 16) ?? 0)
        rest = rest.dropFirst(2)
    }
    return bytes
}

func name(_ text: String) throws -> DNSName { try #require(DNSName(text)) }

/// Messages written out by hand from the RFCs, compressed as far as they allow.
enum DNSSamples {
    /// A query with a cookie (RFC 7873).
    static let query = dnsBytes(
        """
        2b 7e 01 20 00 01 00 00 00 00 00 01                # id, RD AD, one question, one additional
        07 65 78 61 6d 70 6c 65 03 63 6f 6d 00 00 01 00 01 # example.com A IN
        00 00 29 04 d0 00 00 00 00 00 0c                   # OPT, 1232 octets, 12 octets of options
        00 0a 00 08 9d 3c 5f 11 2e 80 47 c6                # COOKIE
        """)
    /// Its answer, with two addresses.
    static let answer = dnsBytes(
        """
        2b 7e 81 a0 00 01 00 02 00 00 00 01
        07 65 78 61 6d 70 6c 65 03 63 6f 6d 00 00 01 00 01
        c0 0c 00 01 00 01 00 00 01 2c 00 04 17 c0 e4 50    # pointer to 12, TTL 300, 23.192.228.80
        c0 0c 00 01 00 01 00 00 01 2c 00 04 17 c0 e4 54    # 23.192.228.84
        00 00 29 02 00 00 00 00 00 00 00
        """)
    /// A CNAME, then its address.
    static let alias = dnsBytes(
        """
        00 51 81 80 00 01 00 02 00 00 00 00
        03 77 77 77 07 65 78 61 6d 70 6c 65 03 6f 72 67 00 00 1c 00 01
        c0 0c 00 05 00 01 00 00 0e 10 00 06 03 77 65 62 c0 10             # CNAME web + pointer to example.org
        c0 2d 00 1c 00 01 00 00 0e 10 00 10                               # pointer into the data of the CNAME
        20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 35
        """)
    /// NXDOMAIN with the zone's SOA.
    static let negative = dnsBytes(
        """
        be ef 81 83 00 01 00 00 00 01 00 00
        04 6e 6f 70 65 07 65 78 61 6d 70 6c 65 03 6f 72 67 00 00 0f 00 01 # nope.example.org MX
        c0 11 00 06 00 01 00 00 00 3c 00 20
        02 6e 73 c0 11 04 72 6f 6f 74 c0 11                               # ns, root
        78 a3 f1 02 00 00 1c 20 00 00 0e 10 00 12 75 00 00 00 00 3c
        """)
    /// Mail exchangers, text, a service and an unknown type (65, HTTPS), as one message.
    static let various = dnsBytes(
        """
        12 34 84 00 00 01 00 04 00 01 00 00
        07 65 78 61 6d 70 6c 65 03 6e 65 74 00 00 ff 00 01
        c0 0c 00 0f 00 01 00 00 00 0a 00 07 00 0a 02 6d 78 c0 0c          # MX 10 mx
        c0 0c 00 10 00 01 00 00 00 0a 00 0b 06 76 3d 73 70 66 31 03 2d 61 6c
        c0 0c 00 21 00 01 00 00 00 0a 00 16                               # SRV, target not compressed
        00 05 00 01 13 c4 02 6d 78 07 65 78 61 6d 70 6c 65 03 6e 65 74 00
        c0 0c 00 41 00 01 00 00 00 0a 00 03 00 01 00
        c0 0c 00 02 00 01 00 00 00 0a 00 05 02 6e 73 c0 0c                # NS
        """)
    static let all = [query, answer, alias, negative, various] + DNSCaptures.all
}

@Suite struct DNSMessageTests {
    @Test func `a query with a cookie reads and writes the same octets`() throws {
        let message = try DNSMessage(decoding: DNSSamples.query)
        #expect(message.header.id == 0x2b7e)
        #expect(message.header.recursionDesired && message.header.authenticData && !message.header.isResponse)
        #expect(message.questions == [DNSQuestion(name: try name("example.com"), type: .a)])
        #expect(message.edns?.payloadSize == 1232)
        #expect(message.edns?.options == [.init(code: 10, value: [0x9d, 0x3c, 0x5f, 0x11, 0x2e, 0x80, 0x47, 0xc6])])
        #expect(message.encoded() == DNSSamples.query)
    }

    @Test func `an answer with two addresses reads and writes the same octets`() throws {
        let message = try DNSMessage(decoding: DNSSamples.answer)
        #expect(message.header.recursionAvailable && message.header.isResponse)
        #expect(message.answers.map(\.data) == [.a(IPv4Address(rawValue: 0x17c0_e450)), .a(IPv4Address(rawValue: 0x17c0_e454))])
        #expect(message.answers.allSatisfy { $0.timeToLive == 300 && $0.name.description == "example.com." })
        #expect(message.encoded() == DNSSamples.answer)
    }

    @Test func `pointers into record data are followed and written`() throws {
        let message = try DNSMessage(decoding: DNSSamples.alias)
        #expect(message.answers.first?.data == .cname(try name("web.example.org")))
        #expect(message.answers.last?.name == (try name("web.example.org")))
        #expect(message.answers.last?.data == .aaaa(IPv6Address(rawValue: 0x2001_0db8 << 96 | 0x35)))
        #expect(message.encoded() == DNSSamples.alias)
    }

    @Test func `a negative answer carries its start of authority`() throws {
        let message = try DNSMessage(decoding: DNSSamples.negative)
        #expect(message.responseCode == .nameError && message.responseCode.description == "NXDOMAIN")
        guard case .soa(let authority) = message.authorities.first?.data else {
            Issue.record("no SOA")
            return
        }
        #expect(authority.primary == (try name("ns.example.org")))
        #expect(authority.mailbox == (try name("root.example.org")))
        #expect([authority.serial, authority.refresh, authority.minimum] == [0x78a3_f102, 7200, 60])
        #expect(message.encoded() == DNSSamples.negative)
    }

    @Test func `mail, text, service and unknown records read right`() throws {
        let message = try DNSMessage(decoding: DNSSamples.various)
        #expect(
            message.answers.map(\.data) == [
                .mx(preference: 10, exchange: try name("mx.example.net")),
                .txt([Array("v=spf1".utf8), Array("-al".utf8)]),
                .srv(priority: 5, weight: 1, port: 5060, target: try name("mx.example.net")),
                .opaque(DNSRecordType(rawValue: 65), [0, 1, 0]),
            ])
        #expect(message.authorities.first?.data == .ns(try name("ns.example.net")))
        #expect(try DNSMessage(decoding: message.encoded()) == message)
    }

    @Test func `the response code has twelve bits with EDNS`() throws {
        var message = DNSMessage(header: DNSHeader(id: 1))
        message.edns = EDNS(payloadSize: 512)
        message.edns?.extendedResponseCode = 1
        message.edns?.dnssecOK = true
        let read = try DNSMessage(decoding: message.encoded())
        #expect(read.responseCode == .badVersion && read.edns?.dnssecOK == true && read == message)
    }

    @Test func `every header flag survives alone`() throws {
        for bit in 0..<16 where bit != 6 {
            let flags = UInt16(1) << UInt16(bit)
            let bytes = [0xab, 0xcd, UInt8(flags >> 8), UInt8(flags & 0xff), 0, 0, 0, 0, 0, 0, 0, 0]
            #expect(try DNSMessage(decoding: bytes).encoded() == bytes)
        }
    }

    @Test func `what does not fit is left out and the message says so`() throws {
        var message = try DNSMessage(decoding: DNSSamples.answer)
        let record = try #require(message.answers.first)
        message.answers = Array(repeating: record, count: 100)
        for limit in [512, 513, 1232, 1644, 1645] {
            let bytes = message.encoded(limit: limit)
            #expect(bytes.count <= limit)
            let read = try DNSMessage(decoding: bytes)
            // Header 12, question 17, OPT 11, then 16 octets each.
            #expect(read.answers.count == min(100, (limit - 40) / 16))
            #expect(read.header.isTruncated == (read.answers.count < 100))
            #expect(read.edns == message.edns)
        }
    }

    @Test func `left out additional records do not make a message truncated`() throws {
        var message = try DNSMessage(decoding: DNSSamples.answer)
        message.additionals = Array(repeating: try #require(message.answers.first), count: 100)
        let read = try DNSMessage(decoding: message.encoded(limit: 512))
        #expect(!read.header.isTruncated && read.answers.count == 2)
        #expect(read.additionals.count == (512 - 40 - 32) / 16)
    }

    @Test func `a message for which there is no room at all is its header`() throws {
        let message = try DNSMessage(decoding: DNSSamples.alias)
        let read = try DNSMessage(decoding: message.encoded(limit: 0))
        #expect(read.header.isTruncated && read.questions.isEmpty && read.answers.isEmpty)
    }

    @Test func `no pointer leads past its fourteen bits`() throws {
        var message = DNSMessage(header: DNSHeader(id: 1))
        for index in 0..<1500 {
            let own = try name("host-\(index % 1000).some.domain.example")
            message.answers.append(DNSRecord(name: own, timeToLive: 1, data: .cname(try name("x\(index).example"))))
        }
        let bytes = message.encoded()
        #expect(bytes.count > 0x4000)
        #expect(try DNSMessage(decoding: bytes) == message)
    }

    @Test func `a long character string is written as several`() throws {
        var message = DNSMessage(header: DNSHeader(id: 1))
        let long = [UInt8](repeating: 7, count: 600)
        message.answers = [DNSRecord(name: .root, timeToLive: 0, data: .txt([long, []]))]
        let read = try DNSMessage(decoding: message.encoded())
        #expect(read.answers.first?.data == .txt([Array(long[..<255]), Array(long[..<255]), Array(long[..<90]), []]))
    }

    @Test func `a stream of any cut gives the messages that went in`() throws {
        let framed = try DNSSamples.all.flatMap { try #require(DNSStreamDecoder.frame($0)) }
        for step in 1...40 {
            var decoder = DNSStreamDecoder()
            var messages: [[UInt8]] = []
            for start in stride(from: 0, to: framed.count, by: step) {
                decoder.append(framed[start..<min(start + step, framed.count)])
                while let message = try decoder.next() { messages.append(message) }
            }
            #expect(messages == DNSSamples.all)
        }
        #expect(DNSStreamDecoder.frame(Array(repeating: 0, count: 65_536)) == nil)
    }

    @Test func `a length that no message has ends the stream`() throws {
        for length in [0, 1, 11] {
            var decoder = DNSStreamDecoder()
            decoder.append([0])
            #expect(try decoder.next() == nil)
            #expect(!decoder.hasNext && decoder.isInsideMessage)
            decoder.append([UInt8(length), 0, 0])
            #expect(decoder.hasNext && !decoder.isInsideMessage)
            #expect(throws: DNSFramingError.impossibleLength(length)) { try decoder.next() }
        }
        var decoder = DNSStreamDecoder(sizeMax: 512)
        decoder.append([2, 0] + Array(repeating: 7, count: 512) + [2, 1])
        #expect(try decoder.next()?.count == 512)
        #expect(throws: DNSFramingError.impossibleLength(513)) { try decoder.next() }
    }

    @Test func `what has begun and what is whole are told apart`() throws {
        var decoder = DNSStreamDecoder()
        #expect(!decoder.hasNext && !decoder.isInsideMessage)
        decoder.append([0, 12] + Array(repeating: 1, count: 12) + [0, 13, 1])
        #expect(decoder.hasNext && !decoder.isInsideMessage)
        #expect(try decoder.next() == Array(repeating: 1, count: 12))
        #expect(!decoder.hasNext && decoder.isInsideMessage)
        #expect(try decoder.next() == nil)
        decoder.append(Array(repeating: 2, count: 12))
        #expect(try decoder.next() == [1] + Array(repeating: 2, count: 12))
        #expect(!decoder.hasNext && !decoder.isInsideMessage)
    }
}
