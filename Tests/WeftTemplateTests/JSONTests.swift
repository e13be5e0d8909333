import Testing
import WeftTemplate

@Test(
    "JSON is read and written with the order of its keys",
    arguments: [
        #"{"b":1,"a":[true,false,null,-2.5],"c":{"z":"","y":{}},"d":[]}"#,
        #""é \" \\ \n \t \u0001""#, "[]", "0", "-12", #"{"😀":"𝄞"}"#,
    ])
func roundTrip(text: String) throws {
    #expect(try TemplateValue(json: text.utf8).json == text)
}

@Test("escapes and surrogate pairs are read")
func escapes() throws {
    #expect(try TemplateValue(json: #" "\u0041\ud83d\ude00\/\b" "#.utf8) == "A😀/\u{8}")
    #expect(try TemplateValue(json: #""\ud83d x""#.utf8) == "\u{fffd} x")
    #expect(try TemplateValue(json: "1e2".utf8) == .double(100))
    #expect(try TemplateValue(json: "9223372036854775807".utf8) == .int(.max))
    #expect(try TemplateValue(json: #"{"a":1,"a":2}"#.utf8).json == #"{"a":2}"#)
}

@Test("maps sort their keys, and a missing one has no value")
func maps() throws {
    let value = try TemplateValue(json: #"{"Labels":{"b":"1","a":"2"}}"#.utf8, maps: ["Labels"])
    #expect(value.json == #"{"Labels":{"a":"2","b":"1"}}"#)
    #expect(try Template("{{.Labels.c}}").render(value) == "<no value>")
    let empty = try TemplateValue(json: #"{"Labels":null,"Other":null}"#.utf8, maps: ["Labels"])
    #expect(empty.json == #"{"Labels":null,"Other":null}"#)
    #expect(
        try Template("{{.Labels}} {{.Labels.c}} {{len .Labels}} {{.Other}}").render(empty)
            == "map[] <no value> 0 <no value>")
}

@Test("indented as docker inspect prints it")
func indented() throws {
    let value = try TemplateValue(json: #"[{"a":1,"b":[],"c":{},"d":["x"]}]"#.utf8)
    #expect(
        value.json(indent: "    ") == """
            [
                {
                    "a": 1,
                    "b": [],
                    "c": {},
                    "d": [
                        "x"
                    ]
                }
            ]
            """)
}

@Test(
    "what is not JSON is refused",
    arguments: [
        "", " ", "{", "[1,]", "{\"a\"}", "{\"a\":}", "{a:1}", "\"abc", "\"\\x\"", "\"\\u12\"", "tru", "01x", "+1",
        "1 2", "\"\n\"", "[",
        String(repeating: "[", count: 100_000), "nan", "-", "1e999",
    ])
func refused(text: String) {
    #expect(throws: JSONError.self) { try TemplateValue(json: text.utf8) }
}
