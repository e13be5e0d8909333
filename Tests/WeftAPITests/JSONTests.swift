import Testing
import WeftAPI
import WeftModel

@Suite struct JSONTests {
    @Test func `values survive a round trip`() throws {
        let text = #"{"a":[1,-2,3.5,true,false,null],"b":{"c":"x\"\\\n\u0001é😀"},"d":"","e":9223372036854775807}"#
        let value = try JSON.parse(Array(text.utf8))
        #expect(try JSON.parse(value.utf8) == value)
        #expect(String(decoding: value.utf8, as: UTF8.self) == text)
    }

    @Test func `escapes are read as RFC 8259 has them`() throws {
        #expect(try JSON.parse(Array(#""\u00e9\ud83d\ude00\/\b\f\ud800x""#.utf8)) == "é😀/\u{8}\u{c}\u{fffd}x")
    }

    @Test(arguments: [
        "", " ", "nul", "+1", "01x", "1e999", "\"a", "\"\u{1}\"", "\"\\x\"", "\"\\u12g4\"", "[1,]", "{\"a\"}", "{a:1}",
        "{\"a\":1", "1 2",
        "\"\\u12\"", "-", "[", "\"\\ud83d\\u\"",
    ])
    func `what is not JSON is refused`(text: String) {
        #expect(throws: APIError.self) { try JSON.parse(Array(text.utf8)) }
    }

    @Test func `keys are found in any case, the exact one first`() throws {
        let value = try JSON.parse(Array(#"{"name":"lower","Name":"exact","REPLICAS":1,"none":null}"#.utf8))
        #expect(value["Name"] == "exact" && value["NAME"] == "exact" && value["Replicas"] == 1)
        #expect(value["None"] == nil && value["absent"] == nil)
    }

    @Test func `times are written as Go writes them`() {
        #expect(Instant(nanoseconds: 0).rfc3339 == "1970-01-01T00:00:00Z")
        #expect(Instant(nanoseconds: 1_795_254_443_122_615_443).rfc3339 == "2026-11-21T09:47:23.122615443Z")
        #expect(Instant(nanoseconds: 951_782_400_500_000_000).rfc3339 == "2000-02-29T00:00:00.5Z")
        #expect(Instant(nanoseconds: -1).rfc3339 == "1969-12-31T23:59:59.999999999Z")
        #expect(Instant(nanoseconds: .min).rfc3339 == "1677-09-21T00:12:43.145224192Z")
        #expect(Instant(nanoseconds: .max).rfc3339 == "2262-04-11T23:47:16.854775807Z")
    }
}
