import Testing
import WeftWire

@Suite struct DNSNameTests {
    @Test func `names compare and hash without case`() throws {
        let lower = try name("alpine1.my_net")
        let upper = try name("ALPINE1.My_Net.")
        #expect(lower == upper)
        #expect(lower.hashValue == upper.hashValue)
        #expect(Set([lower, upper]).count == 1)
        #expect(upper.description == "ALPINE1.My_Net.")
        // `@` and `[` lie beside the letters, `{` and the backquote beside the small ones.
        for (left, right) in [("@", "`"), ("[", "{"), ("a", "b")] {
            #expect(try name(left) != name(right))
        }
    }

    @Test func `texts that are no names are refused`() throws {
        let long = String(repeating: "a", count: 63)
        for text in ["", ".a", "a..b", "..", "a..", long + "a", [long, long, long, long].joined(separator: "."), "\\", "\\25", "\\256"] {
            #expect(DNSName(text) == nil, "\(text)")
        }
        #expect(try name([long, long, long, String(long.dropLast(2))].joined(separator: ".")).wire.count == 255)
    }

    @Test func `a dot inside a label is no border`() throws {
        let dotted = try #require(DNSName(labels: [Array("a.b".utf8)]))
        #expect(dotted != (try name("a.b")))
        #expect(dotted.description == "a\\.b.")
    }

    @Test func `every octet survives the text form`() throws {
        for octet in UInt8.min ... .max {
            let original = try #require(DNSName(labels: [[octet, octet], [0x61]]))
            #expect(DNSName(original.description) == original)
        }
        #expect(DNSName(".") == .root && DNSName.root.description == ".")
    }

    @Test func `a name is cut at each dot`() throws {
        let splits = try name("a.bb.ccc").splits
        #expect(splits.map(\.first) == [try name("a"), try name("a.bb")])
        #expect(splits.map(\.rest) == [try name("bb.ccc"), try name("ccc")])
        #expect(try name("a").splits.isEmpty && DNSName.root.splits.isEmpty)
    }

    @Test func `names are put together up to 255 octets`() throws {
        #expect(try name("a").appending(name("b.c")) == name("a.b.c"))
        let long = try name(Array(repeating: String(repeating: "a", count: 62), count: 3).joined(separator: "."))
        #expect(long.appending(long) == nil)
    }
}
