import Testing
import WeftText

@Suite struct JSONTests {
    private func read(_ text: String) throws -> JSON { try JSON(parsing: text.utf8) }

    @Test(arguments: [
        #"{"a":[1,-2,3.5,true,false,null],"b":{"c":"x\"\\\n\u0001é😀"},"d":"","e":9223372036854775807}"#,
        #"{"b":1,"a":[true,false,null,-2.5],"c":{"z":"","y":{}},"d":[]}"#, "[]", "0", "-0", "-12", #"{"😀":"𝄞"}"#, "1e-07",
        #""\u2028 \u2029 ¨ 。""#, "1e+21",
    ])
    func `values survive a round trip, in their order`(text: String) throws {
        let value = try read(text)
        #expect(value.text == text)
        #expect(try read(value.text) == value)
    }

    @Test func `escapes are read as RFC 8259 has them`() throws {
        #expect(try read(#""\u00e9\ud83d\ude00\/\b\f\ud800x""#) == "é😀/\u{8}\u{c}\u{fffd}x")
        #expect(try read(#" "\ud83d x" "#) == "\u{fffd} x")
    }

    @Test func `numbers are integers where they can be`() throws {
        #expect(try read("1e2") == .number(100) && read("1.0") == .number(1))
        #expect(try read("9223372036854775807") == .integer(.max) && read("-9223372036854775808") == .integer(.min))
        #expect(try read("18446744073709551615") == .number(18_446_744_073_709_551_616))
        #expect(JSON.number(.nan).text == "null" && JSON.number(100).text == "100" && JSON.number(1e20).text == "100000000000000000000")
        #expect(JSON.counter(.max) == .integer(.max))
    }

    @Test(arguments: [
        "", " ", "nul", "nan", "+1", "01", "-01", "01x", "1.", ".5", "1e", "1e+", "-", "1e999", "\"a", "\"\u{1}\"", "\"\\x\"",
        "\"\\u12g4\"", "\"\\u12\"", "\"\\u+123\"", "[1,]", "{\"a\"}", "{\"a\":}", "{a:1}", "{\"a\":1", "1 2", "[", "\"\\ud83d\\u\"",
        "\"\n\"",
        String(repeating: "[", count: 100_000),
    ])
    func `what is not JSON is refused`(text: String) {
        #expect(throws: JSONError.self) { try read(text) }
    }

    @Test func `bytes that are no UTF-8 are refused`() {
        #expect(throws: JSONError(offset: 3, reason: "a text is not UTF-8")) { try JSON(parsing: [0x22, 0xff, 0x22]) }
    }

    @Test func `depth is bounded`() throws {
        func nested(_ depth: Int) -> String { String(repeating: "[", count: depth) + String(repeating: "]", count: depth) }
        #expect(try read(nested(JSON.depthMax)).text == nested(JSON.depthMax))
        #expect(throws: JSONError(offset: JSON.depthMax, reason: "it is nested more than 64 deep")) { try read(nested(JSON.depthMax + 1)) }
    }

    @Test func `keys are found in any case, the exact one first, the last of equal ones`() throws {
        let value = try read(#"{"name":"lower","Name":"exact","REPLICAS":1,"none":null,"a":1,"a":2}"#)
        #expect(value["Name"] == "exact" && value["NAME"] == "exact" && value["Replicas"] == 1 && value["a"] == 2)
        #expect(value["None"] == nil && value["absent"] == nil)
    }
}

@Suite struct TextFormTests {
    @Test(
        arguments: [
            ([], ""), ([0x66], "Zg=="), ([0x66, 0x6f], "Zm8="), ([0x66, 0x6f, 0x6f], "Zm9v"), ([0xfb, 0xff, 0xfe, 0x00], "+//+AA=="),
        ] as [([UInt8], String)])
    func `base 64 as RFC 4648 has it`(bytes: [UInt8], text: String) {
        #expect(Base64.encoded(bytes) == text)
        let unpadded = text.filter { $0 != "=" }
        #expect(Base64.encoded(bytes, padded: false) == unpadded)
        #expect(Base64.decoded(unpadded: unpadded) == bytes)
    }

    @Test(arguments: ["Z", "Zh", "Zm9=", "Zm9v\n", "Zm-v", "ZmZmZ"])
    func `what is no base 64 is nothing`(text: String) {
        #expect(Base64.decoded(unpadded: text) == nil)
    }

    @Test func `all but unreserved characters are percent-encoded`() {
        #expect("a-b_c.d~9/ é\u{1}%".percentEncoded == "a-b_c.d~9%2F%20%C3%A9%01%25")
        #expect("".percentEncoded == "")
    }

    @Test(
        arguments: [
            (1e20, "1e+20"), (123456, "123456"), (1_000_000, "1e+06"), (0.0001, "0.0001"), (-0.5, "-0.5"),
            (.leastNonzeroMagnitude, "5e-324"),
            (0, "0"), (-.infinity, "-Inf"),
        ] as [(Double, String)])
    func `numbers have as few digits as tell them apart`(number: Double, text: String) {
        #expect(ShortestNumber.text(number, plain: -4..<6) == text)
    }
}

@Suite struct CStringTests {
    @Test func `texts go to C with their ends`() {
        let texts = ["", "sh", "é", "a b"]
        let read = withCStrings(texts) { list in (0..<texts.count).map { list[$0].map { String(cString: $0) } } }
        #expect(read == texts)
        #expect(withCStrings(texts) { $0[texts.count] == nil } && withCStrings([]) { $0[0] == nil })
    }
}
