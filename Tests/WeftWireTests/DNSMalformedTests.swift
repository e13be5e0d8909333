import TestSupport
import Testing
import WeftNet
import WeftWire

@Suite struct DNSMalformedTests {
    /// A header that announces one question, and what follows it.
    private func question(_ hex: String) -> [UInt8] { dnsBytes("00 01 01 00 00 01 00 00 00 00 00 00") + dnsBytes(hex) }

    @Test func `a pointer to itself, ahead or into the header is refused`() {
        #expect(throws: DNSDecodingError.pointer(offset: 12)) { try DNSMessage(decoding: question("c0 0c 00 01 00 01")) }
        #expect(throws: DNSDecodingError.pointer(offset: 12)) { try DNSMessage(decoding: question("c0 10 00 01 00 01")) }
        #expect(throws: DNSDecodingError.pointer(offset: 12)) { try DNSMessage(decoding: question("c0 04 00 01 00 01")) }
        // A label, then a pointer back to it: every round would be one label longer.
        #expect(throws: DNSDecodingError.pointer(offset: 14)) {
            try DNSMessage(decoding: question("01 61 c0 0c 00 01 00 01"))
        }
    }

    @Test func `two names that point at each other are refused`() {
        var bytes = question("01 61 c0 14 00 01 00 01 01 62 c0 0c 00 01 00 01")
        bytes[5] = 2
        #expect(throws: DNSDecodingError.pointer(offset: 14)) { try DNSMessage(decoding: bytes) }
    }

    @Test func `a chain of pointers has an end`() throws {
        // Opaque data that is a ladder of pointers, each to the one before it; a question's name climbs down.
        func ladder(_ steps: Int) -> [UInt8] {
            var data: [UInt8] = [0]
            var target = 12 + 5 + 11
            for _ in 0..<steps {
                let own = 12 + 5 + 11 + data.count
                data += [0xc0 | UInt8(target >> 8), UInt8(target & 0xff)]
                target = own
            }
            let length = UInt16(data.count)
            var bytes = dnsBytes("00 01 01 00 00 01 00 02 00 00 00 00 00 00 01 00 01 00 00 0a 00 01 00 00 00 00")
            bytes += [UInt8(length >> 8), UInt8(length & 0xff)] + data
            return bytes + [0xc0 | UInt8(target >> 8), UInt8(target & 0xff)] + dnsBytes("00 0a 00 01 00 00 00 00 00 00")
        }
        #expect(try DNSMessage(decoding: ladder(126)).answers.last?.name == .root)
        #expect(throws: DNSDecodingError.tooManyPointers(offset: 12 + 5 + 11 + 1 + 254)) {
            try DNSMessage(decoding: ladder(127))
        }
    }

    @Test func `a name of 255 octets reads, one of 256 does not`() throws {
        // Three labels of 63 and one of 61: 3 × 64 + 62 + 1.
        func bytes(_ last: Int) -> [UInt8] {
            var name: [UInt8] = []
            for size in [63, 63, 63, last] { name += [UInt8(size)] + Array(repeating: 0x61, count: size) }
            return question("") + name + [0, 0, 1, 0, 1]
        }
        #expect(try DNSMessage(decoding: bytes(61)).questions.first?.name.wire.count == 255)
        #expect(throws: DNSDecodingError.nameTooLong(offset: 12)) { try DNSMessage(decoding: bytes(62)) }
    }

    @Test func `label types other than text and pointer are refused`() {
        #expect(throws: DNSDecodingError.labelType(0x41, offset: 12)) { try DNSMessage(decoding: question("41 00")) }
        #expect(throws: DNSDecodingError.labelType(0x80, offset: 12)) { try DNSMessage(decoding: question("80 00")) }
    }

    @Test func `data of the wrong length is refused`() {
        let record = "00 00 01 00 01 00 00 00 00 "
        var bytes = dnsBytes("00 01 81 00 00 00 00 01 00 00 00 00") + dnsBytes(record + "00 05 01 02 03 04 05")
        #expect(throws: DNSDecodingError.dataLength(type: .a, offset: 23)) { try DNSMessage(decoding: bytes) }
        bytes[22] = 3
        #expect(throws: DNSDecodingError.dataLength(type: .a, offset: 23)) { try DNSMessage(decoding: bytes) }
        bytes[22] = 60
        #expect(throws: DNSDecodingError.truncated(offset: 23)) { try DNSMessage(decoding: bytes) }
    }

    @Test func `OPT twice, in another section or with a name is refused`() {
        let opt = "00 00 29 04 d0 00 00 00 00 00 00"
        for (counts, body) in [("00 00 00 00 00 02", opt + opt), ("00 01 00 00 00 00", opt), ("00 00 00 00 00 01", "01 61" + opt)] {
            #expect {
                try DNSMessage(decoding: dnsBytes("00 01 00 00 00 00" + counts) + dnsBytes(body))
            } throws: { error in
                if case .options = error as? DNSDecodingError { true } else { false }
            }
        }
    }

    @Test func `octets after the end are refused`() {
        let end = DNSSamples.answer.count
        #expect(throws: DNSDecodingError.trailingOctets(offset: end)) {
            try DNSMessage(decoding: DNSSamples.answer + [0])
        }
    }

    @Test func `every message cut short is refused`() throws {
        for sample in DNSSamples.all {
            for count in 0..<sample.count {
                #expect(throws: DNSDecodingError.self) { try DNSMessage(decoding: Array(sample[..<count])) }
            }
        }
    }

    @Test func `mutated messages are refused or survive writing and reading`() throws {
        var generator = SplitMix(state: 53)
        var accepted = 0
        for round in 0..<20_000 {
            var bytes = DNSSamples.all[round % DNSSamples.all.count]
            for _ in 0..<Int.random(in: 1...6, using: &generator) where !bytes.isEmpty {
                let index = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<6, using: &generator) {
                case 0: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                case 1: bytes[index] = UInt8.random(in: .min ... .max, using: &generator)
                case 2: bytes[index] = [0, 0xff, 0xc0, 0x3f, 0x40, 12][Int.random(in: 0..<6, using: &generator)]
                case 3: bytes.insert(UInt8.random(in: .min ... .max, using: &generator), at: index)
                case 4: bytes.remove(at: index)
                default: bytes.removeLast(bytes.count - index)
                }
            }
            guard let message = try? DNSMessage(decoding: bytes) else { continue }
            accepted += 1
            #expect(try DNSMessage(decoding: message.encoded()) == message)
            for limit in [0, 12, 40, 60, 100] {
                let cut = message.encoded(limit: limit)
                #expect(cut.count <= max(limit, 12 + 11 + 1000))
                _ = try DNSMessage(decoding: cut)
            }
        }
        #expect(accepted > 1000)
    }

    @Test func `random octets never trap`() {
        var generator = SplitMix(state: 1035)
        for _ in 0..<5000 {
            let count = Int.random(in: 0...300, using: &generator)
            var bytes = (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
            // Small counts, or every message ends inside its first section.
            for index in 4..<12 where index < count { bytes[index] = index % 2 == 1 ? bytes[index] % 4 : 0 }
            if let message = try? DNSMessage(decoding: bytes) { _ = message.encoded(limit: 64) }
            _ = try? DNSQuestion(onlyQuestionOf: bytes)
            _ = DNSHeader(message: bytes)
        }
    }

    @Test func `values drawn at random survive writing and reading`() throws {
        var generator = SplitMix(state: 6891)
        for _ in 0..<2000 {
            let message = DNSRandomMessage.draw(&generator)
            #expect(try DNSMessage(decoding: message.encoded()) == message)
        }
    }
}

/// Well-formed messages with everything the codec knows.
enum DNSRandomMessage {
    static func draw(_ generator: inout SplitMix) -> DNSMessage {
        var header = DNSHeader(id: .random(in: .min ... .max, using: &generator))
        header.isResponse = Bool.random(using: &generator)
        header.opcode = DNSOpcode(rawValue: .random(in: 0...15, using: &generator))
        header.isTruncated = Bool.random(using: &generator)
        header.responseCode = DNSResponseCode(rawValue: .random(in: 0...15, using: &generator))
        var message = DNSMessage(header: header)
        message.questions = many(2, &generator) { DNSQuestion(name: name(&$0), type: .srv) }
        message.answers = many(5, &generator) { record(&$0) }
        message.authorities = many(3, &generator) { record(&$0) }
        message.additionals = many(3, &generator) { record(&$0) }
        if Bool.random(using: &generator) {
            var edns = EDNS(payloadSize: .random(in: .min ... .max, using: &generator))
            edns.version = .random(in: 0...1, using: &generator)
            edns.options = many(2, &generator) { .init(code: 10, value: octets(&$0, 12)) }
            message.edns = edns
        }
        return message
    }

    private static func many<Value>(
        _ max: Int, _ generator: inout SplitMix, _ draw: (inout SplitMix) -> Value
    ) -> [Value] {
        (0..<Int.random(in: 0...max, using: &generator)).map { _ in draw(&generator) }
    }

    private static func octets(_ generator: inout SplitMix, _ max: Int) -> [UInt8] {
        many(max, &generator) { UInt8.random(in: .min ... .max, using: &$0) }
    }

    /// Few labels, so that names share their ends and pointers are used.
    private static func name(_ generator: inout SplitMix) -> DNSName {
        let labels = ["a", "B", "example", "Example", "com", "x.y", "\u{fc}"]
        let drawn = many(4, &generator) { Array(labels[Int.random(in: 0..<labels.count, using: &$0)].utf8) }
        return DNSName(labels: drawn) ?? .root
    }

    private static func record(_ generator: inout SplitMix) -> DNSRecord {
        let data: DNSRecordData =
            switch Int.random(in: 0..<10, using: &generator) {
            case 0: .a(IPv4Address(rawValue: .random(in: .min ... .max, using: &generator)))
            case 1: .aaaa(IPv6Address(rawValue: .random(in: .min ... .max, using: &generator)))
            case 2: .ns(name(&generator))
            case 3: .cname(name(&generator))
            case 4: .ptr(name(&generator))
            case 5: .mx(preference: 7, exchange: name(&generator))
            case 6: .txt([octets(&generator, 20), octets(&generator, 3)])
            case 7:
                .soa(
                    DNSStartOfAuthority(
                        primary: name(&generator), mailbox: name(&generator), serial: 1, refresh: 2, retry: 3, expire: 4,
                        minimum: 5))
            case 8: .srv(priority: 1, weight: 2, port: 3, target: name(&generator))
            default: .opaque(DNSRecordType(rawValue: 99), octets(&generator, 30))
            }
        return DNSRecord(name: name(&generator), timeToLive: 60, data: data)
    }
}
